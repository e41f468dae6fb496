package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/files/faultfs"
)

// TestFullAndFailingDisk lets every call fail in turn that writes, makes files or syncs, once or from then on. The store
// either goes on, because it can do without; or refuses, because there is no room to grow, and goes on later; or stops: then every append is refused, what was acknowledged can still be
// read, and a restart recovers, of the process and after it of the machine.
func TestFullAndFailingDisk(t *testing.T) {
	var y tally
	for _, fault := range []faultfs.Fault{
		{Ops: []faultfs.Op{faultfs.WriteAt}, Err: syscall.ENOSPC, Stays: true},
		{Ops: []faultfs.Op{faultfs.WriteAt}, Err: syscall.ENOSPC},
		{Ops: []faultfs.Op{faultfs.WriteAt}, Err: syscall.EIO},
		{Ops: []faultfs.Op{faultfs.Create, faultfs.Allocate, faultfs.MkdirAll, faultfs.Link}, Err: syscall.ENOSPC},
		{Ops: []faultfs.Op{faultfs.Create, faultfs.Allocate, faultfs.WriteAt}, Err: syscall.ENOSPC, Stays: true},
		{Ops: []faultfs.Op{faultfs.Sync}, Err: syscall.EIO},
		{Ops: []faultfs.Op{faultfs.SyncDir, faultfs.Rename, faultfs.Truncate, faultfs.Remove}, Err: syscall.EIO},
	} {
		for at, met := 1, true; met; at += stride(at) {
			fault.At = at
			met = y.meet(t, fault)
		}
	}
	y.report(t)
}

// stride leaves some of many calls out in the short form.
func stride(at int) int {
	if long() || at < 30 {
		return 1
	}
	return 3
}

// meet works with a fault ahead and says whether it was met.
func (y *tally) meet(t *testing.T, fault faultfs.Fault) bool {
	t.Helper()
	sys, ledger := faultfs.New(uint64(fault.At)), newLedger()
	sys.Inject(fault)
	what := fmt.Sprintf("%v at call %d of %v", fault.Err, fault.At, fault.Ops)
	if store, err := embedded.Open(sys, small()); err == nil {
		err := ledger.work(t.Context(), store, 1, 3, 15)
		switch {
		case refused(err):
			y.full(t, what, store, ledger, err)
		case err != nil:
			y.stopped(t, what, store, ledger, err)
		}
		store.Close()
	} else if !errors.Is(err, fault.Err) {
		y.violation(t, "%s: open: %v", what, err)
	}
	if sys.Met() == 0 {
		return false
	}
	y.point(fault.Err.Error())
	sys.Heal()
	y.recovers(t, what+", then a restart", sys, ledger)
	y.recovers(t, what+", a restart, then a loss of power", sys.Restart(1), ledger)
	return true
}

// refused tells whether err says that it cannot be done now, by a store that goes on.
func refused(err error) bool {
	return errors.Is(err, domain.ErrUnavailable) && !errors.Is(err, domain.ErrStoreFailed)
}

// full judges a store that had no room to grow: it has refused the append, knows nothing of it, and goes on.
func (y *tally) full(t *testing.T, what string, store *embedded.Store, ledger *ledger, cause error) {
	t.Helper()
	if !errors.Is(cause, domain.ErrUnavailable) || store.Err() != nil {
		y.violation(t, "%s: append failed with %v, Err() = %v; want that it can be tried again", what, cause, store.Err())
	}
	if err := ledger.check(t.Context(), store); err != nil {
		y.violation(t, "%s: reading a store without room to grow: %v", what, err)
	}
}

// stopped judges a store of which an append has failed.
func (y *tally) stopped(t *testing.T, what string, store *embedded.Store, ledger *ledger, cause error) {
	t.Helper()
	if !errors.Is(cause, domain.ErrStoreFailed) || !errors.Is(store.Err(), domain.ErrStoreFailed) {
		y.violation(t, "%s: append failed with %v, Err() = %v; want that the store has stopped", what, cause, store.Err())
	}
	select {
	case <-store.Failed():
	default:
		y.violation(t, "%s: Failed is not closed", what)
	}
	for range 3 {
		_, err := store.Append(t.Context(), "late-1", domain.Any, appendKey{life: 1 << 31}.records())
		if !errors.Is(err, domain.ErrStoreFailed) {
			y.violation(t, "%s: a later append = %v; want that the store has stopped", what, err)
		}
	}
	if err := ledger.check(t.Context(), store); err != nil {
		y.violation(t, "%s: reading a stopped store: %v", what, err)
	}
}

// recovers opens what is left, compares, sends again what was not acknowledged, and compares.
func (y *tally) recovers(t *testing.T, what string, sys files.System, ledger *ledger) {
	t.Helper()
	store, err := y.open(sys, small())
	if err != nil {
		y.violation(t, "%s: open: %v", what, err)
		return
	}
	defer store.Close()
	if err := ledger.check(t.Context(), store); err != nil {
		y.violation(t, "%s: %v", what, err)
	}
	if err := ledger.retry(t.Context(), store); err != nil {
		y.violation(t, "%s: %v", what, err)
	}
	if err := ledger.check(t.Context(), store); err != nil {
		y.violation(t, "%s, after sending again: %v", what, err)
	}
}

// TestFailedSyncIsNotTriedAgain: the kernel marks the pages of a failed sync clean, so a second sync that succeeds proves
// nothing. What a restarted process finds in the cache has to be written anew before it counts as durable.
func TestFailedSyncIsNotTriedAgain(t *testing.T) {
	var y tally
	for seed := range uint64(scale(60, 1000)) {
		sys, ledger := faultfs.New(seed), newLedger()
		store := open(t, sys, middling())
		if err := ledger.work(t.Context(), store, 1, 3, 4); err != nil {
			t.Fatal(err)
		}
		sys.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.Sync}, Name: "segments/", At: 1 + int(seed%7), Err: syscall.EIO})
		if err := ledger.work(context.Background(), store, 2, 5, 10); !errors.Is(err, domain.ErrStoreFailed) || !errors.Is(err, syscall.EIO) {
			y.violation(t, "append = %v; want that the store has stopped, and why", err)
		}
		syncs := sys.Count(faultfs.Sync)
		_, err := store.Append(t.Context(), "late-1", domain.Any, appendKey{life: 1 << 31}.records())
		if !errors.Is(err, domain.ErrStoreFailed) || sys.Count(faultfs.Sync) != syncs {
			y.violation(t, "a later append = %v after %d more syncs; want a refusal and none", err, sys.Count(faultfs.Sync)-syncs)
		}
		store.Close()
		y.point("failed sync")
		y.recovers(t, "a failed sync, then a restart", sys, ledger)
		y.recovers(t, "a failed sync, a restart, then a loss of power", sys.Restart(seed), ledger)
	}
	y.report(t)
}

// TestPowerGoneWhileFounding lets the power go at each of the first calls, with many outcomes: a folder may be lost where
// a file that was made later is kept.
func TestPowerGoneWhileFounding(t *testing.T) {
	for at := 1; at <= 20; at++ {
		for outcome := range uint64(50) {
			sys := faultfs.New(uint64(at))
			sys.CrashAt(at)
			if store, err := embedded.Open(sys, small()); err == nil {
				_ = store.Close()
			}
			store, err := embedded.Open(sys.Restart(outcome), small())
			if err != nil {
				t.Fatalf("power gone at call %d, outcome %d: %v", at, outcome, err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestOpenOnFullDisk: a disk that is full is no reason not to start. What is there can be read, and appended to as long
// as the space that was reserved lasts; then appends are refused. With space again the store goes on by itself.
func TestOpenOnFullDisk(t *testing.T) {
	var y tally
	reserved := 0 // how often there was space enough for the first appends
	for seed := range uint64(scale(6, 200)) {
		sys, ledger := faultfs.New(seed), newLedger()
		store := open(t, sys, small())
		if err := ledger.work(t.Context(), store, 1, 4, 40); err != nil {
			t.Fatal(err)
		}
		if seed%2 == 0 {
			sys.Crash()
		}
		store.Close()
		sys = sys.Restart(seed)
		if seed%3 == 0 {
			removeIndex(t, sys)
		}
		sys.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.Create, faultfs.Allocate, faultfs.MkdirAll, faultfs.Link}, At: 1, Stays: true, Err: syscall.ENOSPC})
		store, err := y.open(sys, small())
		if err != nil {
			y.violation(t, "open on a full disk: %v", err)
			continue
		}
		if err := ledger.check(t.Context(), store); err != nil {
			y.violation(t, "reading on a full disk: %v", err)
		}
		switch err := ledger.work(context.Background(), store, 2, 4, 1); {
		case err == nil:
			reserved++
		case !refused(err): // the segment may be as good as full
			y.violation(t, "append on a full disk: %v", err)
		}
		y.full(t, "a full disk", store, ledger, ledger.work(context.Background(), store, 3, 4, 1000))
		sys.Heal()
		y.goesOn(t, store, ledger)
		store.Close()
		y.point("full disk")
	}
	if reserved == 0 {
		y.violation(t, "no append has succeeded in the space that was reserved")
	}
	y.report(t)
}

func removeIndex(t *testing.T, sys *faultfs.FS) {
	t.Helper()
	for _, name := range sys.Names() {
		if !strings.HasPrefix(name, "index/") {
			continue
		}
		if err := sys.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// goesOn: what was refused for want of space succeeds soon after there is some.
func (y *tally) goesOn(t *testing.T, store *embedded.Store, ledger *ledger) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for life := uint32(4); ; life++ {
		err := ledger.retry(t.Context(), store)
		if err == nil {
			err = ledger.work(t.Context(), store, life, 4, 200)
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			y.violation(t, "with space again: %v", err)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := ledger.check(t.Context(), store); err != nil {
		y.violation(t, "with space again: %v", err)
	}
}

// TestIndexOnFullDisk: when there is no space for the index of a full segment, it stays in memory until there is some.
func TestIndexOnFullDisk(t *testing.T) {
	var y tally
	for seed := range uint64(scale(3, 100)) {
		sys, ledger := faultfs.New(seed), newLedger()
		store := open(t, sys, small())
		sys.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.Create, faultfs.WriteAt}, Name: "index/", At: 1 + int(seed), Stays: true, Err: syscall.ENOSPC})
		y.full(t, "no space for the index", store, ledger, ledger.work(context.Background(), store, 1, 4, 1000))
		sys.Heal()
		y.goesOn(t, store, ledger)
		store.Close()
		y.point("no space for the index")
		y.recovers(t, "no space for the index, then a loss of power", sys.Restart(seed), ledger)
	}
	y.report(t)
}
