package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"strandline/domain"
	"strandline/readmodels"
)

// Bounds of one transaction: live it holds what there is, behind it is large.
const (
	applyEvents = 4096
	applySize   = 1 << 20
)

// linger is for how long events gather after a transaction, as long as nobody waits for them: a transaction costs as much
// as some tens of events.
const linger = 20 * time.Millisecond

// unhurried is a Model for which it pays to apply many events at once. It tells, as readmodels.Watermark.Wanted does,
// when somebody waits for it.
type unhurried interface {
	wanted() <-chan struct{}
}

// consumer keeps one read model up to date, from the stream where it can, else from the store.
type consumer struct {
	model    Model
	source   source
	stream   *stream
	log      *slog.Logger
	observer Observer // nil for none

	mu     sync.Mutex                // held while events are applied, and by a rebuild while it switches
	recent atomic.Pointer[time.Time] // when the last event applied was recorded; at first, when the runner was made

	goal     domain.Position // where the log ended at the start, until it has been reached; zero then, or if there was nothing to read
	caughtUp chan<- *consumer

	rebuilding atomic.Pointer[Progress] // nil while it is not

	seat *reader // in the stream, taken before the first batch; nil once it has been used
}

// sit takes a place in the stream where that can be had. Those who sit before the first batch share every one of them.
func (c *consumer) sit() { c.seat = c.stream.attach(c.model.Checkpoint()) }

// run keeps on until ctx ends, whatever fails in between.
func (c *consumer) run(ctx context.Context) {
	pause := afterFailures()
	for ctx.Err() == nil {
		before := c.model.Checkpoint()
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if c.model.Checkpoint() != before {
			pause = afterFailures()
		}
		if err != nil && !errors.Is(err, errLost) {
			c.fail(err)
			pause.wait(ctx)
		}
	}
}

// fail writes down that the read model cannot go on for now.
func (c *consumer) fail(err error) {
	c.log.Error("projection has stalled: it tries again", "projection", c.model.Name(), "error", err)
	c.model.stall(err)
	if !readmodels.IsDamage(err) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.model.renew(c.log); err != nil {
		c.log.Error("projection cannot begin anew", "projection", c.model.Name(), "error", err)
	}
}

// follow reads the stream if it holds what comes next, else the store until it does.
func (c *consumer) follow(ctx context.Context) error {
	if err := c.model.open(ctx, c.source.feed); err != nil {
		return err
	}
	if c.seat == nil {
		c.sit()
	}
	if r := c.seat; r != nil {
		c.seat = nil
		defer c.stream.detach(r)
		return c.together(ctx, r)
	}
	return c.alone(ctx)
}

// together applies what others read too.
func (c *consumer) together(ctx context.Context, r *reader) error {
	for {
		batches, err := c.stream.take(ctx, r, applyEvents, applySize)
		if err != nil {
			return err
		}
		if err := c.apply(ctx, batches); err != nil {
			return err
		}
		c.linger(ctx)
	}
}

// linger lets events gather, until there are enough for a transaction or somebody waits for them.
func (c *consumer) linger(ctx context.Context) {
	m, ok := c.model.(unhurried)
	if !ok {
		return
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.wanted():
	case <-c.stream.enough():
	case <-ctx.Done():
	}
}

// alone reads the store and returns once the stream holds what comes next.
func (c *consumer) alone(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	ahead := prefetch(ctx, c.source, c.model.Checkpoint())
	defer ahead.wait()
	defer stop()
	for {
		batches, err := ahead.take(ctx)
		if err != nil {
			return err
		}
		if err := c.apply(ctx, batches); err != nil {
			return err
		}
		if c.stream.holds(c.model.Checkpoint()) {
			return nil
		}
	}
}

// apply applies what of batches is new. A gap before them is an error, upon which the store is read from the checkpoint.
func (c *consumer) apply(ctx context.Context, batches []batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh, err := contiguous(c.model.Checkpoint(), batches)
	if err != nil || len(fresh) == 0 {
		return err
	}
	began := time.Now()
	if err := c.model.apply(ctx, fresh); err != nil {
		return err
	}
	if c.observer != nil {
		for _, b := range fresh {
			c.observer(c.model.Name(), began, b.events)
		}
	}
	last := fresh[len(fresh)-1]
	at := last.events[len(last.events)-1].Time // a copy: the batch is let go
	c.recent.Store(&at)
	c.reached(last.last())
	return nil
}

// reached tells, once, that the goal has been reached.
func (c *consumer) reached(at domain.Position) {
	if !c.goal.IsZero() && !at.Before(c.goal) {
		c.goal = domain.Position{}
		c.caughtUp <- c // there is room for each
	}
}

// contiguous is what of batches comes after the checkpoint. It holds the contiguity rule: each batch begins where the
// checkpoint is, or before.
func contiguous(checkpoint domain.Position, batches []batch) ([]batch, error) {
	fresh := make([]batch, 0, len(batches))
	for _, b := range batches {
		if checkpoint.Before(b.prev) {
			return nil, fmt.Errorf("%w: the batch after %s does not follow the checkpoint %s", errLost, b.prev, checkpoint)
		}
		if b = b.after(checkpoint); len(b.events) > 0 {
			fresh = append(fresh, b)
			checkpoint = b.last()
		}
	}
	return fresh, nil
}

// ahead reads batches from the store while others are being applied.
type ahead struct {
	batches chan batch
	err     error // why it ended, once batches is closed
}

// prefetched is how many batches are read ahead.
const prefetched = 4

// prefetch begins to read after the given position, until ctx ends.
func prefetch(ctx context.Context, s source, after domain.Position) *ahead {
	a := &ahead{batches: make(chan batch, prefetched)}
	go func() {
		defer close(a.batches)
		for b, err := range s.from(ctx, after) {
			if err != nil {
				a.err = err
				return
			}
			select {
			case a.batches <- b:
			case <-ctx.Done():
				a.err = ctx.Err()
				return
			}
		}
	}()
	return a
}

// take waits for a batch and returns it with those that have been read ahead. None of them may hold events, upon having
// caught up.
func (a *ahead) take(ctx context.Context) ([]batch, error) {
	first, open := <-a.batches
	if !open {
		return nil, a.reason(ctx)
	}
	taken, events, size := []batch{first}, len(first.events), first.size
	for events < applyEvents && size < applySize {
		select {
		case b, open := <-a.batches:
			if !open {
				return taken, nil // the reason comes with the next call
			}
			taken, events, size = append(taken, b), events+len(b.events), size+b.size
		default:
			return taken, nil
		}
	}
	return taken, nil
}

// reason is why no more batches come.
func (a *ahead) reason(ctx context.Context) error {
	if a.err != nil {
		return a.err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: the feed has ended", domain.ErrUnavailable)
}

// wait returns once the reading goroutine has ended, after its context.
func (a *ahead) wait() {
	for range a.batches {
	}
}

// pauses are the times between attempts: doubling from the least to the most.
type pauses struct{ least, most, last time.Duration }

// afterFailures are the pauses between attempts that fail.
func afterFailures() pauses { return pauses{least: 50 * time.Millisecond, most: 5 * time.Second} }

// wait waits for the next pause, or until ctx ends.
func (p *pauses) wait(ctx context.Context) {
	p.last = min(max(2*p.last, p.least), p.most)
	timer := time.NewTimer(p.last)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
