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
		"credential.list credential.create credential.update credential.delete api_key.list api_key.create api_key.delete " +
		"event.list event.create event.delete tag.set"
	reading  = "activity.view sensor.view parent.view tag.list tag.view"
	opening  = "event.open audit.view"
	granting = "grant.list grant.share grant.owner"
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

	// The issue "Doors for people": researchers grant roles in their own subtree, but not that of auditor (decision 23).
	{"researcher's own", granting, "R", "R"}, {"its study", granting, "S", "R"}, {"its participant", granting, "P", "R"},
	{"its participant", granting, "P2", "R"}, {"its activity", granting, "A", "R"}, {"its sensor", granting, "N", "R"},
	{"its study", granting, "T", "R"}, {"its participant", granting, "Q", "R"}, {"its activity", granting, "B", "R"},
	{"another researcher's own", granting, "X", "X"}, {"its study", granting, "Y", "X"}, {"its participant", granting, "Z", "X"},

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

// Roles, as the issue "Doors for people" names them: what a role on an object allows there and on all below it, beyond what
// the tree allows to its holder.
const (
	viewing = "researcher.view researcher.lookup study.list study.view participant.list participant.view " +
		"activity.list activity.view sensor.list sensor.view parent.view event.list tag.list tag.view"
	changing = viewing + " researcher.update study.create study.update participant.create participant.update " +
		"activity.create activity.update sensor.create sensor.update event.create tag.set"
	removing = changing + " researcher.delete study.delete participant.delete activity.delete sensor.delete event.delete"
	owning   = removing + " credential.list credential.create credential.update credential.delete " +
		"api_key.list api_key.create api_key.delete grant.list grant.share"
	below = everybody // the installation
)

// Decision 23: an auditor opens payloads, a role that root alone grants. All roles hold from a time to a time.
var rolesHeld = []struct {
	name  string
	grant grant.Given
	cells map[string]string // verbs by objects
}{
	{"reader of a study", grant.Given{Object: "S", Role: grant.Reader}, map[string]string{"S P P2 A N": viewing}},
	{"writer of a study", grant.Given{Object: "S", Role: grant.Writer}, map[string]string{"S P P2 A N": changing}},
	{"owner of a study", grant.Given{Object: "S", Role: grant.Owner}, map[string]string{"S P P2 A N": owning}},
	{"auditor of a study", grant.Given{Object: "S", Role: grant.Auditor}, map[string]string{"S P P2 A N": opening}},
	{"reader of a researcher", grant.Given{Object: "R", Role: grant.Reader}, map[string]string{"R S P P2 A N T Q B": viewing}},
	{"reader of a participant", grant.Given{Object: "P", Role: grant.Reader}, map[string]string{"P": viewing}},
	{"reader of an activity", grant.Given{Object: "A", Role: grant.Reader}, map[string]string{"A": viewing}},
	{"owner of a participant", grant.Given{Object: "P", Role: grant.Owner}, map[string]string{"P": owning}},

	{"reader of the installation", grant.Given{Role: grant.Reader},
		map[string]string{below + " spec": viewing, "installation": viewing + " researcher.list"}},
	{"writer of the installation", grant.Given{Role: grant.Writer}, map[string]string{below: changing,
		"installation": changing + " researcher.list researcher.create spec.create spec.update external.append", "spec": changing + " researcher.create spec.create spec.update external.append"}},
	{"owner of the installation, which makes nobody root", grant.Given{Role: grant.Owner}, map[string]string{below: owning,
		"installation": removing + " researcher.list researcher.create spec.create spec.update spec.delete external.append",
		"spec":         owning + " researcher.create spec.create spec.update spec.delete external.append"}},
	{"auditor of the installation", grant.Given{Role: grant.Auditor}, map[string]string{below + " installation spec": opening}},

	{"in force", grant.Given{Object: "P", Role: grant.Reader, From: before, To: after}, map[string]string{"P": viewing}},
	{"from now", grant.Given{Object: "P", Role: grant.Owner, From: noon.UnixMilli()}, map[string]string{"P": owning}},
	{"not yet", grant.Given{Object: "P", Role: grant.Owner, From: after}, nil},
	{"not any more", grant.Given{Object: "P", Role: grant.Owner, To: noon.UnixMilli()}, nil},
	{"an auditor not yet", grant.Given{Object: "P", Role: grant.Auditor, From: noon.UnixMilli() + 1}, nil},
	{"an auditor not any more", grant.Given{Object: "P", Role: grant.Auditor, To: before}, nil},
	{"on an object that is gone", grant.Given{Object: "removed", Role: grant.Owner}, nil},
	{"of a role that this version does not know", grant.Given{Object: "P", Role: "god"}, nil},
}

var before, after = noon.Add(-time.Hour).UnixMilli(), noon.Add(time.Hour).UnixMilli()

func TestRoles(t *testing.T) {
	cells := 0
	for _, tt := range rolesHeld {
		tt.grant.Credential = "Z"
		p := compile(t, tree{[]grant.Given{{Object: "R", Role: grant.Owner, Credential: "somebody else"}, tt.grant}})
		for _, id := range append(strings.Fields(everybody), "installation", "spec") {
			o := object(id)
			if id == "installation" {
				o = policy.Object{}
			}
			may := ""
			for objects, verbs := range tt.cells {
				if slices.Contains(strings.Fields(objects), id) {
					may += " " + verbs
				}
			}
			for _, verb := range policy.Verbs() {
				cells++
				want := slices.Contains(strings.Fields(may), string(verb)) || listed("Z", verb, strings.Replace(id, "installation", "", 1))
				if err := p.Check(callers()["Z"], verb, o, noon); (err == nil) != want {
					t.Errorf("%s: %s on %s: %v, want allowed %v", tt.name, verb, id, err, want)
				}
			}
		}
	}
	t.Logf("%d cells", cells)
}

// Roles add up, and go to none but their holder.
func TestRolesAddUp(t *testing.T) {
	p := compile(t, tree{[]grant.Given{
		{Object: "S", Role: grant.Reader, Credential: "Z"}, {Object: "P", Role: grant.Owner, Credential: "Z"},
		{Object: "T", Role: grant.Auditor, Credential: "Z"}, {Object: "Q", Role: grant.Writer, Credential: "Z"},
	}})
	for _, tt := range []struct {
		caller, object string
		verb           policy.Verb
		want           bool
	}{
		{"Z", "S", policy.ParticipantList, true}, {"Z", "S", policy.ParticipantCreate, false},
		{"Z", "P", policy.ParticipantDelete, true}, {"Z", "P2", policy.EventList, true}, {"Z", "P2", policy.EventCreate, false},
		{"Z", "P", policy.PayloadOpen, false}, {"Z", "Q", policy.PayloadOpen, true}, {"Z", "Q", policy.EventCreate, true},
		{"Z", "T", policy.StudyView, false}, {"Y", "P", policy.EventList, false}, {"X", "P", policy.EventList, false},
	} {
		if err := p.Check(callers()[tt.caller], tt.verb, policy.Object{ID: tt.object}, noon); (err == nil) != tt.want {
			t.Errorf("%s on %s by %s: %v, want allowed %v", tt.verb, tt.object, tt.caller, err, tt.want)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	p := compile(b, tree{[]grant.Given{
		{Object: "S", Role: grant.Owner, Credential: "Z"}, {Object: "T", Role: grant.Reader, Credential: "Z", To: after},
	}})
	for _, bb := range []struct {
		name, caller, object string
		verb                 policy.Verb
	}{
		{"self", "P", "P", policy.EventCreate},
		{"parent", "R", "P", policy.EventList},
		{"sibling", "P", "A", policy.ActivityView},
		{"denied", "P2", "P", policy.EventList},
		{"root", "root", "P", policy.EventList},
		{"owner", "Z", "P", policy.EventDelete},
		{"owner, denied", "Z", "P", policy.PayloadOpen},
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
