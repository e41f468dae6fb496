// Package observation holds facts from instruments. There is one stream for each subject and channel; what arrives in
// one upload stays one event (decision 5). Nothing is decided but bounds: an observation cannot contradict another.
package observation

import "encoding/json"

// Channels are the ways by which observations come. A channel is part of a stream's name.
const (
	LAMPSensor   = "lamp.sensor"
	LAMPActivity = "lamp.activity"
)

// Item is one observation. Its place is the position of its event and its index in it.
type Item struct {
	Time   *int64          // ms since 1970-01-01 UTC; nil is unknown
	Series string          // what was measured: a sensor's name, an activity's id. Text that a client chose
	Value  json.RawMessage // as sent
}

// Recorded says that items were observed, in the order in which they were sent. Type "observation.recorded", version 2:
// its stored form is columns, because that decodes three times as fast as version 1's list of objects.
type Recorded struct {
	Subject string
	Channel string
	Items   []Item
}

// Retracted says that earlier observations of a subject and channel are not to be shown any more: those with a lower
// position, of Series (all if empty), with a time in [From, To); a nil bound is open, and with both nil observations
// without a time are retracted too. Type "observation.retracted".
type Retracted struct {
	Subject string `json:"subject"`
	Channel string `json:"channel"`
	Series  string `json:"series,omitempty"`
	From    *int64 `json:"from,omitempty"`
	To      *int64 `json:"to,omitempty"`
}

func (Recorded) EventType() string  { return "observation.recorded" }
func (Retracted) EventType() string { return "observation.retracted" }

// Record adds observations, Retract hides earlier ones.
type (
	Record  Recorded
	Retract Retracted
)

func (c Record) Stream() string     { return "observation-" + c.Subject + "-" + c.Channel }
func (c Retract) Stream() string    { return "observation-" + c.Subject + "-" + c.Channel }
func (Record) CommandName() string  { return "observation.record" }
func (Retract) CommandName() string { return "observation.retract" }
