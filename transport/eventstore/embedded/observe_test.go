package embedded_test

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"strandline/transport/eventstore/embedded"
	"strandline/transport/files/faultfs"
)

// tracker is an observer that counts.
type tracker struct{ appends, syncs, groups, records atomic.Int64 }

func (o *tracker) Appended(took time.Duration) { o.appends.Add(1) }
func (o *tracker) Synced(took time.Duration)   { o.syncs.Add(1) }
func (o *tracker) Grouped(records int)         { o.groups.Add(1); o.records.Add(int64(records)) }

func TestObserver(t *testing.T) {
	var seen tracker
	opt := small()
	opt.Observer = &seen
	sys := faultfs.New(1)
	store := open(t, sys, opt)
	add := storeAppender(store, 1)
	before := store.Bytes()
	for range 20 {
		if err := add(0); err != nil {
			t.Fatal(err)
		}
	}
	if seen.appends.Load() != 20 || seen.records.Load() != 20 {
		t.Errorf("20 appends of one record: observed %d appends and %d records", seen.appends.Load(), seen.records.Load())
	}
	if n := seen.groups.Load(); n == 0 || n > seen.syncs.Load() {
		t.Errorf("observed %d groups and %d syncs: each group is synced", n, seen.syncs.Load())
	}
	if grown := store.Bytes() - before; grown < 20*eventData {
		t.Errorf("the log has grown by %d bytes with 20 events of %d", grown, eventData)
	}
	if queued, limit := store.Queued(); queued != 0 || limit <= 0 {
		t.Errorf("an idle store has %d of %d bytes queued", queued, limit)
	}
}

// TestFullSays has a store say that its disk is full, until it is not any more.
func TestFullSays(t *testing.T) {
	sys := faultfs.New(1)
	store := open(t, sys, small())
	add := storeAppender(store, 1)
	sys.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.Create, faultfs.Allocate}, Err: syscall.ENOSPC, At: 1, Stays: true})
	refusals := 0
	for range 1000 {
		if add(0) != nil {
			refusals++
			break
		}
	}
	if refusals == 0 || !store.Full() {
		t.Fatalf("after %d refusals on a full disk, Full is %v", refusals, store.Full())
	}
	sys.Heal()
	if err := add(0); err != nil || store.Full() {
		t.Errorf("with room again: %v, and Full is %v", err, store.Full())
	}
}

// TestObservingIsFree compares the allocations of an append with and without an observer.
func TestObservingIsFree(t *testing.T) {
	const runs = 500
	allocations := func(o embedded.Observer) float64 {
		store := open(t, faultfs.New(1), embedded.Options{Observer: o, VerifyRate: -1})
		defer store.Close()
		add := storeAppender(store, 1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if err := add(0); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / runs
	}
	allocations(nil) // fills the pools
	without, with := allocations(nil), allocations(&tracker{})
	t.Logf("an append allocates %.2f times, observed %.2f times", without, with)
	if with > without+0.5 {
		t.Errorf("an append allocates %.2f times, observed %.2f times", without, with)
	}
}
