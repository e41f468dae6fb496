package attachment_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/attachment"
)

func attach(target, key, value string) attachment.Attach {
	return attachment.Attach{Owner: "U0123456789", Target: target, Key: key, Value: json.RawMessage(value)}
}

func unset(target, key string) attachment.Clear {
	return attachment.Clear{Owner: "U0123456789", Target: target, Key: key}
}

func fold(events []domain.Event) attachment.State {
	var s attachment.State
	for _, e := range events {
		s = attachment.Evolve(s, e)
	}
	return s
}

func TestDecide(t *testing.T) {
	var (
		set     = attachment.Set(attach("me", "lamp.name", `"Ada"`))
		changed = attachment.Set(attach("me", "lamp.name", `"Bob"`))
		cleared = attachment.Cleared(unset("me", "lamp.name"))
		long    = strings.Repeat("k", 256)
	)
	tests := []struct {
		name  string
		given []domain.Event
		when  domain.Command
		then  []domain.Event
		err   error
	}{
		{"attaches", nil, attach("me", "lamp.name", `"Ada"`), []domain.Event{set}, nil},
		{"attaches another value", []domain.Event{set}, attach("me", "lamp.name", `"Bob"`), []domain.Event{changed}, nil},
		{"attaches under another key", []domain.Event{set}, attach("me", "other", `"Ada"`), []domain.Event{attachment.Set(attach("me", "other", `"Ada"`))}, nil},
		{"attaches to another target", []domain.Event{set}, attach("*", "lamp.name", `"Ada"`), []domain.Event{attachment.Set(attach("*", "lamp.name", `"Ada"`))}, nil},
		{"attaches an earlier value", []domain.Event{set, changed}, attach("me", "lamp.name", `"Ada"`), []domain.Event{set}, nil},
		{"attaches after clearing", []domain.Event{set, cleared}, attach("me", "lamp.name", `"Ada"`), []domain.Event{set}, nil},
		{"attaches a long key", nil, attach("me", long, `0`), []domain.Event{attachment.Set(attach("me", long, `0`))}, nil},
		{"attaching the same is quiet", []domain.Event{set}, attach("me", "lamp.name", `"Ada"`), nil, nil},
		{"attaching without a key is refused", nil, attach("me", "", `0`), nil, domain.ErrInvalid},
		{"attaching a key with a slash is refused", nil, attach("me", "a/b", `0`), nil, domain.ErrInvalid},
		{"attaching a key too long is refused", nil, attach("me", long+"k", `0`), nil, domain.ErrInvalid},
		{"attaching a key that is no text is refused", nil, attach("me", "\xff", `0`), nil, domain.ErrInvalid},
		{"attaching to no target is refused", nil, attach("", "a", `0`), nil, domain.ErrInvalid},
		{"attaching to a target too long is refused", nil, attach(long+"k", "a", `0`), nil, domain.ErrInvalid},
		{"attaching no value is refused", nil, attach("me", "a", ``), nil, domain.ErrInvalid},

		{"clears", []domain.Event{set}, unset("me", "lamp.name"), []domain.Event{cleared}, nil},
		{"clearing what is not there is quiet", nil, unset("me", "lamp.name"), nil, nil},
		{"clearing another target is quiet", []domain.Event{set}, unset("*", "lamp.name"), nil, nil},
		{"clearing twice is quiet", []domain.Event{set, cleared}, unset("me", "lamp.name"), nil, nil},
		{"clearing without a key is refused", nil, unset("me", ""), nil, domain.ErrInvalid},
		{"clearing no target is refused", nil, unset("", "a"), nil, domain.ErrInvalid},
	}
	for _, tt := range tests {
		got, err := attachment.Decide(fold(tt.given), tt.when)
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.then) {
			t.Errorf("%s: Decide(%+v) = %+v, %v; want %+v, %v", tt.name, tt.when, got, err, tt.then, tt.err)
		}
	}
}

// TestAgainstMap holds states, old ones too, against plain maps of what is attached.
func TestAgainstMap(t *testing.T) {
	type document struct{ target, key string }
	rapid.Check(t, func(t *rapid.T) {
		states := []attachment.State{{}}
		models := []map[document]string{{}}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			from := rapid.IntRange(max(0, len(states)-3), len(states)-1).Draw(t, "after state")
			d := document{rapid.SampledFrom([]string{"me", "*"}).Draw(t, "target"), fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "key"))}
			value := rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "value")
			model := map[document]string{}
			for other, v := range models[from] {
				model[other] = v
			}
			var e domain.Event = attachment.Set(attach(d.target, d.key, value))
			model[d] = value
			if value == "" {
				e = attachment.Cleared(unset(d.target, d.key))
				delete(model, d)
			}
			states, models = append(states, attachment.Evolve(states[from], e)), append(models, model)
		}
		for i, s := range states {
			for _, target := range []string{"me", "*"} {
				for key := range 21 {
					d := document{target, fmt.Sprint(key)}
					value, there := models[i][d]
					cleared, _ := attachment.Decide(s, unset(d.target, d.key))
					if (len(cleared) > 0) != there {
						t.Fatalf("state %d has %v: %t; want %t", i, d, !there, there)
					}
					if !there {
						continue
					}
					if same, _ := attachment.Decide(s, attach(d.target, d.key, value)); len(same) > 0 {
						t.Fatalf("state %d does not know that %v is %s", i, d, value)
					}
				}
			}
		}
	})
}

// TestFoldingManyDocuments fails where each event copies all documents before it: 40,000 take seconds then.
func TestFoldingManyDocuments(t *testing.T) {
	start := time.Now()
	var s attachment.State
	for i := range 40_000 {
		s = attachment.Evolve(s, attachment.Set(attach(fmt.Sprint(i), "a", "1")))
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("folding 40,000 documents took %v", took)
	}
}
