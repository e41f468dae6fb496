package embedded_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/files/faultfs"
)

// TestTornWrites cuts the write of a group at any byte, the disk holding the new bytes before the cut and the old ones
// after it. TestLostPages loses some of the pages of a group, in the middle too. Of an append in that group nothing is
// left or all of it; all before it is there.
func TestTornWrites(t *testing.T) {
	var y tally
	const cuts = 25
	for seed := uint64(1); y.points < scale(1000, 20_000); seed++ {
		held := holdGroup(t, seed)
		name, before, after := held.lastGroup()
		if name == "" {
			continue // all of it had reached the disk by chance
		}
		for range cuts {
			content := append([]byte(nil), before...)
			from, to := difference(before, after)
			cut := from + held.rng.IntN(to-from+1)
			copy(content[:cut], after)
			sys := held.sys.RestartWith(func(string, int64) int { return 0 })
			overwrite(t, sys, name, content)
			held.judge(t, &y, sys, "torn write")
		}
	}
	y.report(t)
}

func TestLostPages(t *testing.T) {
	var y tally
	for seed := uint64(1); y.points < scale(400, 10_000); seed++ {
		held := holdGroup(t, seed)
		for range 25 {
			lost := held.rng.Uint64()
			sys := held.sys.RestartWith(func(_ string, page int64) int { return 8 * int(lost>>(page%64)&1) })
			held.judge(t, &y, sys, "lost pages")
		}
	}
	y.report(t)
}

// heldGroup is a store that lost its power while a group was written and not yet synced.
type heldGroup struct {
	rng    *rand.Rand
	sys    *faultfs.FS // without power
	ledger *ledger
}

// holdGroup fills a store, then holds it at a sync with several appends in flight and takes the power away.
func holdGroup(t *testing.T, seed uint64) heldGroup {
	t.Helper()
	h := heldGroup{rand.New(rand.NewPCG(seed, 5)), faultfs.New(seed), newLedger()}
	store, err := embedded.Open(h.sys, middling())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ledger.work(t.Context(), store, 1, 4, 5); err != nil {
		t.Fatal(err)
	}
	held, release := make(chan struct{}), make(chan struct{})
	var first, second sync.Once
	h.sys.HoldSync(func(name string) {
		if !strings.HasPrefix(name, "segments/") {
			return
		}
		passed := false
		first.Do(func() { passed = true; waitForWriters(h.ledger, 8) }) // so that the next group is a large one
		if !passed {
			second.Do(func() { close(held) })
			<-release
		}
	})
	var group sync.WaitGroup
	group.Go(func() { h.ledger.work(context.Background(), store, 2, 8, 40) })
	<-held
	h.sys.Crash()
	close(release)
	group.Wait()
	store.Close()
	return h
}

// waitForWriters returns when that many appends are in flight.
func waitForWriters(l *ledger, n int) {
	for len(l.unacknowledged()) < n {
		pause()
	}
}

// lastGroup names the file in which the group stands, with its content without and with it; none if both are the same.
func (h heldGroup) lastGroup() (name string, before, after []byte) {
	without := h.sys.RestartWith(func(string, int64) int { return 0 })
	with := h.sys.RestartWith(func(string, int64) int { return 8 })
	for _, name := range with.Names() {
		before, _ := without.ReadFile(name)
		after, _ := with.ReadFile(name)
		if from, to := difference(before, after); to > from {
			return name, before, after
		}
	}
	return "", nil, nil
}

// judge opens what the disk was left with, and compares it with the ledger.
func (h heldGroup) judge(t *testing.T, y *tally, sys files.System, kind string) {
	t.Helper()
	y.point(kind)
	store, err := y.open(sys, middling())
	if err != nil {
		y.violation(t, "open after a %s: %v", kind, err)
		return
	}
	defer store.Close()
	copied := h.ledger.copy()
	if err := copied.check(t.Context(), store); err != nil {
		y.violation(t, "after a %s: %v", kind, err)
	}
	if y.points%5 > 0 {
		return
	}
	if err := copied.retry(t.Context(), store); err != nil {
		y.violation(t, "after a %s: %v", kind, err)
	}
	if err := copied.check(t.Context(), store); err != nil {
		y.violation(t, "after a %s and sending again: %v", kind, err)
	}
}

// difference is where two contents begin and cease to differ; what one is too short for counts as zeros.
func difference(a, b []byte) (from, to int) {
	n := max(len(a), len(b))
	at := func(s []byte, i int) byte {
		if i < len(s) {
			return s[i]
		}
		return 0
	}
	for from < n && at(a, from) == at(b, from) {
		from++
	}
	for to = n; to > from && at(a, to-1) == at(b, to-1); {
		to--
	}
	return from, to
}

// overwrite gives a file other content, of the length it has or more.
func overwrite(t *testing.T, sys files.System, name string, content []byte) {
	t.Helper()
	f, err := sys.Open(name, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
