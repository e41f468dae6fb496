package plan_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/plan"
)

func step(n byte) plan.Step {
	return plan.Step{EventID: domain.ID{n}, Stream: "registry-" + string('a'+rune(n)), Type: "study.added", Version: 1, Data: json.RawMessage(`{}`)}
}

func lay(id string, steps ...plan.Step) plan.Make {
	return plan.Make{In: "registry-r", ID: id, Steps: steps}
}

func fold(events []domain.Event) plan.State {
	var s plan.State
	for _, e := range events {
		s = plan.Evolve(s, e)
	}
	return s
}

func TestDecide(t *testing.T) {
	var (
		made    = plan.Made{ID: "p1", Steps: []plan.Step{step(1), step(2)}}
		done    = plan.Done{ID: "p1"}
		finish  = plan.Finish{In: "registry-r", ID: "p1"}
		changed = func(change func(*plan.Step)) plan.Make {
			other := step(2)
			change(&other)
			return lay("p1", step(1), other)
		}
	)
	tests := []struct {
		name  string
		given []domain.Event
		when  domain.Command
		then  []domain.Event
		err   error
	}{
		{"makes", nil, lay("p1", step(1), step(2)), []domain.Event{made}, nil},
		{"makes another", []domain.Event{made}, lay("p2", step(3)), []domain.Event{plan.Made{ID: "p2", Steps: []plan.Step{step(3)}}}, nil},
		{"making twice is quiet", []domain.Event{made}, lay("p1", step(1), step(2)), nil, nil},
		{"making what is done is quiet", []domain.Event{made, done}, lay("p1", step(1), step(2)), nil, nil},
		{"making without an id is refused", nil, lay("", step(1)), nil, domain.ErrInvalid},
		{"making without steps is refused", nil, lay("p1"), nil, domain.ErrInvalid},
		{"a step without an event id is refused", nil, changed(func(s *plan.Step) { s.EventID = domain.ID{} }), nil, domain.ErrInvalid},
		{"two steps with one event id are refused", nil, changed(func(s *plan.Step) { s.EventID = domain.ID{1} }), nil, domain.ErrInvalid},
		{"a step without a stream is refused", nil, changed(func(s *plan.Step) { s.Stream = "" }), nil, domain.ErrInvalid},
		{"two steps in one stream are refused", nil, changed(func(s *plan.Step) { s.Stream = step(1).Stream }), nil, domain.ErrInvalid},
		{"a step in the plan's stream is refused", nil, changed(func(s *plan.Step) { s.Stream = "registry-r" }), nil, domain.ErrInvalid},
		{"a step without a type is refused", nil, changed(func(s *plan.Step) { s.Type = "" }), nil, domain.ErrInvalid},
		{"a step without a version is refused", nil, changed(func(s *plan.Step) { s.Version = 0 }), nil, domain.ErrInvalid},
		{"a step without data is refused", nil, changed(func(s *plan.Step) { s.Data = nil }), nil, domain.ErrInvalid},

		{"finishes", []domain.Event{made}, finish, []domain.Event{done}, nil},
		{"finishing twice is quiet", []domain.Event{made, done}, finish, nil, nil},
		{"finishing what nobody made is refused", nil, finish, nil, plan.ErrNone},
	}
	for _, tt := range tests {
		got, err := plan.Decide(fold(tt.given), tt.when)
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.then) {
			t.Errorf("%s: Decide(%+v) = %+v, %v; want %+v, %v", tt.name, tt.when, got, err, tt.then, tt.err)
		}
	}
	if !errors.Is(plan.ErrNone, domain.ErrNotFound) {
		t.Errorf("%v is not %v", plan.ErrNone, domain.ErrNotFound)
	}
}

// TestPlansEndOnce draws commands for a few plans in one stream: each is made once, and then done once.
func TestPlansEndOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s plan.State
		history := map[string]string{}
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
			c := rapid.SampledFrom([]domain.Command{lay(id, step(1)), plan.Finish{ID: id}}).Draw(t, "command")
			before := plan.State{Done: maps.Clone(s.Done)}
			events, _ := plan.Decide(s, c)
			next := s
			for _, e := range events {
				next = plan.Evolve(next, e)
				history[id] += " " + e.EventType()
			}
			if h := history[id]; h != "" && h != " plan.made" && h != " plan.made plan.done" {
				t.Fatalf("plan %s:%s", id, h)
			}
			if !reflect.DeepEqual(s, before) {
				t.Fatalf("Evolve changed the state before it: %+v; want %+v", s, before)
			}
			s = next
		}
	})
}
