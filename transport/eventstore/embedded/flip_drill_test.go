package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files/faultfs"
)

// TestFlippedBits turns over one bit of a stored file. In a segment that is reported, when the store opens or verifies,
// and what it hit is not served: a record is as it was written, or an error. In the index it is reported and made good: no
// stream is shorter, no event is lost, no repetition goes unnoticed.
func TestFlippedBits(t *testing.T) {
	whole := flippable(t)
	for _, part := range []struct {
		suffix string
		short  int
		judge  func(flipped, *tally, *testing.T)
	}{
		{".segment", 250, flipped.judgeSegment},
		{".run", 120, flipped.judgeIndex},
		{".offsets", 60, flipped.judgeIndex},
	} {
		t.Run(part.suffix, func(t *testing.T) {
			var y tally
			rng := rand.New(rand.NewPCG(6, 6))
			for range scale(part.short, 2000) {
				f := whole.flip(t, rng, part.suffix)
				y.point(part.suffix)
				part.judge(f, &y, t)
			}
			y.report(t)
		})
	}
}

// wholeStore is a stopped store whose files are as they should be.
type wholeStore struct {
	sys     *faultfs.FS
	ledger  *ledger
	all     []domain.Record
	streams map[string][]domain.ID
}

// flippable makes a store with many segments, runs and merged runs.
func flippable(t *testing.T) wholeStore {
	t.Helper()
	w := wholeStore{sys: faultfs.New(1), ledger: newLedger(), streams: map[string][]domain.ID{}}
	store := open(t, w.sys, small())
	if err := w.ledger.work(t.Context(), store, 1, 6, 60); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); store.Stats().Runs > 10 && time.Now().Before(deadline); {
		pause() // runs are being merged
	}
	if err := w.ledger.check(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	w.all, _ = collect(store.ReadAll(t.Context(), domain.Position{}, 0, commands.Forwards))
	for _, r := range w.all {
		w.streams[r.Stream] = append(w.streams[r.Stream], r.ID)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	names := strings.Join(w.sys.Names(), " ")
	if strings.Count(names, ".run") < 2 || strings.Count(names, ".segment") < 10 {
		t.Fatalf("too few files to flip bits of: %s", names)
	}
	return w
}

// flipped is a copy of a whole store with one bit turned over.
type flipped struct {
	wholeStore
	name    string
	bit     int64
	content bool // the bit is in what was written, not in the zeros after it
	heard   *errorCount
}

func (w wholeStore) flip(t *testing.T, rng *rand.Rand, suffix string) flipped {
	t.Helper()
	f := flipped{wholeStore: w, heard: &errorCount{}}
	f.sys = w.sys.RestartWith(func(string, int64) int { return 8 })
	names := slices.DeleteFunc(f.sys.Names(), func(name string) bool { return !strings.HasSuffix(name, suffix) })
	f.name = names[rng.IntN(len(names))]
	content, err := f.sys.ReadFile(f.name)
	if err != nil {
		t.Fatal(err)
	}
	written := len(bytes.TrimRight(content, "\x00"))
	f.bit = rng.Int64N(8 * int64(len(content)))
	if rng.IntN(8) > 0 {
		f.bit = rng.Int64N(8 * int64(written))
	}
	f.content = f.bit/8 < int64(written)
	if err := f.sys.FlipBit(f.name, f.bit); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f flipped) open(y *tally) (*embedded.Store, error) {
	opt := small()
	opt.Logger = slog.New(f.heard)
	opt.VerifyRate = -1
	return y.open(f.sys, opt)
}

func (f flipped) judgeSegment(y *tally, t *testing.T) {
	store, err := f.open(y)
	if err != nil {
		if !errors.Is(err, domain.ErrDamaged) || !strings.Contains(err.Error(), "position") {
			y.violation(t, "bit %d of %s: open: %v; want damage, and where", f.bit, f.name, err)
		}
		return
	}
	defer store.Close()
	cut := f.heard.n.Load() > 0 // the last watermark looked torn and was cut off: nothing is lost with it
	if _, err := store.Verify(t.Context()); f.content && !cut && !errors.Is(err, domain.ErrDamaged) {
		y.violation(t, "bit %d of %s: verify: %v; want damage", f.bit, f.name, err)
	}
	f.readsAreRightOrFail(y, t, store)
}

// readsAreRightOrFail reads every record by position, by stream and by id.
func (f flipped) readsAreRightOrFail(y *tally, t *testing.T, store *embedded.Store) {
	for i, want := range f.all {
		got, err := collect(store.ReadAll(t.Context(), want.Position, 1, commands.Forwards))
		switch {
		case err == nil && len(got) == 1:
			err = equal(got[0], want)
		case err == nil:
			err = errors.New("it is gone")
		}
		if err != nil && !errors.Is(err, domain.ErrDamaged) {
			y.violation(t, "bit %d of %s: position %d: %v", f.bit, f.name, i+1, err)
		}
	}
	for name, want := range f.streams {
		got, err := collect(store.ReadStream(t.Context(), name, 0, 0, commands.Forwards))
		if len(got) > len(want) || !slices.Equal(ids(got), want[:len(got)]) || len(got) < len(want) && !errors.Is(err, domain.ErrDamaged) {
			y.violation(t, "bit %d of %s: stream %s has %d of %d records, %v", f.bit, f.name, name, len(got), len(want), err)
		}
	}
}

func (f flipped) judgeIndex(y *tally, t *testing.T) {
	store, err := f.open(y)
	if err != nil {
		y.violation(t, "bit %d of %s: open: %v; want the index made anew", f.bit, f.name, err)
		return
	}
	defer store.Close()
	if err := checkStreams(t.Context(), store, f.all); err != nil {
		y.violation(t, "bit %d of %s: %v", f.bit, f.name, err)
	}
	for k, done := range f.ledger.acked {
		again, err := store.Append(t.Context(), k.stream(), domain.Any, k.records())
		if err != nil || !again.Repeated || again.Position != done.Position {
			y.violation(t, "bit %d of %s: repeating %v = %+v, %v; want position %v", f.bit, f.name, k, again, err, done.Position)
		}
	}
	if _, err := store.Verify(t.Context()); err != nil {
		y.violation(t, "bit %d of %s: verify: %v", f.bit, f.name, err)
	}
	if f.content && f.heard.n.Load() == 0 {
		y.violation(t, "bit %d of %s was not reported", f.bit, f.name)
	}
}

// TestBackgroundVerification: damage and bad runs are found without anybody reading them.
func TestBackgroundVerification(t *testing.T) {
	whole := flippable(t)
	for _, suffix := range []string{".segment", ".run"} {
		rng := rand.New(rand.NewPCG(8, 8))
		for range 20 {
			f := whole.flip(t, rng, suffix)
			opt := small()
			opt.Logger, opt.VerifyRate = slog.New(f.heard), 1<<40
			store, err := embedded.Open(f.sys, opt)
			if err != nil {
				continue // reported already
			}
			for deadline := time.Now().Add(5 * time.Second); f.content && f.heard.n.Load() == 0; pause() {
				if time.Now().After(deadline) {
					t.Errorf("bit %d of %s was not reported", f.bit, f.name)
					break
				}
			}
			if f.content && suffix == ".segment" && store.Stats().Damages == 0 {
				t.Errorf("bit %d of %s is not in the figures", f.bit, f.name)
			}
			store.Close()
		}
	}
}

// errorCount is a log that counts errors and warnings.
type errorCount struct{ n atomic.Int64 }

func (c *errorCount) Enabled(context.Context, slog.Level) bool { return true }
func (c *errorCount) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		c.n.Add(1)
	}
	return nil
}
func (c *errorCount) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *errorCount) WithGroup(string) slog.Handler      { return c }
