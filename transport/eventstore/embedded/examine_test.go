package embedded_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files/faultfs"
)

func examine(t *testing.T, sys *faultfs.FS) embedded.Examination {
	t.Helper()
	found, err := embedded.Examine(t.Context(), sys, false, nil)
	if err != nil {
		t.Fatalf("examine: %v", err)
	}
	return found
}

// TestExamineAndCut turns over one bit of a stopped log. Examine names what that has hit, whatever it is, and Cut, which
// loses its power somewhere and is repeated, leaves a log that opens and holds exactly what came before, and a quarantine
// that holds the rest.
func TestExamineAndCut(t *testing.T) {
	whole := flippable(t)
	if e := examine(t, whole.sys); len(e.Damage) > 0 || len(e.Index) > 0 || e.Torn != nil || int(e.Head.Commit) != len(whole.all) {
		t.Fatalf("a good log is found to be %+v", e)
	}
	rng := rand.New(rand.NewPCG(12, 4))
	damaged, torn := 0, 0
	for range scale(60, 600) {
		f := whole.flip(t, rng, ".segment")
		before := examine(t, f.sys)
		switch {
		case len(before.Damage) > 0:
			damaged++
			f.cutAt(t, rng, before, before.Damage[0])
		case before.Torn != nil:
			torn++
			f.cutAt(t, rng, before, *before.Torn)
		case f.content:
			t.Errorf("bit %d of %s is turned over, and the log is found to be good", f.bit, f.name)
		}
	}
	if damaged == 0 {
		t.Error("nothing was damaged")
	}
	t.Logf("%d bits in what was durable, %d in torn ends: each named, cut off with what came after it, and kept", damaged, torn)
}

// cutAt cuts, and opens what is left.
func (f flipped) cutAt(t *testing.T, rng *rand.Rand, before embedded.Examination, d embedded.Damage) {
	t.Helper()
	torn := before.Torn != nil && len(before.Damage) == 0
	f.sys.CrashAt(1 + rng.IntN(60))
	at := time.Unix(1, 0)
	if _, err := embedded.Cut(t.Context(), f.sys, d, torn, at); err != nil && !f.sys.Crashed() {
		t.Fatalf("bit %d of %s: cut: %v", f.bit, f.name, err)
	}
	sys := f.sys.Restart(rng.Uint64())
	if again := examine(t, sys); len(again.Damage) > 0 || again.Torn != nil {
		d, torn = embedded.Damage{}, false
		if again.Torn != nil {
			d, torn = *again.Torn, true
		}
		if len(again.Damage) > 0 {
			d, torn = again.Damage[0], false
		}
		if again.Head != before.Head {
			t.Fatalf("bit %d of %s: after a crash the log is good to %s, before it was to %s", f.bit, f.name, again.Head, before.Head)
		}
		if _, err := embedded.Cut(t.Context(), sys, d, torn, at.Add(time.Second)); err != nil {
			t.Fatalf("bit %d of %s: cut again: %v", f.bit, f.name, err)
		}
	}
	var y tally
	store, err := y.open(sys, small())
	if err != nil {
		t.Fatalf("bit %d of %s: open after %v was cut off: %v", f.bit, f.name, d, err)
	}
	defer store.Close()
	got, err := collect(store.ReadAll(t.Context(), domain.Position{}, 0, commands.Forwards))
	if err != nil || len(got) != int(before.Head.Commit) {
		t.Fatalf("bit %d of %s: %d records are left, %v; want %d", f.bit, f.name, len(got), err, before.Head.Commit)
	}
	for i := range got {
		if err := equal(got[i], f.all[i]); err != nil {
			t.Fatalf("bit %d of %s: record %d: %v", f.bit, f.name, i+1, err)
		}
	}
	lost := len(got) < len(f.all)
	if kept := strings.Contains(strings.Join(sys.Names(), " "), "quarantine/1970"); lost && !kept {
		t.Errorf("bit %d of %s: nothing is in quarantine", f.bit, f.name)
	}
	if (store.Generation() != before.Generation) != lost && len(before.Damage) > 0 {
		t.Errorf("bit %d of %s: %d of %d records are left, and the generation goes from %s to %s",
			f.bit, f.name, len(got), len(f.all), before.Generation, store.Generation())
	}
}

// TestExamineIndex names bad files of the index. Without them the log opens, and makes them anew.
func TestExamineIndex(t *testing.T) {
	whole := flippable(t)
	rng := rand.New(rand.NewPCG(7, 7))
	named := 0
	for i := range scale(30, 300) {
		f := whole.flip(t, rng, []string{".run", ".offsets"}[i%2])
		e := examine(t, f.sys)
		if len(e.Damage) > 0 || e.Torn != nil || len(e.Index) > 1 {
			t.Fatalf("bit %d of %s: found %+v", f.bit, f.name, e)
		}
		if len(e.Index) == 0 {
			if f.content {
				t.Errorf("bit %d of %s is turned over, and the index is found to be good", f.bit, f.name)
			}
			continue
		}
		named++
		if err := embedded.RemoveIndex(f.sys, e.Index[0]); err != nil || e.Index[0].Name != f.name {
			t.Fatalf("bit %d of %s: found %+v, removed: %v", f.bit, f.name, e.Index, err)
		}
		store := open(t, f.sys, small())
		if err := checkStreams(t.Context(), store, f.all); err != nil {
			t.Errorf("bit %d of %s: %v", f.bit, f.name, err)
		}
		store.Close()
	}
	t.Logf("%d bad files of the index named, removed and made anew", named)
}

// TestExamineBesideAServer takes the end, which is being written, for good.
func TestExamineBesideAServer(t *testing.T) {
	sys, ledger := faultfs.New(1), newLedger()
	store := open(t, sys, small())
	defer store.Close()
	done := make(chan error, 1)
	go func() { done <- ledger.work(t.Context(), store, 1, 4, 200) }()
	for range 50 {
		found, err := embedded.Examine(t.Context(), sys, true, nil)
		if err != nil || len(found.Damage) > 0 || found.Torn != nil {
			t.Fatalf("beside a server that writes: %+v, %v", found, err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
