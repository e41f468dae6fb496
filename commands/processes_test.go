package commands_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/registry"
)

// crossed is a store that lets something else happen just before the first append.
type crossed struct {
	commands.EventStore
	first sync.Once
	meet  func()
}

func (c *crossed) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	c.first.Do(c.meet)
	return c.EventStore.Append(ctx, stream, expected, records)
}

// two are a world and another process on the same store, whose first append meet comes just before.
func two(t *testing.T, meet func(one *world)) (one, other *world) {
	one = newWorld(t).settle()
	other = worldOf(t, &crossed{EventStore: one.disk, meet: func() { meet(one) }}, one.keys)
	other.disk = one.disk
	other.follow()
	return one, other
}

// TestOneKeyInTwoProcesses: the same request comes to two processes at the same time, or another with its key.
func TestOneKeyInTwoProcesses(t *testing.T) {
	cmd := add(registry.Study, "s0000000000000000009", researcher, registry.Researcher)
	do := func(w *world, body byte) (commands.Receipt, error) {
		return w.bus.Do(context.Background(), w.permit(root, policy.StudyCreate, researcher), meta("key", body), cmd)
	}
	for name, body := range map[string]byte{"the same": 1, "another": 2} {
		var before commands.Receipt
		one, other := two(t, func(one *world) {
			var err error
			if before, err = do(one, 1); err != nil || before.Repeated {
				t.Fatalf("%+v, %v", before, err)
			}
		})
		receipt, err := do(other, body)
		var mismatch *commands.IdempotencyMismatchError
		switch {
		case body == 2 && !errors.As(err, &mismatch):
			t.Errorf("%s request with the key: %+v, %v; want a mismatch", name, receipt, err)
		case body == 1 && (err != nil || !receipt.Repeated || receipt.Position != before.Position):
			t.Errorf("%s request with the key: %+v, %v; want a repetition of %+v", name, receipt, err, before)
		}
		if n := one.count("study.added"); n != 2 {
			t.Errorf("%s request with the key: %d studies, want 2", name, n)
		}
	}
}

func (w *world) count(typ string) (n int) {
	for _, found := range w.types() {
		if found == typ {
			n++
		}
	}
	return n
}

// TestPlanUnderOneKeyInTwoProcesses is made and finished once.
func TestPlanUnderOneKeyInTwoProcesses(t *testing.T) {
	do := func(w *world) (commands.Receipt, error) {
		first, then := enrol()
		return w.bus.DoPlan(context.Background(), w.permit(root, policy.ResearcherCreate, ""), meta("key", 1), first, then...)
	}
	var before commands.Receipt
	one, other := two(t, func(one *world) { before, _ = do(one) })
	receipt, err := do(other)
	if err != nil || !receipt.Repeated || receipt.Position != before.Position {
		t.Errorf("%+v, %v; want a repetition of %+v", receipt, err, before)
	}
	if types := one.types(); !slices.Equal(types[len(types)-len(enrolled):], enrolled) || one.count("plan.made") != 1 {
		t.Errorf("recorded %v", types)
	}
}

// slow is a store on which every append but the first waits until another process has looked for open plans.
type slow struct {
	commands.EventStore
	n    int
	meet func(n int)
}

func (s *slow) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	s.n++
	s.meet(s.n)
	return s.EventStore.Append(ctx, stream, expected, records)
}

// TestPlanFinishedByAnother: while a process is in the middle of a plan, at any append, another takes it for dead and finishes
// it, or does so at the very same time. Each step is there once, and the one who made it is told that it did.
func TestPlanFinishedByAnother(t *testing.T) {
	for at := 2; at <= len(enrolled)-1; at++ {
		other := newWorld(t)
		maker := worldOf(t, &slow{EventStore: other.disk, meet: func(n int) {
			if n != at {
				return
			}
			other.follow()
			if err := other.bus.Resume(context.Background()); err != nil {
				t.Errorf("before append %d: %v", at, err)
			}
		}}, other.keys)
		first, then := enrol()
		receipt, err := maker.bus.DoPlan(context.Background(), maker.permit(root, policy.ResearcherCreate, ""), meta("", 0), first, then...)
		if err != nil || receipt.Repeated || len(receipt.Events) != len(enrolled) {
			t.Errorf("finished by another before append %d: %+v, %v", at, receipt, err)
		}
		if !slices.Equal(other.types(), enrolled) || len(other.visible()) != 4 {
			t.Errorf("finished by another before append %d: recorded %v", at, other.types())
		}
	}
}

// TestPlanFinishedByMany at once.
func TestPlanFinishedByMany(t *testing.T) {
	for at := 2; at <= len(enrolled)-1; at++ {
		w := newWorld(t)
		w.store = &kill{EventStore: w.disk, left: at}
		w.start()
		first, then := enrol()
		if _, err := w.bus.DoPlan(context.Background(), w.permit(root, policy.ResearcherCreate, ""), meta("", 0), first, then...); err == nil {
			t.Fatal("was not killed")
		}
		var all sync.WaitGroup
		for range 4 {
			other := worldOf(t, w.disk, w.keys)
			other.follow()
			all.Go(func() {
				if err := other.bus.Resume(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if !slices.Equal(w.types(), enrolled) {
			t.Errorf("killed at append %d: %v", at, w.types())
		}
	}
}
