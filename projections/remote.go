package projections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"strandline/domain"
	"strandline/readmodels"
)

// What an engine is asked for is in readmodels, since read models do not import projections.
type (
	Remote      = readmodels.Remote
	RemoteBuild = readmodels.RemoteBuild
	RemoteBatch = readmodels.RemoteBatch
)

// elsewhere is a Model of a Remote.
type elsewhere struct {
	nothingKept
	remote     Remote
	generation string
	sharing    *sharing // nil where no other process fills it

	mu      sync.Mutex
	leftOut []domain.Position // ascending
	serving *remoteWriter     // nil until the engine has been reached
}

// Elsewhere returns the Model of a read model in an engine elsewhere, made of a generation of the event store without the
// events at some positions, ascending. While the engine is away the model stalls, and goes on once it is back.
func Elsewhere(r Remote, generation string, leftOut ...domain.Position) Model {
	return &elsewhere{remote: r, generation: generation, leftOut: leftOut}
}

func (e *elsewhere) Name() string                { return e.remote.Name() }
func (e *elsewhere) Version() int                { return e.remote.Version() }
func (e *elsewhere) Checkpoint() domain.Position { return e.remote.Watermark().At() }
func (e *elsewhere) Stalled() error              { return e.remote.Watermark().Stalled() }
func (e *elsewhere) stall(reason error)          { e.remote.Watermark().Stall(reason) }
func (e *elsewhere) tidy() error                 { return nil }

func (e *elsewhere) close() error {
	if e.sharing == nil {
		return e.remote.Close()
	}
	e.unfollow()
	return errors.Join(e.remote.Close(), e.sharing.turn.GiveBack())
}

func (e *elsewhere) LeftOut() []domain.Position {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leftOut
}

// open finds the build that serves.
func (e *elsewhere) open(ctx context.Context, feed Feed) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.serving != nil {
		return nil
	}
	build, leftOut, err := e.find(ctx)
	if err != nil {
		return fmt.Errorf("open %s: %w", e.Name(), err)
	}
	if err := e.complete(ctx, feed, build.Checkpoint()); err != nil {
		return err
	}
	parked, err := build.Parked(ctx)
	if err != nil {
		return fmt.Errorf("open %s: %w", e.Name(), err)
	}
	e.serve(&remoteWriter{build: build, leftOut: setOf(leftOut), parked: parked}, leftOut)
	return nil
}

// find is the build that serves, and what it leaves out.
func (e *elsewhere) find(ctx context.Context) (RemoteBuild, []domain.Position, error) {
	if e.sharing != nil {
		return e.findShared(ctx)
	}
	build, err := e.remote.Open(ctx, readmodels.Origin(e.generation, e.leftOut))
	return build, e.leftOut, err
}

// complete makes sure that the log ends no earlier than the engine knows.
func (e *elsewhere) complete(ctx context.Context, feed Feed, at domain.Position) error {
	if at.IsZero() {
		return nil
	}
	head, err := feed.Head(ctx)
	if err != nil {
		return err
	}
	if head.Before(at) {
		return fmt.Errorf("%w: the log ends at position %s, but the engine of %s has seen %s, so events are missing: restore the log from its backup, "+
			"or rebuild %[3]s to go on without them", domain.ErrUnavailable, head, e.Name(), at)
	}
	return nil
}

// serve makes a build the one that serves here. It is called with mu.
func (e *elsewhere) serve(w *remoteWriter, leftOut []domain.Position) {
	w.wrote, w.slow = e.remote.Watermark().Set, e.remote.Watermark().Stall
	e.serving, e.leftOut = w, leftOut
	w.wrote(w.Checkpoint())
}

// writer is what writes to the build that serves.
func (e *elsewhere) writer() (*remoteWriter, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.serving == nil {
		return nil, fmt.Errorf("%w: %s has not been reached since the start", domain.ErrUnavailable, e.Name())
	}
	return e.serving, nil
}

func (e *elsewhere) apply(ctx context.Context, batches []batch) error {
	w, err := e.writer()
	if err != nil {
		return err
	}
	return w.apply(ctx, batches)
}

// Parked is what the engine has told and has been told since, so that it can be seen while the engine is away.
func (e *elsewhere) Parked(ctx context.Context) ([]readmodels.Parked, error) {
	w, err := e.writer()
	if err != nil {
		return nil, nil // nothing is known yet: Stalled says why
	}
	if f, ok := w.build.(*followed); ok {
		return f.Parked(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.parked), nil
}

func (e *elsewhere) CountParked(ctx context.Context) (int, error) {
	all, err := e.Parked(ctx)
	return len(all), err
}

// patienceElsewhere bounds what is asked of an engine where nobody else sets a bound.
const patienceElsewhere = time.Minute

func (e *elsewhere) renew(log *slog.Logger) error {
	log.Warn("read model is damaged: dropped, to be built again from the log", "projection", e.Name())
	build, err := e.beside(e.LeftOut())
	if err != nil {
		return err
	}
	return build.switchOver()
}

func (e *elsewhere) beside(leftOut []domain.Position) (replacement, error) {
	if Follows(e) {
		return nil, fmt.Errorf("%w: another process fills %s, and builds it anew", domain.ErrRejected, e.Name())
	}
	ctx, stop := context.WithTimeout(context.Background(), patienceElsewhere)
	defer stop()
	build, err := e.remote.Beside(ctx, readmodels.Origin(e.generation, leftOut))
	if err != nil {
		return nil, err
	}
	return &elsewhereBuild{&remoteWriter{build: build, leftOut: setOf(leftOut)}, e, leftOut}, nil
}

// apart begins a build in the same engine, which is dropped when it is closed. No folder is needed.
func (e *elsewhere) apart(_ string, leftOut []domain.Position) (Model, error) {
	if Follows(e) {
		return nil, fmt.Errorf("%w: another process fills %s: compare it there", domain.ErrRejected, e.Name())
	}
	ctx, stop := context.WithTimeout(context.Background(), patienceElsewhere)
	defer stop()
	build, err := e.remote.Beside(ctx, readmodels.Origin(e.generation, leftOut))
	if err != nil {
		return nil, err
	}
	a := Elsewhere(&apartFrom{Remote: e.remote, build: build}, e.generation, leftOut...)
	return a, a.open(ctx, nil) // it is empty, so nothing is asked of the feed
}

func (e *elsewhere) dump(ctx context.Context, w io.Writer) error {
	serving, err := e.writer()
	if err != nil {
		return err
	}
	return serving.build.Dump(ctx, w)
}

// elsewhereBuild is a replacement of what serves elsewhere.
type elsewhereBuild struct {
	*remoteWriter
	of      *elsewhere
	without []domain.Position
}

// switchOver is called while nothing is applied to what serves.
func (b *elsewhereBuild) switchOver() error {
	ctx, stop := context.WithTimeout(context.Background(), patienceElsewhere)
	defer stop()
	if err := b.build.Serve(ctx); err != nil {
		return err
	}
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	b.of.serve(b.remoteWriter, b.without)
	return nil
}

func (b *elsewhereBuild) discard() error {
	ctx, stop := context.WithTimeout(context.Background(), patienceElsewhere)
	defer stop()
	return b.build.Drop(ctx)
}

// remoteWriter applies batches to one build.
type remoteWriter struct {
	build   RemoteBuild
	leftOut positions
	wrote   func(domain.Position) // told of every checkpoint, if it serves
	slow    func(error)           // told, if it serves, that the engine does not answer

	mu     sync.Mutex
	parked []readmodels.Parked // all that are parked, ascending
}

func (w *remoteWriter) Checkpoint() domain.Position { return w.build.Checkpoint() }

// apply writes batches together. Where an event turns out to be poison, all is done again one by one.
func (w *remoteWriter) apply(ctx context.Context, batches []batch) error {
	err := w.write(ctx, w.gather(batches))
	if err == nil || !isPoison(ctx, err) {
		return err
	}
	return w.carefully(ctx, batches)
}

func (w *remoteWriter) write(ctx context.Context, b RemoteBatch) error {
	answered := w.watch()
	err := recovered(func() error { return w.build.Write(ctx, b) })
	answered()
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.parked = append(w.parked, b.Parked...)
	w.mu.Unlock()
	if w.wrote != nil {
		w.wrote(b.UpTo)
	}
	return nil
}

// slowWrite is how long an engine may take to write before nobody waits for it any more.
const slowWrite = 2 * time.Second

var errSlow = fmt.Errorf("%w: the engine has not answered a write for %s", domain.ErrUnavailable, slowWrite)

// watch tells when a write is slow, until it has been answered.
func (w *remoteWriter) watch() (answered func()) {
	if w.slow == nil {
		return func() {}
	}
	var mu sync.Mutex
	done := false
	timer := time.AfterFunc(slowWrite, func() {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			w.slow(errSlow)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		done = true
	}
}

// gather puts batches together.
func (w *remoteWriter) gather(batches []batch) RemoteBatch {
	all := RemoteBatch{UpTo: batches[len(batches)-1].last()}
	for _, b := range batches {
		for i := range b.events {
			w.add(&all, b, i)
		}
	}
	return all
}

// add adds the i-th event of b, unless it is left out.
func (w *remoteWriter) add(to *RemoteBatch, b batch, i int) {
	e := b.events[i]
	err, undecoded := b.failed[i]
	switch {
	case w.leftOut.has(e.Position):
	case undecoded:
		to.Parked = append(to.Parked, parked(e, err))
	default:
		to.Events = append(to.Events, e)
	}
}

// carefully writes event by event, and parks those that cannot be written.
func (w *remoteWriter) carefully(ctx context.Context, batches []batch) error {
	for _, b := range batches {
		for i, e := range b.events {
			one := RemoteBatch{UpTo: e.Position}
			w.add(&one, b, i)
			err := w.write(ctx, one)
			if err != nil && isPoison(ctx, err) {
				err = w.write(ctx, RemoteBatch{Parked: []readmodels.Parked{parked(e, err)}, UpTo: e.Position})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// apartFrom is a Remote of one build, with a watermark of its own, that drops it at its end.
type apartFrom struct {
	Remote
	build     RemoteBuild
	watermark readmodels.Watermark
}

func (a *apartFrom) Watermark() *readmodels.Watermark { return &a.watermark }

// Open implements Remote.
func (a *apartFrom) Open(context.Context, string) (RemoteBuild, error) { return a.build, nil }

// Close drops the build. The engine stays.
func (a *apartFrom) Close() error {
	ctx, stop := context.WithTimeout(context.Background(), patienceElsewhere)
	defer stop()
	return a.build.Drop(ctx)
}
