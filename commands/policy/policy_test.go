package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/grant"
	"strandline/domain/registry"
)

// tree is the directory of the tests: two researchers, the first with two studies.
//
//	R ─ S ─ P, P2, A, N
//	  └ T ─ Q, B
//	X ─ Y ─ Z
type tree struct{ grants []grant.Given }

var objects = map[string]registry.Object{
	"R": {ID: "R", Kind: registry.Researcher},
	"S": {ID: "S", Kind: registry.Study, Parent: "R"}, "P": {ID: "P", Kind: registry.Participant, Parent: "S"},
	"P2": {ID: "P2", Kind: registry.Participant, Parent: "S"}, "A": {ID: "A", Kind: registry.Activity, Parent: "S"},
	"N": {ID: "N", Kind: registry.Sensor, Parent: "S"},
	"T": {ID: "T", Kind: registry.Study, Parent: "R"}, "Q": {ID: "Q", Kind: registry.Participant, Parent: "T"},
	"B": {ID: "B", Kind: registry.Activity, Parent: "T"},
	"X": {ID: "X", Kind: registry.Researcher}, "Y": {ID: "Y", Kind: registry.Study, Parent: "X"},
	"Z": {ID: "Z", Kind: registry.Participant, Parent: "Y"},
}

func (t tree) Object(id string) (registry.Object, bool) { o, ok := objects[id]; return o, ok }

func (t tree) Spec(kind registry.Kind, name string) (registry.Object, bool) {
	if kind != registry.SensorSpec || name != "lamp.gps" {
		return registry.Object{}, false
	}
	return registry.Object{ID: name, Kind: kind}, true
}

func (t tree) Grants(credential string) []grant.Given {
	return slices.DeleteFunc(slices.Clone(t.grants), func(g grant.Given) bool { return g.Credential != credential })
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// callers are one for each place in the tree, and those without.
func callers() map[string]policy.Caller {
	all := map[string]policy.Caller{
		"root":   {Credential: "root", Root: true},
		"nobody": {Anonymous: true},
		"gone":   {Credential: "gone", Origin: "removed"},
	}
	for id := range objects {
		all[id] = policy.Caller{Credential: id, Origin: id}
	}
	return all
}

// "" is the installation, "spec" a specification.
func object(id string) policy.Object {
	if id == "spec" {
		return policy.Object{Kind: registry.SensorSpec, ID: "lamp.gps"}
	}
	return policy.Object{ID: id}
}

const (
	everybody = "R S P P2 A N T Q B X Y Z" // all who are signed in for an object

	using = "researcher.view researcher.update researcher.delete researcher.lookup " +
		"study.list study.create study.view study.update study.delete " +
		"participant.list participant.create participant.view participant.update participant.delete " +
		"activity.list activity.create activity.update activity.delete " +
		"sensor.list sensor.create sensor.update sensor.delete " +
		"credential.list credential.create credential.update credential.delete " +
		"event.list event.create event.delete tag.set"
	reading = "activity.view sensor.view parent.view tag.list tag.view"
	opening = "event.open audit.view"
)

// allowed lists who may do what, besides root, which may do everything. What is not listed is forbidden.
var allowed = []struct{ contract, verbs, object, callers string }{
	// Contract "LAMP", section 4, steps 4 and 8: self, and parent up to the researcher.
	{"a researcher is its own", using + " " + reading, "R", "R"},
	{"a study is its own and its researcher's; [FIX] studies are no siblings", using + " " + reading, "S", "S R"},
	{"the same", using + " " + reading, "T", "T R"},
	{"a participant: itself, its study, its researcher; [FIX] no other participant", using + " " + reading, "P", "P S R"},
	{"the same", using + " " + reading, "P2", "P2 S R"},
	{"of another study", using + " " + reading, "Q", "Q T R"},
	{"of another researcher", using + " " + reading, "Z", "Z Y X"},
	{"[FIX] researchers are no siblings", using + " " + reading, "X", "X"},
	{"a study of another researcher", using + " " + reading, "Y", "Y X"},

	// Contract "LAMP", section 4, step 7 with its [FIX]: siblings read activities and sensors with their tags.
	{"[FIX] activities are changed by self and parent", using, "A", "A S R"},
	{"activities are read by all of the study", reading, "A", "A S R P P2 N"},
	{"[FIX] sensors are changed by self and parent", using, "N", "N S R"},
	{"sensors are read by all of the study", reading, "N", "N S R P P2 A"},
	{"[FIX] an activity of another study: changed", using, "B", "B T R"},
	{"an activity of another study: read", reading, "B", "B T R Q"},

	// Contract "LAMP", section 4, step 5, and its table: specifications, and everything on the installation.
	{"specifications are read by any caller", "spec.view", "", everybody},
	{"even a certain one", "spec.view", "spec", everybody},
	{"lists of what the caller may view", "own.list", "", everybody},
	{"what the server says about itself", "server.view", "", everybody + " nobody"},

	// Decision 23: researchers open what was recorded in their own subtree.
	{"researcher's own", opening, "R", "R"}, {"its study", opening, "S", "R"}, {"its participant", opening, "P", "R"},
	{"its participant", opening, "P2", "R"}, {"its activity", opening, "A", "R"}, {"its sensor", opening, "N", "R"},
	{"its study", opening, "T", "R"}, {"its participant", opening, "Q", "R"}, {"its activity", opening, "B", "R"},
	{"another researcher's own", opening, "X", "X"}, {"its study", opening, "Y", "X"}, {"its participant", opening, "Z", "X"},
}

// listed tells whether the table allows it. Asking for lists of oneself is asked of the installation only.
func listed(caller string, verb policy.Verb, object string) bool {
	if caller == "root" {
		return true
	}
	if caller == "gone" {
		return false
	}
	for _, row := range allowed {
		if row.object == object && slices.Contains(strings.Fields(row.verbs), string(verb)) &&
			slices.Contains(strings.Fields(row.callers), caller) {
			return true
		}
	}
	return false
}

func TestEveryVerbOfEveryCallerOnEveryObject(t *testing.T) {
	p := compile(t, tree{})
	cells := 0
	for name, caller := range callers() {
		for _, verb := range policy.Verbs() {
			for _, id := range append(strings.Fields(everybody), "", "spec") {
				cells++
				err := p.Check(caller, verb, object(id), noon)
				want := listed(name, verb, id)
				if want && err != nil || !want && !errors.Is(err, domain.ErrForbidden) {
					t.Errorf("%s by %s on %q: %v, want allowed %v", verb, name, id, err, want)
				}
			}
		}
	}
	t.Logf("%d cells", cells)
}

func compile(t testing.TB, of tree) *policy.Policy {
	t.Helper()
	p, err := policy.New(of)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTableNamesVerbsThatExist(t *testing.T) {
	for _, row := range allowed {
		for _, v := range strings.Fields(row.verbs) {
			if !slices.Contains(policy.Verbs(), policy.Verb(v)) {
				t.Errorf("%q is no verb", v)
			}
		}
	}
}

// Contract "LAMP", section 4, step 6: whoever asks, what is not there is not found before anything is forbidden.
func TestMissingComesBeforeForbidden(t *testing.T) {
	p := compile(t, tree{})
	for name, caller := range callers() {
		for _, missing := range []policy.Object{
			{ID: "nobody"},
			{Kind: registry.Study, ID: "P"},
			{Kind: registry.Study, ID: "lamp.gps"},
			{ID: "lamp.gps"},
			{Kind: registry.ActivitySpec, ID: "lamp.gps"},
			{Kind: registry.SensorSpec, ID: "P"},
		} {
			if err := p.Check(caller, policy.TagView, missing, noon); !errors.Is(err, domain.ErrNotFound) {
				t.Errorf("%s asking for %+v: %v", name, missing, err)
			}
		}
	}
	if err := p.Check(callers()["P"], policy.ParticipantView, policy.Object{Kind: registry.Participant, ID: "P"}, noon); err != nil {
		t.Errorf("asking with the right kind: %v", err)
	}
}

func TestUnknownVerbIsForbiddenEvenToRoot(t *testing.T) {
	p := compile(t, tree{})
	for _, verb := range []policy.Verb{"", "study.destroy", "STUDY.VIEW"} {
		if err := p.Check(callers()["root"], verb, policy.Object{}, noon); !errors.Is(err, domain.ErrForbidden) {
			t.Errorf("%q: %v", verb, err)
		}
	}
}

// Decision 23: an auditor opens payloads on and below the object of its grant, as long as that holds, and does nothing else.
func TestAuditors(t *testing.T) {
	before, after := noon.Add(-time.Hour).UnixMilli(), noon.Add(time.Hour).UnixMilli()
	for _, tt := range []struct {
		name  string
		grant grant.Given
		opens string // besides nothing, Z's own rights apart
	}{
		{"on a study", grant.Given{Object: "S", Role: grant.Auditor}, "S P P2 A N"},
		{"on the installation", grant.Given{Object: "", Role: grant.Auditor}, everybody + " installation"},
		{"on an object that is gone", grant.Given{Object: "removed", Role: grant.Auditor}, ""},
		{"in force", grant.Given{Object: "P", Role: grant.Auditor, From: before, To: after}, "P"},
		{"from now", grant.Given{Object: "P", Role: grant.Auditor, From: noon.UnixMilli()}, "P"},
		{"not yet", grant.Given{Object: "P", Role: grant.Auditor, From: after}, ""},
		{"not any more", grant.Given{Object: "P", Role: grant.Auditor, To: noon.UnixMilli()}, ""},
		{"another role", grant.Given{Object: "P", Role: grant.Owner}, ""},
	} {
		tt.grant.Credential = "Z"
		p := compile(t, tree{[]grant.Given{{Object: "R", Role: grant.Auditor, Credential: "somebody else"}, tt.grant}})
		for _, id := range append(strings.Fields(everybody), "installation") {
			o := policy.Object{ID: id}
			if id == "installation" {
				o = policy.Object{}
			}
			for _, verb := range policy.Verbs() {
				want := slices.Contains(strings.Fields(tt.opens), id) && slices.Contains(strings.Fields(opening), string(verb)) ||
					listed("Z", verb, o.ID)
				if err := p.Check(callers()["Z"], verb, o, noon); (err == nil) != want {
					t.Errorf("%s: %s on %s: %v, want allowed %v", tt.name, verb, id, err, want)
				}
			}
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	p := compile(b, tree{})
	for _, bb := range []struct {
		name, caller, object string
		verb                 policy.Verb
	}{
		{"self", "P", "P", policy.EventCreate},
		{"parent", "R", "P", policy.EventList},
		{"sibling", "P", "A", policy.ActivityView},
		{"denied", "P2", "P", policy.EventList},
		{"root", "root", "P", policy.EventList},
	} {
		caller := callers()[bb.caller]
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = p.Check(caller, bb.verb, policy.Object{ID: bb.object}, noon)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		compile(b, tree{})
	}
}
