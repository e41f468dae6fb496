package grant_test

import (
	"errors"
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/grant"
)

func fold(events []domain.Event) grant.State {
	var s grant.State
	for _, e := range events {
		s = grant.Evolve(s, e)
	}
	return s
}

func TestDecide(t *testing.T) {
	give := func(change func(*grant.Give)) grant.Give {
		c := grant.Give{ID: "g1", Object: "4ht9vx2m7kq8z3w5n6r1", Credential: "c1", Role: grant.Reader}
		if change != nil {
			change(&c)
		}
		return c
	}
	given := grant.Given(give(nil))
	withdraw := grant.Withdraw{ID: "g1", Object: given.Object}
	withdrawn := grant.Withdrawn(withdraw)
	bounded := give(func(c *grant.Give) { c.From, c.To = 1, 2 })

	toEnd := give(func(c *grant.Give) { c.To = 8_640_000_000_000_000 })
	fromEnd := give(func(c *grant.Give) { c.From = 8_640_000_000_000_000 })

	tests := []struct {
		name  string
		given []domain.Event
		when  domain.Command
		then  []domain.Event
		err   error
	}{
		{"gives", nil, give(nil), []domain.Event{given}, nil},
		{"gives for a time", nil, bounded, []domain.Event{grant.Given(bounded)}, nil},
		{"gives from a time on", nil, give(func(c *grant.Give) { c.From = 5 }), []domain.Event{grant.Given(give(func(c *grant.Give) { c.From = 5 }))}, nil},
		{"gives to the end of time", nil, toEnd, []domain.Event{grant.Given(toEnd)}, nil},
		{"gives from the end of time on", nil, fromEnd, []domain.Event{grant.Given(fromEnd)}, nil},
		{"gives another", []domain.Event{given}, give(func(c *grant.Give) { c.ID = "g2" }), []domain.Event{grant.Given(give(func(c *grant.Give) { c.ID = "g2" }))}, nil},
		{"giving the same again is quiet", []domain.Event{given}, give(nil), nil, nil},
		{"giving something else with its id is refused", []domain.Event{given}, give(func(c *grant.Give) { c.Role = grant.Owner }), nil, grant.ErrExists},
		{"giving again what was withdrawn is refused", []domain.Event{given, withdrawn}, give(nil), nil, grant.ErrExists},
		{"giving an unknown role is refused", nil, give(func(c *grant.Give) { c.Role = "god" }), nil, domain.ErrInvalid},
		{"giving no role is refused", nil, give(func(c *grant.Give) { c.Role = "" }), nil, domain.ErrInvalid},
		{"giving to nobody is refused", nil, give(func(c *grant.Give) { c.Credential = "" }), nil, domain.ErrInvalid},
		{"giving without an id is refused", nil, give(func(c *grant.Give) { c.ID = "" }), nil, domain.ErrInvalid},
		{"giving for no time is refused", nil, give(func(c *grant.Give) { c.From, c.To = 2, 2 }), nil, domain.ErrInvalid},
		{"giving backwards is refused", nil, give(func(c *grant.Give) { c.From, c.To = 3, 2 }), nil, domain.ErrInvalid},
		{"giving before time is refused", nil, give(func(c *grant.Give) { c.From = -1 }), nil, domain.ErrInvalid},
		{"giving until before time is refused", nil, give(func(c *grant.Give) { c.From, c.To = -2, -1 }), nil, domain.ErrInvalid},
		{"giving from after time is refused", nil, give(func(c *grant.Give) { c.From = 8_640_000_000_000_001 }), nil, domain.ErrInvalid},
		{"giving beyond time is refused", nil, give(func(c *grant.Give) { c.To = 1 << 62 }), nil, domain.ErrInvalid},

		{"withdraws", []domain.Event{given}, withdraw, []domain.Event{withdrawn}, nil},
		{"withdrawing twice is quiet", []domain.Event{given, withdrawn}, withdraw, nil, nil},
		{"withdrawing what nobody gave is refused", nil, withdraw, nil, grant.ErrNone},
	}
	for _, tt := range tests {
		got, err := grant.Decide(fold(tt.given), tt.when)
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.then) {
			t.Errorf("%s: Decide(%+v) = %+v, %v; want %+v, %v", tt.name, tt.when, got, err, tt.then, tt.err)
		}
	}
}

func TestKindsOfErrors(t *testing.T) {
	if !errors.Is(grant.ErrExists, domain.ErrRejected) || !errors.Is(grant.ErrNone, domain.ErrNotFound) {
		t.Errorf("ErrExists is %v, ErrNone is %v", grant.ErrExists, grant.ErrNone)
	}
}

// TestGrantsHoldOnce draws commands: a grant is given once, withdrawn once, and never in the other order.
func TestGrantsHoldOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s grant.State
		model := map[string]string{}
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
			c := rapid.SampledFrom([]domain.Command{
				grant.Give{ID: id, Credential: "c1", Role: grant.Reader},
				grant.Give{ID: id, Credential: "c1", Role: grant.Owner},
				grant.Withdraw{ID: id},
			}).Draw(t, "command")
			before := grant.State{Grants: maps.Clone(s.Grants)}
			events, err := grant.Decide(s, c)
			next := s
			for _, e := range events {
				next = grant.Evolve(next, e)
				switch e.(type) {
				case grant.Given:
					if model[id] != "" {
						t.Fatalf("%s is given after it was %s", id, model[id])
					}
					model[id] = "given"
				case grant.Withdrawn:
					if model[id] != "given" {
						t.Fatalf("%s is withdrawn after it was %s", id, model[id])
					}
					model[id] = "withdrawn"
				}
			}
			if !reflect.DeepEqual(s, before) {
				t.Fatalf("Evolve changed the state before it: %+v; want %+v", s, before)
			}
			if again, err2 := grant.Decide(next, c); len(again) > 0 || (err == nil) != (err2 == nil) {
				t.Fatalf("the same command again: %+v, %v", again, err2)
			}
			s = next
		}
	})
}
