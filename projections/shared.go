package projections

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"strandline/domain"
	"strandline/readmodels"
)

// Turn lets one of the processes that share a read model fill it.
type Turn interface {
	// Take tells whether it is this process's turn. Once it is, it stays so until GiveBack, or until the process ends.
	Take() (bool, error)
	// GiveBack lets another process take the turn. It is called once, at the end.
	GiveBack() error
}

// Never is the Turn of a process that only follows.
type Never struct{}

// Take implements Turn.
func (Never) Take() (bool, error) { return false, nil }

// GiveBack implements Turn.
func (Never) GiveBack() error { return nil }

// sharing is how a process shares a read model with others.
type sharing struct {
	turn    Turn
	decided func(ctx context.Context) ([]domain.Position, error)
	tried   time.Time // when it was last tried to take the turn
	stop    context.CancelFunc
	ended   chan struct{} // once nobody follows any more
}

// Shared returns the Model of a read model in an engine that several processes share, made of a generation of the event
// store without the events that decided tells, ascending. The process whose turn it is fills it. The others follow: to
// apply an event is to wait until the engine has it, so that a position means the same in all of them. When the one that
// fills it ends, another takes its place.
func Shared(r Remote, generation string, turn Turn, decided func(ctx context.Context) ([]domain.Position, error)) Model {
	return &elsewhere{remote: r, generation: generation, sharing: &sharing{turn: turn, decided: decided}}
}

// IsShared tells whether other processes fill or follow a read model, too.
func IsShared(m Model) bool {
	e, ok := m.(*elsewhere)
	return ok && e.sharing != nil
}

// Follows tells whether another process fills a read model, as far as is known.
func Follows(m Model) bool {
	e, ok := m.(*elsewhere)
	if !ok || e.sharing == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.serving == nil {
		return true
	}
	_, follows := e.serving.build.(*followed)
	return follows
}

// unknown is what a build leaves out that was made by other decisions than the present ones: it is to be built anew.
var unknown = []domain.Position{{}}

// findShared is find where others may fill the read model. It is called with mu.
func (e *elsewhere) findShared(ctx context.Context) (RemoteBuild, []domain.Position, error) {
	mine, err := e.sharing.turn.Take()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: find out whose turn it is: %w", domain.ErrUnavailable, err)
	}
	e.unfollow()
	there, err := e.remote.Follow(ctx, e.generation)
	if err != nil {
		return nil, nil, err
	}
	if !mine {
		return e.followFrom(there)
	}
	leftOut, err := e.sharing.decided(ctx)
	if err != nil {
		return nil, nil, err
	}
	origin := readmodels.Origin(e.generation, leftOut)
	if there != nil && there.Origin() != origin {
		origin, leftOut = there.Origin(), unknown
	}
	build, err := e.remote.Open(ctx, origin)
	return build, leftOut, err
}

// followFrom begins to follow a build; nil if there is none yet.
func (e *elsewhere) followFrom(there RemoteBuild) (RemoteBuild, []domain.Position, error) {
	if there == nil {
		return nil, nil, fmt.Errorf("%w: no process with the role project has begun to fill %s: start one", domain.ErrUnavailable, e.Name())
	}
	f := &followed{of: e, RemoteBuild: there, asked: time.Now(), reached: there.Checkpoint(), at: there.Checkpoint()}
	ctx, stop := context.WithCancel(context.Background())
	e.sharing.stop, e.sharing.ended = stop, make(chan struct{})
	go f.keep(ctx, e.sharing.ended)
	return f, nil, nil
}

// unfollow ends what followFrom has begun.
func (e *elsewhere) unfollow() {
	if e.sharing.stop != nil {
		e.sharing.stop()
		<-e.sharing.ended
		e.sharing.stop = nil
	}
}

// errTurn ends following: what serves is opened again, to be filled.
var errTurn = fmt.Errorf("%w: %w: it is this process's turn to fill it", domain.ErrUnavailable, errLost)

// takeTurn is errTurn if it is this process's turn now. It looks once a second.
func (e *elsewhere) takeTurn() error {
	if time.Since(e.sharing.tried) < time.Second {
		return nil
	}
	e.sharing.tried = time.Now()
	mine, err := e.sharing.turn.Take()
	if err != nil || !mine {
		return nil // the next look tells
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.serving = nil
	return errTurn
}

// followed is a RemoteBuild that another process writes to. It is the one that serves, whichever that is.
type followed struct {
	of *elsewhere

	mu          sync.Mutex
	RemoteBuild                 // as it was when the engine was last asked
	asked       time.Time       // when that was
	reached     domain.Position // up to where the engine has been seen to have events
	back        bool            // it has been seen to be behind that since, as it is filled anew

	at domain.Position // up to where events have been waited for
}

// Times between two questions to an engine.
const (
	soonest = 4 * time.Millisecond
	latest  = 16 * time.Millisecond
	soon    = 100 * time.Millisecond  // while it is filled anew
	keeping = readmodels.Followed / 6 // while nothing happens
)

// ask asks the engine which build serves and how far it is, unless that has been asked since a time.
func (f *followed) ask(ctx context.Context, since time.Time) (RemoteBuild, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked.After(since) {
		return f.RemoteBuild, nil
	}
	now := time.Now()
	there, err := f.of.remote.Follow(ctx, f.of.generation)
	if err != nil {
		return nil, err
	}
	if there == nil {
		return nil, fmt.Errorf("%w: the engine of %s has lost what it held", domain.ErrUnavailable, f.of.Name())
	}
	f.RemoteBuild, f.asked = there, now
	before := f.back
	if f.back = there.Checkpoint().Before(f.reached); f.back {
		f.of.remote.Watermark().Set(there.Checkpoint()) // whoever reads waits until all is there again
	} else if before {
		f.of.remote.Watermark().Set(f.at)
	}
	return there, nil
}

// keep asks now and then, so that what is read here is never long what has been replaced.
func (f *followed) keep(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	timer := time.NewTimer(keeping)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		_, _ = f.ask(ctx, time.Now().Add(-f.pause())) // whoever reads is told of an engine that is away
		timer.Reset(f.pause())
	}
}

// pause is how long an answer is good while nobody writes.
func (f *followed) pause() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.back {
		return soon
	}
	return keeping
}

func (f *followed) last() RemoteBuild {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.RemoteBuild
}

// Checkpoint implements RemoteBuild.
func (f *followed) Checkpoint() domain.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// Write waits until the engine has what b holds.
func (f *followed) Write(ctx context.Context, b RemoteBatch) error {
	if err := f.of.takeTurn(); err != nil {
		return err
	}
	needed := f.concerned(b)
	if goal := f.goal(needed); f.last().Checkpoint().Before(goal) {
		if err := f.await(ctx, goal); err != nil {
			return err
		}
	}
	f.passed(needed, b.UpTo)
	return nil
}

// goal is what the engine is to have before the next event: the one at needed, and while it is filled anew all that it had.
func (f *followed) goal(needed domain.Position) domain.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.back && needed.Before(f.reached) {
		return f.reached
	}
	return needed
}

// passed notes that the engine has everything up to a position, of which an event at needed, if that is not zero, is the last
// that it can have been seen to have.
func (f *followed) passed(needed, upTo domain.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reached.Before(needed) {
		f.reached = needed
	}
	f.at = upTo
}

// concerned is the position of the last event that can change what is kept, zero if there is none.
func (f *followed) concerned(b RemoteBatch) (last domain.Position) {
	for _, e := range b.Events {
		if f.of.remote.Concerns(e.Event) {
			last = e.Position
		}
	}
	for _, p := range b.Parked {
		if last.Before(p.Position) {
			last = p.Position
		}
	}
	return last
}

// await waits until the engine has the event at a position.
func (f *followed) await(ctx context.Context, needed domain.Position) error {
	for pause := (pauses{least: soonest, most: latest}); ; pause.wait(ctx) {
		there, err := f.ask(ctx, time.Now())
		if err != nil {
			return err
		}
		if !there.Checkpoint().Before(needed) {
			return nil
		}
		if err := f.of.takeTurn(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Parked implements RemoteBuild.
func (f *followed) Parked(ctx context.Context) ([]readmodels.Parked, error) {
	return f.last().Parked(ctx)
}

// Dump implements RemoteBuild.
func (f *followed) Dump(ctx context.Context, w io.Writer) error { return f.last().Dump(ctx, w) }
