package directory_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/grant"
	"strandline/domain/plan"
	"strandline/domain/registry"
	"strandline/readmodels"
	"strandline/readmodels/directory"
)

var _ commands.Directory = (*directory.Directory)(nil)

// after is a directory that has seen events, at positions from 1 on.
func after(events ...domain.Event) *directory.Directory {
	d := directory.New()
	apply(d, events...)
	return d
}

func apply(d *directory.Directory, events ...domain.Event) {
	for _, e := range events {
		n := d.Checkpoint().Commit + 1
		at := domain.Position{Commit: n, Prepare: n}
		d.Update(at, []domain.Recorded{{Position: at, Envelope: domain.Envelope{Stream: "s", Revision: n}, Event: e}})
	}
}

func added(kind registry.Kind, id, parent string) registry.Added {
	return registry.Added{Kind: kind, ID: id, Parent: parent}
}

func removed(kind registry.Kind, id string) registry.Removed {
	return registry.Removed{Kind: kind, ID: id}
}

func issued(id, origin string) account.Issued {
	return account.Issued{ID: id, Origin: origin, AccessKey: id + "@", SecretHash: "h"}
}

// tree is a researcher with two studies, the first with two participants, an activity and credentials.
var tree = []domain.Event{
	added(registry.Researcher, "r", ""),
	added(registry.Study, "s1", "r"),
	added(registry.Study, "s2", "r"),
	added(registry.Participant, "p1", "s1"),
	added(registry.Activity, "a1", "s1"),
	added(registry.Participant, "p2", "s1"),
	issued("cr", "r"), issued("cp", "p1"), issued("c0", ""),
}

// view is what can be seen in a directory, as text.
func view(d *directory.Directory) string {
	var b strings.Builder
	for _, kind := range []registry.Kind{registry.Researcher, registry.Study, registry.Participant, registry.Activity} {
		for _, o := range d.All(kind) {
			fmt.Fprintf(&b, "%s<%s ", o.ID, o.Parent)
			if found, ok := d.Object(o.ID); !ok || found != o {
				fmt.Fprintf(&b, "(but Object says %v, %v) ", found, ok)
			}
			if !slices.Contains(d.Children(o.Parent, kind), o) {
				b.WriteString("(but not a child of its parent) ")
			}
		}
	}
	for _, id := range []string{"cr", "cp", "c0"} {
		if c, ok := d.Credential(id); ok {
			fmt.Fprintf(&b, "%s ", c.ID)
			if !slices.ContainsFunc(d.CredentialsOf(c.Origin), func(o account.Credential) bool { return o.ID == id }) {
				b.WriteString("(but not of its origin) ")
			}
		}
	}
	return strings.TrimSpace(b.String())
}

func TestWhatCanBeSeen(t *testing.T) {
	const all = "r< s1<r s2<r p1<s1 p2<s1 a1<s1 cr cp c0"
	planned := registry.Added{Kind: registry.Study, ID: "s3", Parent: "r", Plan: "p"}
	below := registry.Added{Kind: registry.Participant, ID: "p3", Parent: "s3", Plan: "p"}
	tests := []struct {
		name string
		then []domain.Event
		want string
	}{
		{"the whole tree", nil, all},
		{"a removed participant takes its credential along", []domain.Event{removed(registry.Participant, "p1")},
			"r< s1<r s2<r p2<s1 a1<s1 cr c0"},
		{"a removed study hides all below it", []domain.Event{removed(registry.Study, "s1")}, "r< s2<r cr c0"},
		{"a removed researcher hides its studies' participants too", []domain.Event{removed(registry.Researcher, "r")}, "c0"},
		{"removing what was never there", []domain.Event{removed(registry.Study, "x")}, all},
		{"an open plan hides its objects and what is below", []domain.Event{plan.Made{ID: "p"}, planned, below}, all},
		{"and shows them once it is done", []domain.Event{plan.Made{ID: "p"}, planned, below, plan.Done{ID: "p"}},
			"r< s1<r s2<r s3<r p1<s1 p2<s1 p3<s3 a1<s1 cr cp c0"},
		{"another plan shows nothing", []domain.Event{plan.Made{ID: "p"}, plan.Made{ID: "q"}, planned, plan.Done{ID: "q"}}, all},
		{"what hangs on something unknown", []domain.Event{added(registry.Study, "s9", "nobody")}, all},
		{"a revoked credential", []domain.Event{account.Revoked{ID: "cp"}}, "r< s1<r s2<r p1<s1 p2<s1 a1<s1 cr c0"},
		{"a name taken again", []domain.Event{account.Revoked{ID: "cp"}, issued("cp", "p2")}, all},
		{"a name whose holder has gone", []domain.Event{removed(registry.Participant, "p1"), issued("cp", "p2")},
			"r< s1<r s2<r p2<s1 a1<s1 cr cp c0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := after(slices.Concat(tree, tt.then)...)
			if got := view(d); got != tt.want {
				t.Errorf("seen: %s\nwant: %s", got, tt.want)
			}
			if got := view(reload(t, d)); got != tt.want {
				t.Errorf("seen after a restart: %s\nwant: %s", got, tt.want)
			}
		})
	}
}

// reload saves a directory and loads it again.
func reload(t *testing.T, d *directory.Directory) *directory.Directory {
	t.Helper()
	dir := t.TempDir()
	if err := d.Save(dir, "g"); err != nil {
		t.Fatal(err)
	}
	loaded, err := directory.Load(dir, "g")
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Checkpoint() != d.Checkpoint() {
		t.Errorf("checkpoint %s, want %s", loaded.Checkpoint(), d.Checkpoint())
	}
	return loaded
}

func TestAPlanOpenAtARestartStillHides(t *testing.T) {
	made := plan.Made{ID: "p"}
	d := reload(t, after(append(tree, made, registry.Added{Kind: registry.Study, ID: "s3", Parent: "r", Plan: "p"})...))
	want := []plan.Open{{ID: "p", Stream: "s", Position: domain.Position{Commit: 10, Prepare: 10}}}
	if got := d.OpenPlans(); !reflect.DeepEqual(got, want) {
		t.Errorf("OpenPlans = %v, want %v", got, want)
	}
	if _, ok := d.Object("s3"); ok {
		t.Error("the object of an open plan can be seen")
	}
	apply(d, plan.Done{ID: "p"})
	if _, ok := d.Object("s3"); !ok || len(d.OpenPlans()) != 0 {
		t.Error("the object of a finished plan cannot be seen")
	}
}

func TestSpecificationsAreNamedBesideTheTree(t *testing.T) {
	d := after(added(registry.SensorSpec, "lamp.gps", ""), added(registry.SensorSpec, "lamp.steps", ""),
		added(registry.ActivitySpec, "lamp.gps", ""), removed(registry.SensorSpec, "lamp.gps"))
	if _, ok := d.Spec(registry.SensorSpec, "lamp.gps"); ok {
		t.Error("a removed specification is found")
	}
	if _, ok := d.Spec(registry.ActivitySpec, "lamp.gps"); !ok {
		t.Error("a specification of another kind was removed too")
	}
	if _, ok := d.Object("lamp.steps"); ok {
		t.Error("a specification is found as an object")
	}
	apply(d, added(registry.SensorSpec, "lamp.gps", "")) // comes again, now the youngest
	want := []registry.Object{{ID: "lamp.steps", Kind: registry.SensorSpec}, {ID: "lamp.gps", Kind: registry.SensorSpec}}
	for _, d := range []*directory.Directory{d, reload(t, d)} {
		if got := d.All(registry.SensorSpec); !reflect.DeepEqual(got, want) {
			t.Errorf("All = %v, want %v", got, want)
		}
	}
}

func TestAncestorsAreOutermostFirst(t *testing.T) {
	d := after(tree...)
	want := []registry.Object{{ID: "r", Kind: registry.Researcher}, {ID: "s1", Kind: registry.Study, Parent: "r"}}
	if got := d.Ancestors("p1"); !reflect.DeepEqual(got, want) {
		t.Errorf("Ancestors = %v, want %v", got, want)
	}
	apply(d, removed(registry.Researcher, "r"))
	if got := d.Ancestors("p1"); got != nil {
		t.Errorf("Ancestors of what cannot be seen = %v", got)
	}
}

func TestACredentialKeepsWhatARevisionDoesNotName(t *testing.T) {
	d := after(account.Issued{ID: "c", AccessKey: "k", SecretHash: "h", Description: []byte(`"d"`)},
		account.Revised{ID: "c", SecretHash: "i"})
	got, _ := d.Credential("c")
	want := account.Credential{ID: "c", AccessKey: "k", SecretHash: "i", Description: []byte(`"d"`), Revision: 2}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Credential = %+v, want %+v", got, want)
	}
}

func TestGrants(t *testing.T) {
	one, two := grant.Given{ID: "1", Credential: "c", Role: grant.Reader}, grant.Given{ID: "2", Credential: "c", Role: grant.Owner}
	d := after(one, two)
	for _, d := range []*directory.Directory{d, reload(t, d)} {
		if got := d.Grants("c"); !reflect.DeepEqual(got, []grant.Given{one, two}) {
			t.Errorf("Grants = %v", got)
		}
		apply(d, grant.Withdrawn{ID: "1"})
		if got := d.Grants("c"); !reflect.DeepEqual(got, []grant.Given{two}) {
			t.Errorf("Grants after one was withdrawn = %v", got)
		}
	}
}

func TestASnapshotThatCannotBeTrustedIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := directory.Load(dir, "g"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing = %v, want not exist", err)
	}
	d := after(tree...)
	d.Park(readmodels.Parked{Position: d.Checkpoint(), Reason: "x"})
	if err := d.Save(dir, "g"); err != nil {
		t.Fatal(err)
	}
	if _, err := directory.Load(dir, "h"); err == nil {
		t.Error("a snapshot of another generation was loaded")
	}
	loaded, err := directory.Load(dir, "g")
	if err != nil || len(loaded.Parked()) != 1 {
		t.Errorf("Load = %v, %v", loaded, err)
	}
	name := filepath.Join(dir, "directory-v2.snapshot")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		whole[i] ^= 1
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := directory.Load(dir, "g"); err == nil {
			t.Fatalf("a snapshot with byte %d changed was loaded", i)
		}
		whole[i] ^= 1
	}
}

// large is a directory of n participants in studies of a hundred.
func large(n int) *directory.Directory {
	d := after(added(registry.Researcher, "r", ""))
	for i := range n {
		study := fmt.Sprintf("study%015d", i/100)
		if i%100 == 0 {
			apply(d, added(registry.Study, study, "r"))
		}
		apply(d, added(registry.Participant, fmt.Sprintf("U%010d", i), study))
	}
	return d
}

func TestAnObjectCostsLittleMemory(t *testing.T) {
	const n = 100_000
	var before, behind runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := large(n)
	runtime.GC()
	runtime.ReadMemStats(&behind)
	each := (behind.HeapAlloc - before.HeapAlloc) / n
	t.Logf("%d bytes an object", each)
	if each > 300 {
		t.Errorf("an object costs %d bytes, want at most 300", each)
	}
	runtime.KeepAlive(d)
}

func BenchmarkObject(b *testing.B) {
	d := large(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := d.Object("U0000050000"); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkSaveAndLoad(b *testing.B) {
	d := large(100_000)
	dir := b.TempDir()
	for b.Loop() {
		if err := d.Save(dir, "g"); err != nil {
			b.Fatal(err)
		}
		if _, err := directory.Load(dir, "g"); err != nil {
			b.Fatal(err)
		}
	}
}
