package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/projections"
	"strandline/readmodels"
)

var errAway = fmt.Errorf("%w: connection refused", domain.ErrUnavailable)

// engine is a database elsewhere, in memory: it can be away, and lose answers to what it has done.
type engine struct {
	mu      sync.Mutex
	away    bool
	deaf    int // so many answers to writes are lost
	poison  domain.Position
	serving *stored
	builds  int
}

// stored is a build: what was applied, by position.
type stored struct {
	origin string
	events map[domain.Position]string
	parked []readmodels.Parked
	at     domain.Position
}

// connection is a process's view of an engine.
type connection struct {
	engine    *engine
	watermark readmodels.Watermark
}

func (c *connection) Name() string                     { return "elsewhere" }
func (c *connection) Version() int                     { return 3 }
func (c *connection) Watermark() *readmodels.Watermark { return &c.watermark }
func (c *connection) Close() error                     { return nil }

func (c *connection) Open(_ context.Context, origin string) (projections.RemoteBuild, error) {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	if c.engine.away {
		return nil, errAway
	}
	if c.engine.serving == nil || c.engine.serving.origin != origin {
		c.engine.serving = c.engine.begin(origin)
	}
	return &build{c.engine, c.engine.serving, c.engine.serving.at}, nil
}

func (c *connection) Beside(_ context.Context, origin string) (projections.RemoteBuild, error) {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	if c.engine.away {
		return nil, errAway
	}
	return &build{c.engine, c.engine.begin(origin), domain.Position{}}, nil
}

func (c *connection) Follow(_ context.Context, generation string) (projections.RemoteBuild, error) {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	switch serving := c.engine.serving; {
	case c.engine.away:
		return nil, errAway
	case serving == nil || !strings.HasPrefix(serving.origin, generation):
		return nil, nil
	default:
		return &build{c.engine, serving, serving.at}, nil
	}
}

func (c *connection) Concerns(e domain.Event) bool {
	_, ok := e.(observation.Recorded)
	return ok
}

func (e *engine) begin(origin string) *stored {
	e.builds++
	return &stored{origin: origin, events: map[domain.Position]string{}}
}

func (e *engine) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

// seen are the positions that the serving build holds.
func (e *engine) seen() (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var order []domain.Position
	for p := range e.serving.events {
		order = append(order, p)
	}
	slices.SortFunc(order, domain.Position.Compare)
	for _, p := range order {
		all = append(all, p.String())
	}
	return all
}

// build is a process's view of a build.
type build struct {
	engine *engine
	*stored
	checkpoint domain.Position
}

func (b *build) Origin() string { return b.origin }

func (b *build) Checkpoint() domain.Position { return b.checkpoint }

func (b *build) Write(_ context.Context, batch projections.RemoteBatch) error {
	b.engine.mu.Lock()
	defer b.engine.mu.Unlock()
	if b.engine.away {
		return errAway
	}
	for _, e := range batch.Events {
		if e.Position == b.engine.poison {
			return errors.New("this cannot be stored")
		}
		b.events[e.Position] = e.Type
	}
	if b.engine.deaf > 0 {
		b.engine.deaf--
		return errAway
	}
	b.parked = append(b.parked, batch.Parked...)
	b.at, b.checkpoint = batch.UpTo, batch.UpTo
	return nil
}

func (b *build) Parked(context.Context) ([]readmodels.Parked, error) {
	b.engine.mu.Lock()
	defer b.engine.mu.Unlock()
	return slices.Clone(b.parked), nil
}

func (b *build) Serve(context.Context) error {
	b.engine.set(func() { b.engine.serving = b.stored })
	return nil
}

func (b *build) Drop(context.Context) error {
	b.engine.set(func() { b.engine.builds-- })
	return nil
}

func (b *build) Dump(_ context.Context, w io.Writer) error {
	return json.NewEncoder(w).Encode(len(b.events))
}

// write records n events and returns all positions.
func write(t *testing.T, l *log, n int) (all []string) {
	t.Helper()
	for i := range n {
		all = append(all, l.sample(t, i).String())
	}
	return all
}

func TestARemoteModelGoesOnAfterItsEngineWasAway(t *testing.T) {
	l, e := newLog(), &engine{away: true}
	c := &connection{engine: e}
	model := projections.Elsewhere(c, "g")
	db, other := table(t, t.TempDir(), trace("other", nil))
	_, stop := run(t, l, l.decode, other, model)
	want := write(t, l, 300)
	wait(t, db, l.head(t)) // the other one does not wait
	if err := c.watermark.Wait(t.Context(), l.head(t)); !errors.Is(err, readmodels.ErrStalled) {
		t.Errorf("waiting for an engine that is away: %v, want that it has stalled", err)
	}
	e.set(func() { e.away = false })
	arrive(t, model, l.head(t))
	e.set(func() { e.away, e.deaf = true, 2 })
	want = append(want, write(t, l, 300)...)
	e.set(func() { e.away = false })
	arrive(t, model, l.head(t))
	if got := e.seen(); !slices.Equal(got, want) {
		t.Errorf("the engine holds %d events, want %d", len(got), len(want))
	}
	stop()
	again := &connection{engine: e}
	_, _ = run(t, l, l.decode, projections.Elsewhere(again, "g"))
	want = append(want, write(t, l, 3)...)
	wait(t, &again.watermark, l.head(t))
	if got := e.seen(); !slices.Equal(got, want) || e.builds != 1 {
		t.Errorf("after another start: %d events, %d builds; want %d in one", len(got), e.builds, len(want))
	}
}

func TestNobodyWaitsForARemoteModelWhoseEngineIsSilent(t *testing.T) {
	t.Parallel()
	l, e := newLog(), &engine{}
	c := &connection{engine: e}
	model := projections.Elsewhere(c, "g")
	_, _ = run(t, l, l.decode, model)
	write(t, l, 3)
	wait(t, &c.watermark, l.head(t))
	e.mu.Lock()
	write(t, l, 3)
	err := c.watermark.Wait(t.Context(), l.head(t))
	began := time.Now()
	again := c.watermark.Wait(t.Context(), l.head(t))
	waited := time.Since(began)
	e.mu.Unlock()
	if !errors.Is(err, readmodels.ErrStalled) || !errors.Is(again, readmodels.ErrStalled) || waited > time.Second {
		t.Errorf("waiting for an engine that is silent: %v, then after %s %v", err, waited, again)
	}
	arrive(t, model, l.head(t))
	if err := model.Stalled(); err != nil {
		t.Errorf("after the engine has answered: %v", err)
	}
}

// arrive waits until a model that may have stalled has reached a position.
func arrive(t *testing.T, m projections.Model, at domain.Position) {
	t.Helper()
	for until := time.Now().Add(time.Minute); m.Checkpoint().Before(at); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%s is at %s, want %s: %v", m.Name(), m.Checkpoint(), at, m.Stalled())
		}
	}
}

func TestARemoteModelParksWhatCannotBeStored(t *testing.T) {
	l := newLog()
	want := write(t, l, 20)
	poison, _ := domain.ParsePosition(want[7])
	e := &engine{poison: poison}
	c := &connection{engine: e}
	model := projections.Elsewhere(c, "g", domain.Position{Commit: 3, Prepare: 3})
	r, _ := run(t, l, l.decode, model)
	wait(t, &c.watermark, l.head(t))
	want = slices.DeleteFunc(want, func(p string) bool { return p == poison.String() || p == "3" })
	if got := e.seen(); !slices.Equal(got, want) {
		t.Errorf("the engine holds %q, want %q", got, want)
	}
	parked, err := r.Parked(t.Context(), "elsewhere")
	if err != nil || len(parked) != 1 || parked[0].Position != poison || parked[0].Reason != "this cannot be stored" {
		t.Errorf("parked %+v, %v", parked, err)
	}
	e.set(func() { e.away = true }) // it can still be looked at
	if all, err := r.Status(t.Context(), time.Now()); err != nil || all[0].Parked != 1 || all[0].Version != 3 {
		t.Errorf("status %+v, %v", all, err)
	}
}

func TestARemoteModelIsBuiltAnewBesideItself(t *testing.T) {
	l, e := newLog(), &engine{}
	c := &connection{engine: e}
	model := projections.Elsewhere(c, "g")
	r, stop := run(t, l, l.decode, model)
	want := write(t, l, 50)
	wait(t, &c.watermark, l.head(t))
	before := e.serving
	out := domain.Position{Commit: 5, Prepare: 5}
	if err := r.RebuildWithout(t.Context(), "elsewhere", []domain.Position{out}, nil); err != nil {
		t.Fatal(err)
	}
	want = append(want, write(t, l, 5)...)
	wait(t, &c.watermark, l.head(t))
	want = slices.DeleteFunc(want, func(p string) bool { return p == out.String() })
	if got := e.seen(); !slices.Equal(got, want) || e.serving == before || !slices.Equal(model.LeftOut(), []domain.Position{out}) {
		t.Errorf("after the rebuild: %q, want %q; left out %s", got, want, model.LeftOut())
	}
	stop()
	e.set(func() { e.builds = 1 })
	if got := dump(t, l, model, domain.Position{Commit: 10, Prepare: 10}); got != "10\n" || e.builds != 1 {
		t.Errorf("dump at 10 is %q, and leaves %d builds; want 10 events, and one build", got, e.builds)
	}
}

// TestARemoteModelThatKnowsMoreThanTheLog is what a log has that was restored from an old backup: events would be taken
// for known that are others.
func TestARemoteModelThatKnowsMoreThanTheLog(t *testing.T) {
	e, longer := &engine{}, newLog()
	write(t, longer, 9)
	first := &connection{engine: e}
	model := projections.Elsewhere(first, "g")
	_, stop := run(t, longer, longer.decode, model)
	wait(t, &first.watermark, longer.head(t))
	stop()
	l, c := newLog(), &connection{engine: e}
	want := write(t, l, 3)
	r, _ := run(t, l, l.decode, projections.Elsewhere(c, "g"))
	for until := time.Now().Add(time.Minute); c.watermark.Stalled() == nil && time.Now().Before(until); time.Sleep(time.Millisecond) {
	}
	if err := c.watermark.Stalled(); err == nil || !strings.Contains(err.Error(), "the log ends at position 3, but the engine of elsewhere has seen 9, so events are missing") {
		t.Errorf("it says %v, want that events are missing", err)
	}
	if err := r.Rebuild(t.Context(), "elsewhere", nil); err != nil {
		t.Fatal(err)
	}
	want = append(want, write(t, l, 2)...)
	wait(t, &c.watermark, l.head(t))
	if got := e.seen(); !slices.Equal(got, want) {
		t.Errorf("after a rebuild the engine holds %q, want %q", got, want)
	}
}

func TestStoppedModelsAreLookedAt(t *testing.T) {
	l, e := newLog(), &engine{}
	write(t, l, 5)
	first := &connection{engine: e}
	_, stop := run(t, l, l.decode, projections.Elsewhere(first, "g"))
	wait(t, &first.watermark, l.head(t))
	stop()
	write(t, l, 2)
	for _, away := range []bool{false, true} {
		e.set(func() { e.away = away })
		r := projections.New(l, l.decode, []projections.Model{projections.Elsewhere(&connection{engine: e}, "g")})
		r.Look(t.Context())
		all, err := r.Status(t.Context(), time.Now())
		if err != nil || len(all) != 1 || away != (all[0].Stalled != "") || !away && (all[0].Checkpoint.Commit != 5 || all[0].Behind != 2) {
			t.Errorf("away %v: %+v, %v", away, all, err)
		}
	}
}
