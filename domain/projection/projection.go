package projection

import (
	"fmt"
	"maps"
	"slices"

	"strandline/domain"
)

// MaxPositions bounds how many events one command may name.
const MaxPositions = 1000

// Choice is what has been decided about an event that a projection leaves out.
type Choice string

// The choices.
const (
	SetAside Choice = "parked"
	ForGood  Choice = "discarded"
)

// State is what has been decided for one projection. The zero State is one that leaves nothing out.
type State struct {
	Out      map[domain.Position]Choice
	Retries  map[domain.Position]int // how often each event has been tried again by command
	Rebuilds int                     // how often it was to be made again
}

// LeftOut are the positions that the projection leaves out, ascending.
func (s State) LeftOut() []domain.Position {
	return slices.SortedFunc(maps.Keys(s.Out), domain.Position.Compare)
}

// Evolve returns s after e. It leaves the maps of s alone.
func Evolve(s State, e domain.Event) State {
	switch e := e.(type) {
	case Parked:
		return s.with(e.Positions, SetAside)
	case Discarded:
		return s.with(e.Positions, ForGood)
	case Retried:
		return s.retried(e.Positions)
	case Rebuilt:
		s.Rebuilds++
	}
	return s
}

func (s State) with(positions []domain.Position, choice Choice) State {
	s.Out = copied(s.Out)
	for _, p := range positions {
		s.Out[p] = choice
	}
	return s
}

func (s State) retried(positions []domain.Position) State {
	s.Out, s.Retries = copied(s.Out), copied(s.Retries)
	for _, p := range positions {
		delete(s.Out, p)
		s.Retries[p]++
	}
	return s
}

func copied[V any](of map[domain.Position]V) map[domain.Position]V {
	all := maps.Clone(of)
	if all == nil {
		all = map[domain.Position]V{}
	}
	return all
}

// Decide returns what c causes in s.
func Decide(s State, c domain.Command) ([]domain.Event, error) {
	switch c := c.(type) {
	case Park:
		return park(s, c)
	case Discard:
		return discard(s, c)
	case Retry:
		return retry(c)
	case Rebuild:
		return again(c.Projection, Rebuilt(c))
	case Revert:
		return again(c.Projection, Reverted(c))
	}
	return nil, fmt.Errorf("%w: a projection cannot %T", domain.ErrInvalid, c)
}

// park sets aside what is not left out already.
func park(s State, c Park) ([]domain.Event, error) {
	if err := check(c.Projection, c.Positions); err != nil {
		return nil, err
	}
	c.Positions = slices.DeleteFunc(slices.Clone(c.Positions), func(p domain.Position) bool { return s.Out[p] != "" })
	if len(c.Positions) == 0 {
		return nil, nil
	}
	return []domain.Event{Parked(c)}, nil
}

func discard(s State, c Discard) ([]domain.Event, error) {
	if err := check(c.Projection, c.Positions); err != nil {
		return nil, err
	}
	c.Positions = slices.DeleteFunc(slices.Clone(c.Positions), func(p domain.Position) bool { return s.Out[p] == ForGood })
	if len(c.Positions) == 0 {
		return nil, nil
	}
	return []domain.Event{Discarded(c)}, nil
}

// retry is something done, not something set: it happens each time it is asked for.
func retry(c Retry) ([]domain.Event, error) {
	if err := check(c.Projection, c.Positions); err != nil {
		return nil, err
	}
	return []domain.Event{Retried(c)}, nil
}

// again is what happens each time it is asked for, too.
func again(projection string, done domain.Event) ([]domain.Event, error) {
	if projection == "" {
		return nil, fmt.Errorf("%w: name a projection", domain.ErrInvalid)
	}
	return []domain.Event{done}, nil
}

func check(projection string, positions []domain.Position) error {
	ascending := slices.IsSortedFunc(positions, domain.Position.Compare) && len(slices.Compact(slices.Clone(positions))) == len(positions)
	switch {
	case projection == "" || len(positions) == 0 || !ascending || positions[0].IsZero():
		return fmt.Errorf("%w: name a projection, and events of it in their order", domain.ErrInvalid)
	case len(positions) > MaxPositions:
		return fmt.Errorf("%w: name at most %d events at once", domain.ErrInvalid, MaxPositions)
	}
	return nil
}
