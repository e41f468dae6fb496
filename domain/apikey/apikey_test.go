package apikey_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/apikey"
)

const (
	id     = "6b1f0c2d8e3a49576b1f0c2d"
	origin = "4ht9vx2m7kq8z3w5n6r1"
	hash   = "6b1f0c2d8e3a4957b0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f4051627"
	end    = 8_640_000_000_000_000
)

func fold(events []domain.Event) apikey.State {
	var s apikey.State
	for _, e := range events {
		s = apikey.Evolve(s, e)
	}
	return s
}

func TestDecide(t *testing.T) {
	issue := func(change func(*apikey.Issue)) apikey.Issue {
		c := apikey.Issue{ID: id, Origin: origin, SecretHash: hash, Name: "nightly export"}
		if change != nil {
			change(&c)
		}
		return c
	}
	issued := apikey.Issued(issue(nil))
	root := issue(func(c *apikey.Issue) { c.Origin = "" })
	bounded := issue(func(c *apikey.Issue) { c.From, c.To = 1, end })
	longest := issue(func(c *apikey.Issue) { c.Name = strings.Repeat("n", 256) })
	revoke := apikey.Revoke{ID: id, Origin: origin}
	revoked := apikey.Revoked(revoke)

	tests := []struct {
		name  string
		given []domain.Event
		when  domain.Command
		then  []domain.Event
		err   error
	}{
		{"issues", nil, issue(nil), []domain.Event{issued}, nil},
		{"issues to the installation", nil, root, []domain.Event{apikey.Issued(root)}, nil},
		{"issues for a time", nil, bounded, []domain.Event{apikey.Issued(bounded)}, nil},
		{"issues with a long name", nil, longest, []domain.Event{apikey.Issued(longest)}, nil},
		{"issuing the same again is quiet", []domain.Event{issued}, issue(nil), nil, nil},
		{"issuing another with its id is refused", []domain.Event{issued}, bounded, nil, apikey.ErrExists},
		{"issuing again what was revoked is refused", []domain.Event{issued, revoked}, issue(nil), nil, apikey.ErrExists},
		{"issuing without an id is refused", nil, issue(func(c *apikey.Issue) { c.ID = "" }), nil, domain.ErrInvalid},
		{"issuing with a secret in clear is refused", nil, issue(func(c *apikey.Issue) { c.SecretHash = "secret" }), nil, domain.ErrInvalid},
		{"issuing with half a hash is refused", nil, issue(func(c *apikey.Issue) { c.SecretHash = hash[:32] }), nil, domain.ErrInvalid},
		{"issuing without a secret is refused", nil, issue(func(c *apikey.Issue) { c.SecretHash = "" }), nil, domain.ErrInvalid},
		{"issuing with a huge name is refused", nil, issue(func(c *apikey.Issue) { c.Name = strings.Repeat("n", 257) }), nil, domain.ErrInvalid},
		{"issuing with a name that is no text is refused", nil, issue(func(c *apikey.Issue) { c.Name = "\xff" }), nil, domain.ErrInvalid},
		{"issuing for no time is refused", nil, issue(func(c *apikey.Issue) { c.From, c.To = 2, 2 }), nil, domain.ErrInvalid},
		{"issuing backwards is refused", nil, issue(func(c *apikey.Issue) { c.From, c.To = 3, 2 }), nil, domain.ErrInvalid},
		{"issuing from before time is refused", nil, issue(func(c *apikey.Issue) { c.From = -1 }), nil, domain.ErrInvalid},
		{"issuing until before time is refused", nil, issue(func(c *apikey.Issue) { c.To = -1 }), nil, domain.ErrInvalid},
		{"issuing from after time is refused", nil, issue(func(c *apikey.Issue) { c.From = end + 1 }), nil, domain.ErrInvalid},
		{"issuing beyond time is refused", nil, issue(func(c *apikey.Issue) { c.To = end + 1 }), nil, domain.ErrInvalid},

		{"revokes", []domain.Event{issued}, revoke, []domain.Event{revoked}, nil},
		{"revoking twice is quiet", []domain.Event{issued, revoked}, revoke, nil, nil},
		{"revoking what nobody issued is refused", nil, revoke, nil, apikey.ErrNone},
		{"revoking what nobody issued as root is refused", nil, apikey.Revoke{ID: id}, nil, apikey.ErrNone},
		{"revoking another object's is refused", []domain.Event{issued}, apikey.Revoke{ID: id, Origin: "U0123456789"}, nil, apikey.ErrNone},
	}
	for _, tt := range tests {
		got, err := apikey.Decide(fold(tt.given), tt.when)
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.then) {
			t.Errorf("%s: Decide(%+v) = %+v, %v; want %+v, %v", tt.name, tt.when, got, err, tt.then, tt.err)
		}
	}
}

func TestKindsOfErrors(t *testing.T) {
	if !errors.Is(apikey.ErrExists, domain.ErrRejected) || !errors.Is(apikey.ErrNone, domain.ErrNotFound) {
		t.Errorf("ErrExists is %v, ErrNone is %v", apikey.ErrExists, apikey.ErrNone)
	}
}

func TestHoldsAt(t *testing.T) {
	for _, tt := range []struct {
		from, to, now int64
		want          bool
	}{
		{0, 0, 5, true}, {5, 0, 4, false}, {5, 0, 5, true}, {0, 5, 4, true}, {0, 5, 5, false}, {4, 6, 5, true},
	} {
		if got := (apikey.Issued{From: tt.from, To: tt.to}).HoldsAt(time.UnixMilli(tt.now)); got != tt.want {
			t.Errorf("a key from %d to %d holds at %d: %v", tt.from, tt.to, tt.now, got)
		}
	}
}

// TestAKeyLivesOnce draws commands: a key is issued once, revoked once, after that, by its own object.
func TestAKeyLivesOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s apikey.State
		life := ""
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			from := rapid.SampledFrom([]string{"", origin}).Draw(t, "origin")
			c := rapid.SampledFrom([]domain.Command{
				apikey.Issue{ID: id, Origin: from, SecretHash: hash}, apikey.Revoke{ID: id, Origin: from},
			}).Draw(t, "command")
			events, err := apikey.Decide(s, c)
			for _, e := range events {
				s = apikey.Evolve(s, e)
				switch e := e.(type) {
				case apikey.Issued:
					if life != "" {
						t.Fatalf("issued after it was %s", life)
					}
					life = "issued for " + e.Origin
				case apikey.Revoked:
					if life != "issued for "+e.Origin {
						t.Fatalf("revoked by %q after it was %s", e.Origin, life)
					}
					life = "revoked"
				}
			}
			if again, err2 := apikey.Decide(s, c); len(again) > 0 || (err == nil) != (err2 == nil) {
				t.Fatalf("the same command again: %+v, %v", again, err2)
			}
		}
	})
}
