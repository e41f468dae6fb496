package projections_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"strandline/domain"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/transport/eventstore/memory"
)

func TestEveryEventIsAppliedOnceAndInOrder(t *testing.T) {
	for name, options := range map[string][]memory.Option{"dense": nil, "gaps": {memory.WithGaps(1)}} {
		t.Run(name, func(t *testing.T) {
			l := newLog(options...)
			var want []string
			for n := range 500 {
				want = append(want, l.sample(t, n).String())
			}
			dir := t.TempDir()
			db, m := table(t, dir, trace("seen", nil))
			_, stop := run(t, l, l.decode, m)
			wait(t, db, l.head(t))
			for n := range 500 { // live
				want = append(want, l.sample(t, n).String())
			}
			wait(t, db, l.head(t))
			stop()

			db, m = table(t, dir, trace("seen", nil))
			for n := range 100 { // behind again
				want = append(want, l.sample(t, n).String())
			}
			run(t, l, l.decode, m)
			wait(t, db, l.head(t))
			if got := seen(t, db); !slices.Equal(got, want) {
				t.Errorf("applied %d events, want %d in order", len(got), len(want))
			}
		})
	}
}

func TestPoisonIsParkedAndTheRestGoesOn(t *testing.T) {
	l := newLog()
	var poison [3]domain.Position
	for n := range 100 {
		at := l.sample(t, n)
		if n%40 == 10 {
			poison[n/40] = at
		}
	}
	bad := func(r domain.Recorded) error {
		switch r.Position {
		case poison[0]:
			return errors.New("cannot be")
		case poison[1]:
			panic("must not be")
		}
		return nil
	}
	undecodable := func(ctx context.Context, r domain.Record) (domain.Recorded, error) {
		if r.Position == poison[2] {
			return domain.Recorded{}, errors.New("is not one of ours")
		}
		return l.decode(ctx, r)
	}
	db, m := table(t, t.TempDir(), trace("seen", bad))
	r, _ := run(t, l, undecodable, m)
	wait(t, db, l.head(t))

	all := seen(t, db)
	for _, at := range poison {
		if slices.Contains(all, at.String()) {
			t.Errorf("what the poison event %s wrote is still there", at)
		}
	}
	if len(all) != 97 {
		t.Errorf("%d events applied, want 97", len(all))
	}
	parked, err := r.Parked(t.Context(), "seen")
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, p := range parked {
		reasons = append(reasons, p.Position.String()+" "+p.Reason)
	}
	want := []string{poison[0].String() + " cannot be", poison[1].String() + " panic: must not be",
		poison[2].String() + " is not one of ours"}
	if !slices.Equal(reasons, want) {
		t.Errorf("parked %q, want %q", reasons, want)
	}
}

func TestASlowProjectionHoldsNobodyBack(t *testing.T) {
	l := newLog()
	release := make(chan struct{})
	var waiting sync.Once
	slow := trace("slow", func(domain.Recorded) error {
		waiting.Do(func() { <-release })
		return nil
	})
	slowDB, slowModel := table(t, t.TempDir(), slow)
	fastDB, fastModel := table(t, t.TempDir(), trace("fast", nil))
	run(t, l, l.decode, slowModel, fastModel)
	defer close(release)
	for n := range 200 {
		wait(t, fastDB, l.sample(t, n))
	}
	if at := slowDB.Checkpoint(); !at.IsZero() {
		t.Errorf("the slow projection is at %s, want it to be held", at)
	}
	release <- struct{}{}
	wait(t, slowDB, l.head(t))
}

// flood is a feed that is far larger than what a stream holds.
type flood struct{ of int }

func (f flood) Head(context.Context) (domain.Position, error) { return at(f.of), nil }

func (f flood) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		for n := int(after.Commit); n < f.of; {
			batch := make([]domain.Record, 0, 500)
			for range min(500, f.of-n) {
				n++
				batch = append(batch, domain.Record{Position: at(n)})
			}
			if !yield(batch, nil) {
				return
			}
		}
		if yield(nil, nil) {
			<-ctx.Done()
			yield(nil, ctx.Err())
		}
	}
}

func at(n int) domain.Position { return domain.Position{Commit: uint64(n), Prepare: uint64(n)} }

func TestAHangingProjectionIsLeftBehindByAFlood(t *testing.T) {
	release := make(chan struct{})
	var decoded atomic.Int64
	decode := func(_ context.Context, r domain.Record) (domain.Recorded, error) {
		decoded.Add(1)
		return domain.Recorded{Position: r.Position}, nil
	}
	var waiting sync.Once
	slow := trace("slow", func(domain.Recorded) error {
		waiting.Do(func() { <-release })
		return nil
	})
	slowDB, slowModel := table(t, t.TempDir(), slow)
	fastDB, fastModel := table(t, t.TempDir(), trace("fast", nil))
	f := flood{of: 20_000}
	run(t, f, decode, slowModel, fastModel)
	wait(t, fastDB, at(f.of))
	close(release)
	wait(t, slowDB, at(f.of))
	if got := seen(t, slowDB); len(got) != f.of {
		t.Errorf("%d events applied, want %d", len(got), f.of)
	}
}

// TestDecodingIsSharedByThoseWhoBeginTogether: on a busy machine one of the two can fall so far behind that it rightly
// reads for itself, so that of several rounds it is enough that one shares.
func TestDecodingIsSharedByThoseWhoBeginTogether(t *testing.T) {
	const rounds = 10
	f := flood{of: 25_000}
	least := int64(math.MaxInt64)
	for range rounds {
		n := decodedByTwo(t, f)
		if n <= int64(f.of)*11/10 {
			return
		}
		least = min(least, n)
	}
	t.Errorf("%d rounds, and never fewer than %d events decoded for %d; want each once", rounds, least, f.of)
}

// decodedByTwo counts the events that are decoded for two projections that follow f from its start.
func decodedByTwo(t *testing.T, f flood) int64 {
	t.Helper()
	var decoded atomic.Int64
	decode := func(_ context.Context, r domain.Record) (domain.Recorded, error) {
		decoded.Add(1)
		return domain.Recorded{Position: r.Position}, nil
	}
	one, oneModel := table(t, t.TempDir(), trace("one", nil))
	two, twoModel := table(t, t.TempDir(), trace("two", nil))
	run(t, f, decode, oneModel, twoModel)
	wait(t, one, at(f.of))
	wait(t, two, at(f.of))
	return decoded.Load()
}

// failing is a feed whose Follow breaks after some batches.
type failing struct {
	*log
	left atomic.Int64
}

func (f *failing) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		for batch, err := range f.log.Follow(ctx, after) {
			if f.left.Add(-1) >= 0 {
				yield(nil, errors.New("connection lost"))
				return
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

func TestAFeedThatFailsIsReadAgain(t *testing.T) {
	f := &failing{log: newLog()}
	for n := range 100 {
		f.sample(t, n)
	}
	f.left.Store(3)
	db, m := table(t, t.TempDir(), trace("seen", nil))
	run(t, f, f.decode, m)
	wait(t, db, f.head(t))
	if got := seen(t, db); len(got) != 100 {
		t.Errorf("%d events applied, want 100", len(got))
	}
}

func TestTroubleOfTheMachineStallsAndIsRetried(t *testing.T) {
	l := newLog()
	for n := range 10 {
		l.sample(t, n)
	}
	var broken atomic.Bool
	broken.Store(true)
	p := trace("seen", func(domain.Recorded) error {
		if broken.Load() {
			return fmt.Errorf("%w: the disk is full", domain.ErrUnavailable)
		}
		return nil
	})
	db, m := table(t, t.TempDir(), p)
	r, _ := run(t, l, l.decode, m)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err := error(nil); !errors.Is(err, readmodels.ErrStalled); err = db.Wait(ctx, l.head(t)) {
		if ctx.Err() != nil {
			t.Fatal("the read model does not say that it has stalled")
		}
	}
	status, err := r.Status(t.Context(), time.Now())
	if err != nil || !strings.Contains(status[0].Stalled, "disk is full") || status[0].Behind != 10 || status[0].Parked != 0 {
		t.Errorf("Status = %+v, %v; want stalled, 10 behind", status, err)
	}
	broken.Store(false)
	for ctx.Err() == nil && db.Wait(ctx, l.head(t)) != nil {
		time.Sleep(time.Millisecond)
	}
	if got := seen(t, db); len(got) != 10 {
		t.Errorf("%d events applied, want 10", len(got))
	}
}

func TestARebuildServesTheOldUntilItSwitches(t *testing.T) {
	l := newLog()
	for n := range 3000 {
		l.sample(t, n)
	}
	dir := t.TempDir()
	db, m := table(t, dir, trace("seen", nil))
	r, stop := run(t, l, l.decode, m)
	wait(t, db, l.head(t))
	err := db.Update(t.Context(), db.Checkpoint(), func(tx *readmodels.Tx) error { return tx.Exec("DELETE FROM seen WHERE id % 2 = 0") })
	if err != nil {
		t.Fatal(err)
	}

	var writing sync.WaitGroup
	writing.Go(func() {
		for n := range 500 {
			wait(t, db, l.sample(t, n))
		}
	})
	shares := []float64{}
	if err := r.Rebuild(t.Context(), "seen", func(p projections.Progress) { shares = append(shares, p.Share) }); err != nil {
		t.Fatal(err)
	}
	writing.Wait()
	wait(t, db, l.head(t))
	if got := seen(t, db); len(got) != 3500 {
		t.Errorf("%d events after the rebuild, want 3500", len(got))
	}
	if len(shares) == 0 || shares[len(shares)-1] != 1 {
		t.Errorf("progress %v, want it to end with 1", shares)
	}
	stop()
	if files, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(files) != 2 {
		t.Errorf("files left: %v, want the one that serves and the one before", files)
	}
}

func TestARebuildThatIsGivenUpChangesNothing(t *testing.T) {
	l := newLog()
	l.sample(t, 1)
	dir := t.TempDir()
	db, m := table(t, dir, trace("seen", nil))
	r, _ := run(t, l, l.decode, m)
	wait(t, db, l.head(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Rebuild(ctx, "seen", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Rebuild = %v, want canceled", err)
	}
	if err := r.Rebuild(t.Context(), "nobody", nil); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("Rebuild of a stranger = %v, want not found", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(files) != 1 || len(seen(t, db)) != 1 {
		t.Errorf("files left: %v, want one", files)
	}
}

func TestAFullDiskStallsUntilThereIsRoom(t *testing.T) {
	l := newLog()
	db, m := table(t, t.TempDir(), trace("seen", nil))
	pages := func(n int) {
		t.Helper()
		err := db.Update(t.Context(), db.Checkpoint(), func(tx *readmodels.Tx) error {
			return tx.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", n))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pages(8)
	for n := range 5000 {
		l.sample(t, n)
	}
	r, _ := run(t, l, l.decode, m)
	for stalled := false; !stalled; time.Sleep(time.Millisecond) {
		status, err := r.Status(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		stalled = strings.Contains(status[0].Stalled, "full")
	}
	if parked, err := r.Parked(t.Context(), "seen"); err != nil || len(parked) != 0 {
		t.Errorf("Parked = %v, %v; want none", parked, err)
	}
	pages(100_000)
	waitThroughStalls(t, db, l.head(t))
	if got := seen(t, db); len(got) != 5000 {
		t.Errorf("%d events applied, want 5000", len(got))
	}
}

// waitThroughStalls waits until a read model is at a position, whatever fails in between.
func waitThroughStalls(t *testing.T, db *readmodels.DB, at domain.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for db.Wait(ctx, at) != nil {
		if ctx.Err() != nil {
			t.Fatalf("the read model stays at %s", db.Checkpoint())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestADamagedFileIsBuiltAgain(t *testing.T) {
	for name, find := range map[string]func(t *testing.T, l *log, db *readmodels.DB){
		"found by writing": func(t *testing.T, l *log, _ *readmodels.DB) { l.sample(t, 1) },
		"found by reading": func(t *testing.T, l *log, db *readmodels.DB) {
			err := db.View(t.Context(), func(tx *readmodels.Tx) error {
				for _, err := range tx.Query("SELECT * FROM seen") {
					if err != nil {
						return err
					}
				}
				return nil
			})
			if !readmodels.IsDamage(err) {
				t.Errorf("reading a damaged file: %v", err)
			}
			l.sample(t, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog()
			for n := range 3000 {
				l.sample(t, n)
			}
			dir := t.TempDir()
			db, m := table(t, dir, trace("seen", nil))
			_, stop := run(t, l, l.decode, m)
			wait(t, db, l.head(t))
			stop()
			damage(t, filepath.Join(dir, "seen-v1-b1.db"))

			db, m = table(t, dir, trace("seen", nil))
			run(t, l, l.decode, m)
			find(t, l, db)
			waitThroughStalls(t, db, l.head(t))
			if got := seen(t, db); len(got) != 3001 {
				t.Errorf("%d events applied, want 3001", len(got))
			}
		})
	}
}

// damage spoils the pages of a database file behind those that are read at its opening.
func damage(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 5 * 4096; i < len(content); i++ {
		content[i] ^= 0xa5
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
