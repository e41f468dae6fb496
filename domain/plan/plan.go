package plan

import (
	"fmt"
	"maps"

	"strandline/domain"
)

// Make makes a plan, Finish says that all its steps have been appended. In is the stream of the plan, its owner's.
type (
	Make struct {
		In    string
		ID    string
		Steps []Step
	}
	Finish struct {
		In string
		ID string
	}
)

func (c Make) Stream() string      { return c.In }
func (c Finish) Stream() string    { return c.In }
func (Make) CommandName() string   { return "plan.make" }
func (Finish) CommandName() string { return "plan.finish" }

// ErrNone refuses to finish a plan that nobody made.
var ErrNone = fmt.Errorf("%w: no such plan", domain.ErrNotFound)

// State is what decisions need to remember of the plans in one stream. The zero State is a stream without any.
type State struct {
	Done map[string]bool // of each plan by id, false while it is open
}

// Evolve returns s after e. It leaves the map of s alone.
func Evolve(s State, e domain.Event) State {
	switch e := e.(type) {
	case Made:
		return s.with(e.ID, false)
	case Done:
		return s.with(e.ID, true)
	}
	return s
}

func (s State) with(id string, done bool) State {
	all := maps.Clone(s.Done)
	if all == nil {
		all = make(map[string]bool)
	}
	all[id] = done
	return State{Done: all}
}

// Decide returns what c causes in s.
func Decide(s State, c domain.Command) ([]domain.Event, error) {
	switch c := c.(type) {
	case Make:
		return lay(s, c)
	case Finish:
		return finish(s, c)
	}
	return nil, fmt.Errorf("%w: a plan cannot %T", domain.ErrInvalid, c)
}

// lay makes a plan. Its id is that of the command, so a plan with this id is this one.
func lay(s State, c Make) ([]domain.Event, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if _, known := s.Done[c.ID]; known {
		return nil, nil
	}
	return []domain.Event{Made{ID: c.ID, Steps: c.Steps}}, nil
}

func finish(s State, c Finish) ([]domain.Event, error) {
	done, known := s.Done[c.ID]
	if !known {
		return nil, ErrNone
	}
	if done {
		return nil, nil
	}
	return []domain.Event{Done{ID: c.ID}}, nil
}

// check refuses a plan that could not be carried out after a crash: every step needs an event id of its own and a stream
// of its own, which is not the plan's.
func (c Make) check() error {
	if c.ID == "" || len(c.Steps) == 0 {
		return fmt.Errorf("%w: a plan has an id and steps", domain.ErrInvalid)
	}
	streams := map[string]bool{"": true, c.In: true}
	ids := map[domain.ID]bool{{}: true}
	for i, step := range c.Steps {
		if ids[step.EventID] || streams[step.Stream] {
			return fmt.Errorf("%w: step %d has no event id and no stream of its own", domain.ErrInvalid, i)
		}
		if step.Type == "" || step.Version < 1 || len(step.Data) == 0 {
			return fmt.Errorf("%w: step %d has no event", domain.ErrInvalid, i)
		}
		ids[step.EventID], streams[step.Stream] = true, true
	}
	return nil
}
