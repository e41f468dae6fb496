// Package attachment decides about JSON documents attached to objects under a key, each aimed at the object itself, at
// a descendant, at a kind of descendant, or at all of them. There is one stream for each owning object.
package attachment

import "encoding/json"

// Targets that are not ids or kinds.
const (
	Self        = "me" // the owner itself
	Descendants = "*"  // everything below the owner
)

// Set says that a document was attached, in place of any before it. Type "attachment.set".
type Set struct {
	Owner  string          `json:"owner"` // empty is the installation
	Target string          `json:"target"`
	Key    string          `json:"key"`
	Value  json.RawMessage `json:"value"` // as sent
}

// Cleared says that the document is gone. Type "attachment.cleared".
type Cleared struct {
	Owner  string `json:"owner"`
	Target string `json:"target"`
	Key    string `json:"key"`
}

func (Set) EventType() string     { return "attachment.set" }
func (Cleared) EventType() string { return "attachment.cleared" }

// Attach sets a document, Clear removes it; both are quiet where nothing would change.
type (
	Attach Set
	Clear  Cleared
)

func (c Attach) Stream() string    { return stream(c.Owner) }
func (c Clear) Stream() string     { return stream(c.Owner) }
func (Attach) CommandName() string { return "attachment.attach" }
func (Clear) CommandName() string  { return "attachment.clear" }

func stream(owner string) string {
	if owner == "" {
		return "attachment-root"
	}
	return "attachment-" + owner
}
