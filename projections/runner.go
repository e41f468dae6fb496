package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"strandline/domain"
)

// Runner keeps read models up to date with a feed.
type Runner struct {
	source    source
	log       *slog.Logger
	tidyEvery time.Duration
	observer  Observer
	stream    *stream
	consumers []*consumer
	caughtUp  chan *consumer // those that have got to where the log ended at the start
}

// Option sets up a Runner.
type Option func(*Runner)

// WithLogger sets where stalls are reported. The default is nowhere.
func WithLogger(l *slog.Logger) Option { return func(r *Runner) { r.log = l } }

// WithTidying sets how often the directory is saved and unused memory is given back. The default is every 30 seconds.
func WithTidying(every time.Duration) Option { return func(r *Runner) { r.tidyEvery = every } }

// Observer is told of events that a projection has applied together, since the given time, by the goroutine that did it.
type Observer func(projection string, began time.Time, events []domain.Recorded)

// WithObserver sets who is told of events that have been applied, but for rebuilds. The default is nobody.
func WithObserver(o Observer) Option { return func(r *Runner) { r.observer = o } }

// New returns a Runner for models, which it closes at the end of Run.
func New(feed Feed, decode Decode, models []Model, options ...Option) *Runner {
	r := &Runner{source: source{feed, decode}, log: slog.New(slog.DiscardHandler), tidyEvery: 30 * time.Second}
	for _, option := range options {
		option(r)
	}
	r.stream = newStream(start(models))
	now := time.Now()
	r.caughtUp = make(chan *consumer, len(models))
	for _, m := range models {
		c := &consumer{model: m, source: r.source, stream: r.stream, log: r.log, caughtUp: r.caughtUp, observer: r.observer}
		c.recent.Store(&now)
		r.consumers = append(r.consumers, c)
	}
	return r
}

// start is where decoding for all begins: at the checkpoint in the middle. Those who are behind it read the store alone
// until they get there, and those ahead until it has come to them, so that nobody waits for others.
func start(models []Model) domain.Position {
	if len(models) == 0 {
		return domain.Position{}
	}
	at := make([]domain.Position, len(models))
	for i, m := range models {
		at[i] = m.Checkpoint()
	}
	slices.SortFunc(at, domain.Position.Compare)
	return at[len(at)/2]
}

// Run follows the feed until ctx ends, then saves and closes the models.
func (r *Runner) Run(ctx context.Context) error {
	r.aim(ctx)
	for _, c := range r.consumers {
		c.sit()
	}
	var running sync.WaitGroup
	running.Go(func() { r.publish(ctx) })
	running.Go(func() { r.tidy(ctx) })
	for _, c := range r.consumers {
		running.Go(func() { c.run(ctx) })
	}
	running.Wait()
	var errs []error
	for _, c := range r.consumers {
		if err := c.model.close(); err != nil {
			errs = append(errs, fmt.Errorf("close read model %s: %w", c.model.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// aim tells those who are behind where the log ends: what they have read by then is worth to be saved at once, so that a
// process that is killed soon does not read it at each start.
func (r *Runner) aim(ctx context.Context) {
	head, err := r.source.feed.Head(ctx)
	if err != nil {
		return // the ticker saves it later
	}
	for _, c := range r.consumers {
		if c.model.Checkpoint().Before(head) {
			c.goal = head
		}
	}
}

// publish decodes for all, and begins again where it was when the feed fails.
func (r *Runner) publish(ctx context.Context) {
	pause := afterFailures()
	for ctx.Err() == nil {
		before := r.stream.position()
		err := r.publishFrom(ctx, before)
		if ctx.Err() != nil {
			return
		}
		if r.stream.position() != before {
			pause = afterFailures()
		}
		r.log.Error("feed of projections has failed: it is read again", "error", err)
		pause.wait(ctx)
	}
}

func (r *Runner) publishFrom(ctx context.Context, after domain.Position) error {
	for b, err := range r.source.from(ctx, after) {
		if err != nil {
			return err
		}
		if err := r.stream.publish(ctx, b); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the feed has ended", domain.ErrUnavailable)
}

// tidy saves what is kept in memory only, and gives back memory.
func (r *Runner) tidy(ctx context.Context) {
	ticker := time.NewTicker(r.tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for _, c := range r.consumers {
				c.tidy()
			}
		case c := <-r.caughtUp:
			c.tidy()
		case <-ctx.Done():
			return
		}
	}
}

func (c *consumer) tidy() {
	if err := c.model.tidy(); err != nil {
		c.log.Error("read model cannot be saved: it will be read from the log at the next start",
			"projection", c.model.Name(), "error", err)
	}
}

// find returns the consumer of the named projection.
func (r *Runner) find(name string) (*consumer, error) {
	for _, c := range r.consumers {
		if c.model.Name() == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: there is no projection %q", domain.ErrNotFound, name)
}
