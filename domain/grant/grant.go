package grant

import (
	"fmt"
	"maps"

	"strandline/domain"
)

// Refusals.
var (
	ErrExists = fmt.Errorf("%w: there is or was another grant with this id", domain.ErrRejected)
	ErrNone   = fmt.Errorf("%w: no such grant", domain.ErrNotFound)
)

// maxTime is the end of time in JavaScript and most other places, in ms from 1970.
const maxTime = 8_640_000_000_000_000

// State is what decisions need to remember of the grants on one object. The zero State is an object that nothing has been
// granted on.
type State struct {
	Grants map[string]Holding // by id, withdrawn ones too
}

// Holding is a grant and whether it still holds.
type Holding struct {
	Given     Given
	Withdrawn bool
}

// Evolve returns s after e. It leaves the map of s alone.
func Evolve(s State, e domain.Event) State {
	switch e := e.(type) {
	case Given:
		return s.with(Holding{Given: e})
	case Withdrawn:
		return s.with(Holding{Given: s.Grants[e.ID].Given, Withdrawn: true})
	}
	return s
}

func (s State) with(h Holding) State {
	all := maps.Clone(s.Grants)
	if all == nil {
		all = make(map[string]Holding)
	}
	all[h.Given.ID] = h
	return State{Grants: all}
}

// Decide returns what c causes in s.
func Decide(s State, c domain.Command) ([]domain.Event, error) {
	switch c := c.(type) {
	case Give:
		return give(s, c)
	case Withdraw:
		return withdraw(s, c)
	}
	return nil, fmt.Errorf("%w: grants cannot %T", domain.ErrInvalid, c)
}

func give(s State, c Give) ([]domain.Event, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	before, known := s.Grants[c.ID]
	if known && before == (Holding{Given: Given(c)}) {
		return nil, nil
	}
	if known {
		return nil, ErrExists
	}
	return []domain.Event{Given(c)}, nil
}

func withdraw(s State, c Withdraw) ([]domain.Event, error) {
	before, known := s.Grants[c.ID]
	if !known {
		return nil, ErrNone
	}
	if before.Withdrawn {
		return nil, nil
	}
	return []domain.Event{Withdrawn(c)}, nil
}

func (c Give) check() error {
	if c.ID == "" || c.Credential == "" {
		return fmt.Errorf("%w: a grant has an id and is given to a credential", domain.ErrInvalid)
	}
	switch c.Role {
	case Owner, Writer, Reader, Auditor:
	default:
		return fmt.Errorf("%w: there is no role %q; there are %s, %s, %s and %s", domain.ErrInvalid, c.Role, Owner, Writer, Reader, Auditor)
	}
	if c.From < 0 || c.To < 0 || c.From > maxTime || c.To > maxTime || c.To != 0 && c.From >= c.To {
		return fmt.Errorf("%w: a grant holds from a time after 1970 to a later one", domain.ErrInvalid)
	}
	return nil
}
