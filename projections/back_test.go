package projections_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/projections"
	"strandline/readmodels"
)

// versioned is a projection of a version, which marks what it writes with it and has those before as former ones.
func versioned(version int) projections.Projection {
	p := trace("trace", nil)
	p.Schema.Version = version
	p.New = func() projections.Applier {
		return projections.ApplyFunc(func(tx *readmodels.Tx, r domain.Recorded) error {
			if tx.Version() != version {
				return fmt.Errorf("the projection of version %d is to write to a file of version %d", version, tx.Version())
			}
			return tx.Exec("INSERT INTO seen (position) VALUES (?)", fmt.Sprintf("%d: %s", version, r.Position))
		})
	}
	for v := version - 1; v > 0; v-- {
		p.Former = append(p.Former, versioned(v))
	}
	return p
}

// TestVersionsSideBySide upgrades a projection while events come, goes back, and forth. What serves has every event once,
// by the version that serves, and nobody who reads finds less than before.
func TestVersionsSideBySide(t *testing.T) {
	l, dir := newLog(), t.TempDir()
	add := func() {
		for n := range 50 {
			l.sample(t, n)
		}
	}
	holds := func(when string, db *readmodels.DB, version int) {
		t.Helper()
		wait(t, db, l.head(t))
		var want []string
		for r, err := range l.ReadAll(t.Context(), domain.Position{}, 0, commands.Forwards) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%d: %s", version, r.Position))
		}
		if got := seen(t, db); !slices.Equal(got, want) || db.Version() != version {
			t.Errorf("%s: version %d has %d rows, want all %d by version %d", when, db.Version(), len(got), len(want), version)
		}
	}
	open := func(version int) (*readmodels.DB, *projections.Runner, func()) {
		p := versioned(version)
		db, err := readmodels.Open(dir, p.Schema, "g", readmodels.Former(p.FormerVersions()...))
		if err != nil {
			t.Fatal(err)
		}
		r, stop := run(t, l, l.decode, projections.Table(p, db))
		return db, r, stop
	}

	add()
	db, r, stop := open(1)
	if r.Outdated() != nil {
		t.Error("the first version is outdated")
	}
	holds("the first version", db, 1)
	stop()
	add()

	db, r, stop = open(2)
	holds("the second program, before it has built its own", db, 1)
	if got := r.Outdated(); !slices.Equal(got, []string{"trace"}) {
		t.Errorf("outdated: %v, want trace", got)
	}
	var fewest atomic.Int64
	watching, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for most := 0; ; {
			select {
			case <-watching:
				return
			default:
			}
			n := len(seen(t, db))
			if n < most {
				fewest.Store(int64(most - n))
			}
			most = max(most, n)
		}
	}()
	if err := r.Rebuild(t.Context(), "trace", func(projections.Progress) { l.sample(t, 1) }); err != nil {
		t.Fatal(err)
	}
	close(watching)
	<-watched
	if missing := fewest.Load(); missing > 0 {
		t.Errorf("somebody who reads during the switch finds %d events less than before", missing)
	}
	holds("built", db, 2)
	if r.Outdated() != nil {
		t.Error("the second version is built, and outdated")
	}
	add()
	holds("built, and more", db, 2)

	if err := r.Back(t.Context(), "trace", nil); err != nil {
		t.Fatal(err)
	}
	holds("gone back", db, 1)
	add()
	holds("gone back, and more", db, 1)
	if r.Outdated() != nil {
		t.Error("somebody has gone back, and would be brought forth again")
	}
	status, err := r.Status(t.Context(), time.Now())
	if err != nil || status[0].Version != 1 || status[0].Previous == nil || status[0].Previous.Version != 2 {
		t.Errorf("status %+v, %v, want version 1 with 2 before it", status, err)
	}
	stop()
	add()

	db, r, _ = open(2)
	holds("gone back, after a start", db, 1)
	if err := r.Back(t.Context(), "trace", nil); err != nil {
		t.Fatal(err)
	}
	holds("gone forth", db, 2)
}

// TestNoWayBack is about models that have none.
func TestNoWayBack(t *testing.T) {
	l := newLog()
	l.sample(t, 1)
	all := openAll(t, t.TempDir(), nil)
	r, _ := run(t, l, l.decode, all...)
	for _, m := range all {
		reach(t, m, l.head(t))
		if err := r.Back(t.Context(), m.Name(), nil); !errors.Is(err, domain.ErrRejected) {
			t.Errorf("%s goes back to what it never was: %v", m.Name(), err)
		}
	}
	if err := r.Back(t.Context(), "nothing", nil); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("back with a projection that is not there: %v", err)
	}
}
