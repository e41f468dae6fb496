// Package grant decides who may do what with whose data, beyond what the tree already says. There is one stream for
// each object that something is granted on.
package grant

import (
	"time"

	"strandline/domain"
)

// Role is what a grant allows.
type Role string

// The roles. Root alone grants Auditor, who may open sealed payloads below the object (decision 23).
const (
	Owner   Role = "owner"
	Writer  Role = "writer"
	Reader  Role = "reader"
	Auditor Role = "auditor"
)

// Given says that a credential holds a role on an object and everything below it, in [From, To) where they are not 0.
// Type "grant.given".
type Given struct {
	ID         string `json:"id"`
	Object     string `json:"object"`     // empty is the installation
	Credential string `json:"credential"` // id of the credential
	Role       Role   `json:"role"`
	From       int64  `json:"from,omitempty"` // ms since 1970, 0 is since ever
	To         int64  `json:"to,omitempty"`   // ms since 1970, 0 is for ever
}

// Withdrawn says that a grant no longer holds. Type "grant.withdrawn".
type Withdrawn struct {
	ID     string `json:"id"`
	Object string `json:"object"`
}

// HoldsAt tells whether the grant holds at a time, unless it is withdrawn.
func (g Given) HoldsAt(now time.Time) bool {
	ms := now.UnixMilli()
	return ms >= g.From && (g.To == 0 || ms < g.To)
}

// Held is what the directory knows of a grant.
type Held struct {
	Given
	Withdrawn bool            // or its credential is: whoever gets the name of that later does not hold it
	Position  domain.Position // at which it was given
	Time      time.Time       // when
	By        string          // who gave it
}

func (Given) EventType() string     { return "grant.given" }
func (Withdrawn) EventType() string { return "grant.withdrawn" }

// Give grants a role; Withdraw ends a grant. IDs are drawn by the caller.
type (
	Give     Given
	Withdraw Withdrawn
)

func (c Give) Stream() string        { return stream(c.Object) }
func (c Withdraw) Stream() string    { return stream(c.Object) }
func (Give) CommandName() string     { return "grant.give" }
func (Withdraw) CommandName() string { return "grant.withdraw" }

func stream(object string) string {
	if object == "" {
		return "grant-root"
	}
	return "grant-" + object
}
