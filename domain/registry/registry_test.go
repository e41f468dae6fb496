package registry_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/registry"
)

const (
	researcher  = "8zr5hq2k9v7x4w3n6m1t"
	study       = "4ht9vx2m7kq8z3w5n6r1"
	activity    = "q3w5n6r14ht9vx2m7k8z"
	participant = "U0123456789"
	digest      = "6b1f0c2d8e3a4957b0c1d2e3f4051627"
)

func attributes(pairs ...string) registry.Attributes {
	all := make(registry.Attributes)
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return all
}

func fold(events []domain.Event) registry.State {
	var s registry.State
	for _, e := range events {
		s = registry.Evolve(s, e)
	}
	return s
}

func addStudy(id string, a registry.Attributes) registry.Add {
	return registry.Add{Key: id, Kind: registry.Study, ID: id, Parent: researcher, ParentKind: registry.Researcher, Attributes: a}
}

func addActivity(a registry.Attributes) registry.Add {
	return registry.Add{Key: activity, Kind: registry.Activity, ID: activity, Parent: study, ParentKind: registry.Study, Attributes: a}
}

func TestDecide(t *testing.T) {
	var (
		sleep       = attributes("name", `"Sleep"`)
		added       = registry.Added{Kind: registry.Study, ID: study, Parent: researcher, Attributes: sleep}
		removed     = registry.Removed{Kind: registry.Study, ID: study}
		remove      = registry.Remove{Key: study, Kind: registry.Study, ID: study}
		survey      = attributes("description", `"old"`)
		specAdded   = registry.Added{Kind: registry.ActivitySpec, ID: "lamp.survey", Attributes: survey}
		specRemoved = registry.Removed{Kind: registry.ActivitySpec, ID: "lamp.survey"}
		evening     = registry.Added{Kind: registry.Activity, ID: activity, Parent: study, Attributes: attributes("spec", `"lamp.survey"`)}
	)
	addSpec := func(a registry.Attributes) registry.Add {
		return registry.Add{Key: digest, Kind: registry.ActivitySpec, ID: "lamp.survey", Attributes: a}
	}
	revise := func(a registry.Attributes) registry.Revise {
		return registry.Revise{Key: study, Kind: registry.Study, ID: study, Attributes: a}
	}
	reviseActivity := func(a registry.Attributes) registry.Revise {
		return registry.Revise{Key: activity, Kind: registry.Activity, ID: activity, Attributes: a}
	}
	tests := []struct {
		name  string
		given []domain.Event
		when  domain.Command
		then  []domain.Event
		err   error
	}{
		{"adds", nil, addStudy(study, sleep), []domain.Event{added}, nil},
		{"adds as a step of a plan", nil,
			registry.Add{Key: researcher, Kind: registry.Researcher, ID: researcher, Plan: "p"},
			[]domain.Event{registry.Added{Kind: registry.Researcher, ID: researcher, Plan: "p"}}, nil},
		{"adds a participant", nil,
			registry.Add{Key: participant, Kind: registry.Participant, ID: participant, Parent: study, ParentKind: registry.Study},
			[]domain.Event{registry.Added{Kind: registry.Participant, ID: participant, Parent: study}}, nil},
		{"adds a removed specification again, as sent now", []domain.Event{specAdded, specRemoved}, addSpec(attributes("description", `"new"`)),
			[]domain.Event{registry.Added{Kind: registry.ActivitySpec, ID: "lamp.survey", Attributes: attributes("description", `"new"`)}}, nil},
		{"adding what is there is refused", []domain.Event{added}, addStudy(study, sleep), nil, registry.ErrExists},
		{"adding what is there with other content is refused", []domain.Event{added}, addStudy(study, nil), nil, registry.ErrExists},
		{"adding a specification that is there is refused", []domain.Event{specAdded}, addSpec(survey), nil, registry.ErrExists},
		{"adding with the id of something removed is refused", []domain.Event{added, removed}, addStudy(study, sleep), nil, registry.ErrRemoved},
		{"adding an unknown kind is refused", nil, registry.Add{Key: study, Kind: "clinic", ID: study}, nil, domain.ErrInvalid},
		{"adding below nothing is refused", nil, registry.Add{Key: study, Kind: registry.Study, ID: study}, nil, domain.ErrInvalid},
		{"adding below another kind is refused", nil,
			registry.Add{Key: study, Kind: registry.Study, ID: study, Parent: activity, ParentKind: registry.Activity}, nil, domain.ErrInvalid},
		{"adding a researcher below something is refused", nil,
			registry.Add{Key: researcher, Kind: registry.Researcher, ID: researcher, Parent: study, ParentKind: registry.Study}, nil, domain.ErrInvalid},
		{"adding under another key is refused", nil,
			registry.Add{Key: digest, Kind: registry.Study, ID: study, Parent: researcher, ParentKind: registry.Researcher}, nil, domain.ErrInvalid},
		{"adding an unknown attribute is refused", nil, addStudy(study, attributes("email", `"a@b"`)), nil, domain.ErrInvalid},
		{"adding an attribute of the wrong type is refused", nil, addStudy(study, attributes("name", `7`)), nil, domain.ErrInvalid},
		{"adding an empty attribute is refused", nil, addStudy(study, registry.Attributes{"name": nil}), nil, domain.ErrInvalid},
		{"adding an empty attribute of any type is refused", nil, addActivity(registry.Attributes{"settings": nil}), nil, domain.ErrInvalid},

		{"revises what is new only", []domain.Event{added}, revise(attributes("name", `"Sleep"`, "isMessagingEnabled", `false`)),
			[]domain.Event{registry.Revised{Kind: registry.Study, ID: study, Attributes: attributes("isMessagingEnabled", `false`)}}, nil},
		{"revises back", []domain.Event{added, registry.Revised{Kind: registry.Study, ID: study, Attributes: attributes("name", `"Wake"`)}}, revise(sleep),
			[]domain.Event{registry.Revised{Kind: registry.Study, ID: study, Attributes: sleep}}, nil},
		{"revising nothing is quiet", []domain.Event{added}, revise(nil), nil, nil},
		{"revising to what it is is quiet", []domain.Event{added}, revise(sleep), nil, nil},
		{"revising nobody is refused", nil, revise(sleep), nil, registry.ErrNone},
		{"revising something removed is refused", []domain.Event{added, removed}, revise(sleep), nil, registry.ErrNone},
		{"revising as another kind is refused", []domain.Event{evening}, registry.Revise{Key: activity, Kind: registry.Sensor, ID: activity}, nil, registry.ErrNone},
		{"revising an unknown attribute is refused", []domain.Event{added}, revise(attributes("spec", `"a"`)), nil, domain.ErrInvalid},
		{"revising what never changes is refused", []domain.Event{evening}, reviseActivity(attributes("spec", `"other"`)), nil, registry.ErrFixed},
		{"revising what never changes to what it is is quiet", []domain.Event{evening}, reviseActivity(attributes("spec", `"lamp.survey"`)), nil, nil},

		{"removes", []domain.Event{added}, remove, []domain.Event{removed}, nil},
		{"removes what was added again", []domain.Event{specAdded, specRemoved, specAdded},
			registry.Remove{Key: digest, Kind: registry.ActivitySpec, ID: "lamp.survey"}, []domain.Event{specRemoved}, nil},
		{"removing nobody is refused", nil, remove, nil, registry.ErrNone},
		{"removing twice is refused", []domain.Event{added, removed}, remove, nil, registry.ErrNone},
		{"removing as another kind is refused", []domain.Event{added}, registry.Remove{Key: study, Kind: registry.Researcher, ID: study}, nil, registry.ErrNone},
		{"a stranger's command is refused", nil, stranger{}, nil, domain.ErrInvalid},
	}
	for _, tt := range tests {
		got, err := registry.Decide(fold(tt.given), tt.when)
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.then) {
			t.Errorf("%s: Decide(%+v) = %+v, %v; want %+v, %v", tt.name, tt.when, got, err, tt.then, tt.err)
		}
	}
}

type stranger struct{}

func (stranger) Stream() string      { return "" }
func (stranger) CommandName() string { return "stranger.ask" }

func TestKindsOfErrors(t *testing.T) {
	for err, kind := range map[error]error{
		registry.ErrExists:  domain.ErrRejected,
		registry.ErrRemoved: domain.ErrRejected,
		registry.ErrFixed:   domain.ErrRejected,
		registry.ErrNone:    domain.ErrNotFound,
	} {
		if !errors.Is(err, kind) {
			t.Errorf("%v is not %v", err, kind)
		}
	}
}

func TestIDs(t *testing.T) {
	tests := []struct {
		kind registry.Kind
		id   string
		ok   bool
	}{
		{registry.Researcher, researcher, true},
		{registry.Researcher, researcher[1:], false},
		{registry.Researcher, researcher + "0", false},
		{registry.Researcher, "i" + researcher[1:], false},
		{registry.Researcher, "l" + researcher[1:], false},
		{registry.Researcher, "o" + researcher[1:], false},
		{registry.Researcher, "u" + researcher[1:], false},
		{registry.Researcher, "A" + researcher[1:], false},
		{registry.Researcher, participant, false},
		{registry.Participant, participant, true},
		{registry.Participant, "u0123456789", false},
		{registry.Participant, "U012345678", false},
		{registry.Participant, "U01234567890", false},
		{registry.Participant, "U012345678a", false},
		{registry.Participant, researcher, false},
		{registry.SensorSpec, "lamp.accelerometer", true},
		{registry.SensorSpec, strings.Repeat("n", 256), true},
		{registry.SensorSpec, strings.Repeat("n", 257), false},
		{registry.SensorSpec, "", false},
		{registry.SensorSpec, "a\xff", false},
	}
	parents := map[registry.Kind]registry.Add{
		registry.Participant: {Parent: study, ParentKind: registry.Study},
	}
	for _, tt := range tests {
		c := parents[tt.kind]
		c.Key, c.Kind, c.ID = tt.id, tt.kind, tt.id
		if tt.kind == registry.SensorSpec {
			c.Key = digest
		}
		if _, err := registry.Decide(registry.State{}, c); (err == nil) != tt.ok {
			t.Errorf("adding %s %q: %v; want it taken: %t", tt.kind, tt.id, err, tt.ok)
		}
	}
}

func TestAttributes(t *testing.T) {
	forms := map[string][]string{
		"text":           {`""`, `"a"`},
		"boolean":        {`true`, `false`},
		"list":           {`[]`, `[1]`},
		"list or null":   {`[]`, `[1]`, `null`},
		"text or null":   {`""`, `"a"`, `null`},
		"object or null": {`{}`, `[]`, `[1]`, `null`},
		"anything":       {`""`, `"a"`, `true`, `false`, `[]`, `[1]`, `null`, `{}`, `0`, `-1`},
	}
	allowed := map[registry.Kind]map[string]string{
		registry.Researcher:  {"name": "text"},
		registry.Study:       {"name": "text", "isMessagingEnabled": "boolean"},
		registry.Participant: {},
		registry.Activity:    {"spec": "text", "name": "text", "settings": "anything", "schedule": "list", "category": "list or null"},
		registry.Sensor:      {"spec": "text", "name": "text", "settings": "anything"},
		registry.ActivitySpec: {"description": "text or null", "executable": "text or null", "static_data": "object or null",
			"temporal_slices": "object or null", "settings": "object or null", "category": "list or null"},
		registry.SensorSpec: {"settings_schema": "object or null"},
	}
	var everyName []string
	for _, names := range allowed {
		for name := range names {
			everyName = append(everyName, name)
		}
	}
	for _, kind := range registry.Kinds() {
		for _, name := range everyName {
			for _, value := range forms["anything"] {
				s := registry.State{Kind: kind}
				_, err := registry.Decide(s, registry.Revise{Kind: kind, Attributes: attributes(name, value)})
				form, known := allowed[kind][name]
				want := known && contains(forms[form], value)
				if (err == nil) != want {
					t.Errorf("%s of a %s = %s: %v; want it taken: %t", name, kind, value, err, want)
				}
			}
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// TestAgainstModel holds the decider against the plainest account of what a study is.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s registry.State
		model, exists, gone := registry.Attributes{}, false, false
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			given := drawAttributes(t)
			var c domain.Command
			var change, refuse bool
			switch rapid.SampledFrom([]string{"add", "revise", "remove"}).Draw(t, "verb") {
			case "add":
				c, change, refuse = addStudy(study, given), !exists && !gone, exists || gone
			case "revise":
				merged := maps.Clone(model)
				maps.Copy(merged, given)
				c, change, refuse = registry.Revise{Key: study, Kind: registry.Study, ID: study, Attributes: given}, exists && !reflect.DeepEqual(merged, model), !exists
			case "remove":
				c, change, refuse = registry.Remove{Key: study, Kind: registry.Study, ID: study}, exists, !exists
			}
			before := registry.State{Kind: s.Kind, Removed: s.Removed, Attributes: maps.Clone(s.Attributes)}
			events, err := registry.Decide(s, c)
			if (err != nil) != refuse || (len(events) > 0) != change {
				t.Fatalf("Decide(%+v) = %+v, %v; want a refusal: %t, a change: %t", c, events, err, refuse, change)
			}
			next := s
			for _, e := range events {
				next = registry.Evolve(next, e)
				switch e := e.(type) {
				case registry.Added:
					exists, model = true, maps.Clone(given)
				case registry.Revised:
					maps.Copy(model, e.Attributes)
				case registry.Removed:
					exists, gone, model = false, true, registry.Attributes{}
				}
			}
			if !reflect.DeepEqual(s, before) {
				t.Fatalf("Evolve changed the state before it: %+v; want %+v", s, before)
			}
			if again, _ := registry.Decide(next, c); len(again) > 0 {
				t.Fatalf("the same command again causes %+v", again)
			}
			s = next
		}
	})
}

func drawAttributes(t *rapid.T) registry.Attributes {
	all := registry.Attributes{}
	if rapid.Bool().Draw(t, "with a name") {
		all["name"] = json.RawMessage(rapid.SampledFrom([]string{`"a"`, `"b"`}).Draw(t, "name"))
	}
	if rapid.Bool().Draw(t, "with a flag") {
		all["isMessagingEnabled"] = json.RawMessage(rapid.SampledFrom([]string{`true`, `false`}).Draw(t, "flag"))
	}
	return all
}

// TestWhatIsWrongWithAttributes is said by names that are ours, in the same words each time.
func TestWhatIsWrongWithAttributes(t *testing.T) {
	for range 20 {
		for _, tt := range []struct {
			name, value string
			want        string
		}{
			{"neme", `"x"`, `there is no attribute "neme"; there are isMessagingEnabled, name`},
			{"name", `7`, "attribute name has a value of the wrong type"},
		} {
			_, err := registry.Decide(registry.State{}, addStudy(study, attributes(tt.name, tt.value, "zzz", `1`)))
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Fatalf("%s: %v, want %s", tt.name, err, tt.want)
			}
		}
	}
}
