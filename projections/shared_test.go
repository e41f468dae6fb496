package projections_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/domain/registry"
	"strandline/projections"
)

// turns is a lock that several processes know.
type turns struct {
	mu    sync.Mutex
	taken *turnOf
}

// turnOf is a process's view of it.
type turnOf struct{ *turns }

func (o *turnOf) Take() (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken == nil {
		o.taken = o
	}
	return o.taken == o, nil
}

func (o *turnOf) GiveBack() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken == o {
		o.taken = nil
	}
	return nil
}

// samples is how many observations the serving build holds.
func (e *engine) samples() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, kind := range e.serving.events {
		if kind == (observation.Recorded{}).EventType() {
			n++
		}
	}
	return n
}

// nothingLeftOut is what has been decided where nothing has.
func nothingLeftOut(context.Context) ([]domain.Position, error) { return nil, nil }

// member is a process that shares the engine.
type member struct {
	*connection
	model  projections.Model
	runner *projections.Runner
	stop   func()
}

func join(t *testing.T, l *log, e *engine, turn projections.Turn) member {
	t.Helper()
	c := &connection{engine: e}
	m := projections.Shared(c, "g", turn, nothingLeftOut)
	r, stop := run(t, l, l.decode, m)
	return member{c, m, r, stop}
}

// aside records an event that no engine of these tests keeps anything of.
func aside(t *testing.T, l *log) domain.Position {
	t.Helper()
	id := l.id().String()
	return l.add(t, "registry-"+id, registry.Added{Kind: registry.Researcher, ID: id})
}

func TestOneFillsWhatManyShare(t *testing.T) {
	t.Parallel()
	l, e, turn := newLog(), &engine{}, &turns{}
	reads := join(t, l, e, projections.Never{})
	head := l.sample(t, 0)
	if err := reads.watermark.Wait(t.Context(), head); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("waiting for what nobody fills: %v, want unavailable", err)
	}
	first := join(t, l, e, &turnOf{turn})
	arrive(t, first.model, head)
	arrive(t, reads.model, head)
	second := join(t, l, e, &turnOf{turn})
	arrive(t, second.model, head)
	if projections.Follows(first.model) || !projections.Follows(second.model) || !projections.Follows(reads.model) {
		t.Fatalf("following: %v %v %v, want only the two that came later", projections.Follows(first.model), projections.Follows(second.model), projections.Follows(reads.model))
	}

	want := 1
	for n := range 200 {
		at := l.sample(t, n)
		want++
		if n%7 == 0 {
			at = aside(t, l) // whoever follows knows by itself that it matters to nobody
		}
		for _, m := range []member{reads, second} {
			wait(t, &m.watermark, at)
			if got := e.samples(); got != want {
				t.Fatalf("at %s whoever follows sees %d samples, want %d", at, got, want)
			}
		}
	}
	for _, m := range []member{reads, second} {
		if err := m.runner.Rebuild(t.Context(), "elsewhere", nil); !errors.Is(err, domain.ErrRejected) {
			t.Errorf("whoever follows rebuilds: %v, want rejected", err)
		}
	}
	if err := first.runner.Rebuild(t.Context(), "elsewhere", nil); err != nil {
		t.Fatal(err)
	}
	wait(t, &reads.watermark, l.sample(t, 0))
	if got := e.samples(); got != want+1 {
		t.Errorf("after a rebuild: %d samples, want %d", got, want+1)
	}

	first.stop()
	head = l.sample(t, 1)
	arrive(t, reads.model, head)
	arrive(t, second.model, head)
	if projections.Follows(second.model) {
		t.Error("nobody has taken the place of the one that has ended")
	}
	if got := e.samples(); got != want+2 {
		t.Errorf("after another has taken the turn: %d samples, want %d", got, want+2)
	}
}

// TestWhoeverFollowsWaitsForTheEngine has the one that fills be slow: nobody may be told of what the engine does not have.
func TestWhoeverFollowsWaitsForTheEngine(t *testing.T) {
	t.Parallel()
	l, e, turn := newLog(), &engine{}, &turns{}
	fills, reads := join(t, l, e, &turnOf{turn}), join(t, l, e, projections.Never{})
	at := l.sample(t, 0)
	arrive(t, fills.model, at)
	arrive(t, reads.model, at)
	e.set(func() { e.away = true })
	late := l.sample(t, 1)
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if err := reads.watermark.Wait(short, late); err == nil || !reads.model.Checkpoint().Before(late) {
		t.Errorf("waited for what the engine does not have: %v, at %s", err, reads.model.Checkpoint())
	}
	e.set(func() { e.away = false })
	arrive(t, reads.model, late)
}

// TestATurnBeginsWithWhatServes has a process take over a build that was made by other decisions: it must not take the place of
// what serves with an empty one, and asks to be built anew.
func TestATurnBeginsWithWhatServes(t *testing.T) {
	t.Parallel()
	l, e := newLog(), &engine{}
	first := join(t, l, e, &turnOf{&turns{}})
	at := l.sample(t, 0)
	arrive(t, first.model, at)
	first.stop()
	c := &connection{engine: e}
	decided := func(context.Context) ([]domain.Position, error) { return []domain.Position{at}, nil }
	m := projections.Shared(c, "g", &turnOf{&turns{}}, decided)
	r, _ := run(t, l, l.decode, m)
	arrive(t, m, l.sample(t, 1))
	if got := e.seen(); len(got) != 2 || e.builds != 1 {
		t.Errorf("%d events in %d builds, want 2 in one", len(got), e.builds)
	}
	if slices.Equal(m.LeftOut(), []domain.Position{at}) {
		t.Error("it claims to leave out what it holds")
	}
	if err := r.RebuildWithout(t.Context(), "elsewhere", []domain.Position{at}, nil); err != nil {
		t.Fatal(err)
	}
	if got := e.seen(); len(got) != 1 || !slices.Equal(m.LeftOut(), []domain.Position{at}) {
		t.Errorf("after it was built anew: %d events, left out %v", len(got), m.LeftOut())
	}
}

// TestWhatIsFilledAnewIsWaitedFor has the engine lose what it held: whoever follows must not go on telling that all is there.
func TestWhatIsFilledAnewIsWaitedFor(t *testing.T) {
	t.Parallel()
	l, e := newLog(), &engine{}
	first, reads := join(t, l, e, &turnOf{&turns{}}), join(t, l, e, projections.Never{})
	for n := range 50 {
		l.sample(t, n)
	}
	head := l.head(t)
	arrive(t, first.model, head)
	arrive(t, reads.model, head)
	first.stop()
	e.set(func() { e.serving = e.begin("g") })
	for began := time.Now(); !reads.model.Checkpoint().Before(head); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("it is told that all is there up to %s, and the engine is empty", reads.model.Checkpoint())
		}
	}
	second := join(t, l, e, &turnOf{&turns{}})
	arrive(t, second.model, head)
	arrive(t, reads.model, head)
	if got := e.samples(); got != 50 {
		t.Errorf("%d samples, want 50", got)
	}
}
