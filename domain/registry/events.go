// Package registry decides about the tree of things: researchers, studies, participants, activities, sensors and the
// specifications that activities and sensors refer to. There is one stream for each object and one decider for all
// kinds, driven by a table.
package registry

import "encoding/json"

// Kind is a kind of object.
type Kind string

// The kinds, outermost first. Specifications stand beside the tree: they have no parent.
const (
	Researcher   Kind = "researcher"
	Study        Kind = "study"
	Participant  Kind = "participant"
	Activity     Kind = "activity"
	Sensor       Kind = "sensor"
	ActivitySpec Kind = "activity_spec"
	SensorSpec   Kind = "sensor_spec"
)

// Attributes are what a client said about an object, by name, each kept as it was sent (decision 1).
type Attributes map[string]json.RawMessage

// Added says that an object came to be. Type "<kind>.added".
type Added struct {
	Kind       Kind       `json:"kind"`
	ID         string     `json:"id"`               // for specifications the name that the client chose
	Parent     string     `json:"parent,omitempty"` // empty for researchers and specifications
	Attributes Attributes `json:"attributes,omitempty"`
	Plan       string     `json:"plan,omitempty"` // of which plan it is a step: invisible until that is done
}

// Revised says that attributes got new values; those not named keep theirs. Type "<kind>.revised".
type Revised struct {
	Kind       Kind       `json:"kind"`
	ID         string     `json:"id"`
	Attributes Attributes `json:"attributes"`
}

// Removed says that an object is gone, and with it everything below it (decision 7: one event, the rest is derived).
// Type "<kind>.removed".
type Removed struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

// EventType is the kind with its verb.
func (e Added) EventType() string   { return string(e.Kind) + ".added" }
func (e Revised) EventType() string { return string(e.Kind) + ".revised" }
func (e Removed) EventType() string { return string(e.Kind) + ".removed" }

// Object is what the directory knows of an object that can be seen: it, its ancestors and its plan are all in order.
type Object struct {
	ID     string
	Kind   Kind
	Parent string // empty for researchers and specifications
}
