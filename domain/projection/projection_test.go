package projection_test

import (
	"errors"
	"reflect"
	"testing"

	"strandline/domain"
	"strandline/domain/projection"
)

func at(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }

func positions(all ...uint64) (found []domain.Position) {
	for _, n := range all {
		found = append(found, at(n))
	}
	return found
}

func fold(events []domain.Event) (s projection.State) {
	for _, e := range events {
		s = projection.Evolve(s, e)
	}
	return s
}

func TestDecide(t *testing.T) {
	const name = "series"
	parked := projection.Parked{Projection: name, Positions: positions(5)}
	discarded := projection.Discarded{Projection: name, Positions: positions(7)}
	retried := projection.Retried{Projection: name, Positions: positions(5, 7)}
	for _, tt := range []struct {
		name  string
		given []domain.Event
		when  domain.Command
		then  []domain.Event
		err   error
	}{
		{"parks", nil, projection.Park(parked), []domain.Event{parked}, nil},
		{"parks what is not out yet", []domain.Event{parked, discarded}, projection.Park{Projection: name, Positions: positions(5, 6, 7)},
			[]domain.Event{projection.Parked{Projection: name, Positions: positions(6)}}, nil},
		{"is quiet when it is parked already", []domain.Event{parked}, projection.Park(parked), nil, nil},
		{"is quiet when it is out for good", []domain.Event{discarded}, projection.Park(discarded), nil, nil},
		{"parks again after a retry", []domain.Event{parked, retried}, projection.Park(parked), []domain.Event{parked}, nil},
		{"parks nothing", nil, projection.Park{Projection: name}, nil, domain.ErrInvalid},
		{"parks for nobody", nil, projection.Park{Positions: positions(1)}, nil, domain.ErrInvalid},

		{"discards", nil, projection.Discard(discarded), []domain.Event{discarded}, nil},
		{"discards what was set aside", []domain.Event{parked}, projection.Discard(parked), []domain.Event{projection.Discarded(parked)}, nil},
		{"is quiet when it is discarded already", []domain.Event{discarded}, projection.Discard(discarded), nil, nil},
		{"discards in disorder", nil, projection.Discard{Projection: name, Positions: positions(2, 1)}, nil, domain.ErrInvalid},
		{"discards twice at once", nil, projection.Discard{Projection: name, Positions: positions(2, 2)}, nil, domain.ErrInvalid},

		{"retries what is out", []domain.Event{parked, discarded}, projection.Retry(retried), []domain.Event{retried}, nil},
		{"retries what could not be applied", nil, projection.Retry(retried), []domain.Event{retried}, nil},
		{"retries once more", []domain.Event{retried}, projection.Retry(retried), []domain.Event{retried}, nil},
		{"rebuilds", nil, projection.Rebuild{Projection: name}, []domain.Event{projection.Rebuilt{Projection: name}}, nil},
		{"rebuilds once more", []domain.Event{projection.Rebuilt{Projection: name}}, projection.Rebuild{Projection: name}, []domain.Event{projection.Rebuilt{Projection: name}}, nil},
		{"goes back, and forth", []domain.Event{projection.Reverted{Projection: name}}, projection.Revert{Projection: name}, []domain.Event{projection.Reverted{Projection: name}}, nil},
		{"takes nobody back", nil, projection.Revert{}, nil, domain.ErrInvalid},
		{"rebuilds nobody", nil, projection.Rebuild{}, nil, domain.ErrInvalid},
		{"retries the beginning", nil, projection.Retry{Projection: name, Positions: positions(0)}, nil, domain.ErrInvalid},
		{"retries very many", nil, projection.Retry{Projection: name, Positions: make([]domain.Position, projection.MaxPositions+1)}, nil, domain.ErrInvalid},
	} {
		got, err := projection.Decide(fold(tt.given), tt.when)
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.then) {
			t.Errorf("%s: Decide(%+v) = %+v, %v; want %+v, %v", tt.name, tt.when, got, err, tt.then, tt.err)
		}
	}
}

func TestEvolve(t *testing.T) {
	const name = "series"
	early := fold([]domain.Event{projection.Parked{Projection: name, Positions: positions(5, 3)}})
	s := projection.Evolve(early, projection.Discarded{Projection: name, Positions: positions(5, 9)})
	s = projection.Evolve(s, projection.Retried{Projection: name, Positions: positions(3)})
	if s = projection.Evolve(s, projection.Rebuilt{Projection: name}); s.Rebuilds != 1 || early.Rebuilds != 0 {
		t.Errorf("rebuilds are counted as %d, and %d before", s.Rebuilds, early.Rebuilds)
	}
	if got := s.LeftOut(); !reflect.DeepEqual(got, positions(5, 9)) || s.Out[at(5)] != projection.ForGood || s.Retries[at(3)] != 1 {
		t.Errorf("left out %v, state %+v", got, s)
	}
	if got := early.LeftOut(); !reflect.DeepEqual(got, positions(3, 5)) || early.Out[at(5)] != projection.SetAside {
		t.Errorf("an earlier state has become %v", early)
	}
	if got := projection.Evolve(s, nil); !reflect.DeepEqual(got, s) {
		t.Errorf("an event of others changes it: %+v", got)
	}
}
