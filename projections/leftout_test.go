package projections_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/projections"
	"strandline/readmodels"
)

// openAll opens all read models in dir, leaving events out.
func openAll(t *testing.T, dir string, leftOut []domain.Position) (all []projections.Model) {
	t.Helper()
	_, tree := projections.Directory(dir, "g", slog.New(slog.DiscardHandler), leftOut...)
	all = append(all, tree)
	for _, p := range []projections.Projection{projections.Documents(), projections.Series(), projections.Audit()} {
		db, err := readmodels.Open(dir, p.Schema, "g", readmodels.LeavingOut(leftOut))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		all = append(all, projections.Table(p, db))
	}
	return all
}

func reach(t *testing.T, m projections.Model, at domain.Position) {
	t.Helper()
	for m.Checkpoint().Before(at) {
		if t.Context().Err() != nil {
			t.Fatalf("%s is at %s, want %s", m.Name(), m.Checkpoint(), at)
		}
		time.Sleep(time.Millisecond)
	}
}

func dumpWithout(t *testing.T, l *log, m projections.Model, leftOut []domain.Position) string {
	t.Helper()
	var b writer
	if err := projections.Dump(t.Context(), l, l.decode, m, l.head(t), &b, leftOut...); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) { *w = append(*w, p...); return len(p), nil }

// TestWhatIsLeftOutIsAsIfItHadNeverHappened leaves events out of each read model, and takes one of them in again. It must
// hold what one holds that is built of the others from the start, also after more events and another start.
func TestWhatIsLeftOutIsAsIfItHadNeverHappened(t *testing.T) {
	l := newLog()
	var out []domain.Position
	write := func(round int) {
		for n := range 20 {
			id := fmt.Sprintf("r%d%018d", round, n)
			added := l.add(t, "registry-"+id, registry.Added{Kind: registry.Researcher, ID: id})
			set := l.add(t, "attachment-"+id, attachment.Set{Owner: id, Target: attachment.Self, Key: "k", Value: []byte(`1`)})
			sample := l.sample(t, round*100+n)
			if round == 0 && n%5 == 0 {
				out = append(out, added, set, sample)
			}
		}
	}
	write(0)
	dir := t.TempDir()
	all := openAll(t, dir, nil)
	r, stop := run(t, l, l.decode, all...)
	choices := [][]domain.Position{out, out[:len(out)-1], nil}
	for _, leftOut := range choices[:2] {
		for _, m := range all {
			reach(t, m, l.head(t))
			if err := r.RebuildWithout(t.Context(), m.Name(), leftOut, nil); err != nil {
				t.Fatal(err)
			}
		}
		write(len(leftOut))
	}
	for _, m := range all {
		reach(t, m, l.head(t))
	}
	stop()
	for i, m := range openAll(t, dir, choices[1]) {
		if m.Checkpoint() != l.head(t) {
			t.Errorf("%s was dropped at the next start", m.Name())
		}
		whole, partly := dumpWithout(t, l, m, nil), dumpWithout(t, l, m, choices[1])
		fresh := openAll(t, t.TempDir(), choices[1])[i]
		if want := dumpWithout(t, l, fresh, choices[1]); partly != want || partly == whole || len(partly) == 0 {
			t.Errorf("%s without %d events:\n%s\nwant\n%s", m.Name(), len(choices[1]), partly, want)
		}
	}
	for _, m := range openAll(t, dir, choices[0]) {
		if !m.Checkpoint().IsZero() {
			t.Errorf("%s serves without other events than it is told to leave out", m.Name())
		}
	}
}

// TestWhatCannotBeAppliedCanBeLeftOut parks an event, leaves it out, and takes it in again once it can be applied.
func TestWhatCannotBeAppliedCanBeLeftOut(t *testing.T) {
	l := newLog()
	poison := l.sample(t, 1)
	l.sample(t, 2)
	broken := true
	db, m := table(t, t.TempDir(), trace("seen", func(r domain.Recorded) error {
		if broken && r.Position == poison {
			return fmt.Errorf("it is poison")
		}
		return nil
	}))
	r, _ := run(t, l, l.decode, m)
	wait(t, db, l.head(t))
	check := func(parked, applied int) {
		t.Helper()
		if n, err := m.CountParked(t.Context()); err != nil || n != parked || len(seen(t, db)) != applied {
			t.Errorf("%d parked, %d applied, %v; want %d and %d", n, len(seen(t, db)), err, parked, applied)
		}
	}
	check(1, 1)
	for _, tt := range []struct {
		leftOut         []domain.Position
		broken          bool
		parked, applied int
	}{{[]domain.Position{poison}, true, 0, 1}, {nil, true, 1, 1}, {[]domain.Position{poison}, false, 0, 1}, {nil, false, 0, 2}} {
		broken = tt.broken
		if err := r.RebuildWithout(t.Context(), "seen", tt.leftOut, nil); err != nil {
			t.Fatal(err)
		}
		check(tt.parked, tt.applied)
	}
}
