// Package plan carries commands that touch several streams (decision 7). A plan is made in its owner's stream and names
// everything that it is going to append, down to the event ids, so that anybody can finish it after a crash by
// appending what is missing; repeating an append changes nothing. What its steps bring into being stays invisible
// until the plan is done.
package plan

import (
	"encoding/json"

	"strandline/domain"
)

// Step is one event that the plan appends, to another stream than the plan's own.
type Step struct {
	EventID domain.ID       `json:"event_id"`
	Stream  string          `json:"stream"` // expected not to exist
	Type    string          `json:"type"`
	Version int             `json:"version"`
	Subject string          `json:"subject,omitempty"`
	Data    json.RawMessage `json:"data"` // of the event, in its type's schema
}

// Made says what is going to be done, in this order. Type "plan.made".
type Made struct {
	ID    string `json:"id"` // the command's id
	Steps []Step `json:"steps"`
}

// Done says that all steps have been appended. Type "plan.done". It stands in the same stream as Made.
type Done struct {
	ID string `json:"id"`
}

// Open is what the directory knows of a plan that has been made and is not done.
type Open struct {
	ID       string          // as in Made
	Stream   string          // of Made
	Position domain.Position // of Made
}

func (Made) EventType() string { return "plan.made" }
func (Done) EventType() string { return "plan.done" }
