package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"strandline/domain"
	"strandline/readmodels"
)

// Parked is an event that could not be applied.
type Parked = readmodels.Parked

// Progress says how far a rebuild has come. Distances are those of positions, which is near enough for people.
type Progress struct {
	At        domain.Position `json:"at"`
	Goal      domain.Position `json:"goal"`
	Share     float64         `json:"share"`     // of the way, from 0 to 1
	Remaining time.Duration   `json:"remaining"` // at the speed so far
}

// Rebuild builds the named read model beside the one that serves, from the start of the log, and lets it take that one's
// place once it has caught up with it. Report, which may be nil, is called now and then. A projection that is not there
// is domain.ErrNotFound, one that is being rebuilt already is domain.ErrRejected.
func (r *Runner) Rebuild(ctx context.Context, name string, report func(Progress)) error {
	c, err := r.find(name)
	if err != nil {
		return err
	}
	return r.RebuildWithout(ctx, name, c.model.LeftOut(), report)
}

// RebuildWithout is Rebuild, but the new read model leaves out the events at the given positions, ascending, and the old
// one's choice is forgotten. The caller remembers it: a model that is opened is told what it leaves out.
func (r *Runner) RebuildWithout(ctx context.Context, name string, leftOut []domain.Position, report func(Progress)) error {
	return r.replace(ctx, name, "rebuild", report, func(m Model) (replacement, error) { return m.beside(leftOut) })
}

// replace fills what begin begins, and switches over to it.
func (r *Runner) replace(ctx context.Context, name, what string, report func(Progress), begin func(Model) (replacement, error)) error {
	c, err := r.find(name)
	if err != nil {
		return err
	}
	if !c.rebuilding.CompareAndSwap(nil, &Progress{}) {
		return fmt.Errorf("%w: %s is being rebuilt already", domain.ErrRejected, name)
	}
	defer c.rebuilding.Store(nil)
	build, err := begin(c.model)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	if err := c.fill(ctx, build, report); err != nil {
		return errors.Join(fmt.Errorf("%s %s: %w", what, name, err), build.discard())
	}
	return nil
}

// Back brings the build that served before the present one up to date and lets it serve again. The present one is kept in its
// place, so that the next Back undoes this one. Report is as for Rebuild, and so are the errors: it is domain.ErrRejected
// too if no such build is kept.
func (r *Runner) Back(ctx context.Context, name string, report func(Progress)) error {
	return r.replace(ctx, name, "go back with", report, Model.back)
}

// Outdated names the projections of which a former version serves because the present one has never been built.
func (r *Runner) Outdated() (names []string) {
	for _, c := range r.consumers {
		if c.model.outdated() {
			names = append(names, c.model.Name())
		}
	}
	return names
}

// rounds is how often a rebuild catches up with the serving read model before it holds that up for the last stretch.
const rounds = 3

// fill applies the log to build and then switches over to it.
func (c *consumer) fill(ctx context.Context, build replacement, report func(Progress)) error {
	ctx, stop := context.WithCancel(ctx)
	ahead := prefetch(ctx, c.source, build.Checkpoint())
	defer ahead.wait()
	defer stop()
	watch := newMeter(func(p Progress) {
		c.rebuilding.Store(&p)
		if report != nil {
			report(p)
		}
	})
	goal, err := c.goalOf(ctx)
	if err != nil {
		return err
	}
	for round := 1; ; {
		batches, err := ahead.take(ctx)
		if err != nil {
			return err
		}
		if err := applyNew(ctx, build, batches); err != nil {
			return err
		}
		watch.show(build.Checkpoint(), goal)
		for !build.Checkpoint().Before(goal) {
			if round++; round > rounds {
				err := c.finish(ctx, build, ahead)
				watch.show(build.Checkpoint(), build.Checkpoint())
				return err
			}
			goal = c.model.Checkpoint()
		}
	}
}

// goalOf is where a rebuild goes to: to where the read model is, or if that is not known yet, to the end of the log.
func (c *consumer) goalOf(ctx context.Context) (domain.Position, error) {
	if at := c.model.Checkpoint(); !at.IsZero() {
		return at, nil
	}
	return c.source.feed.Head(ctx)
}

// finish holds up the serving read model, brings build to where that is, and switches over.
func (c *consumer) finish(ctx context.Context, build replacement, ahead *ahead) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for build.Checkpoint().Before(c.model.Checkpoint()) {
		batches, err := ahead.take(ctx)
		if err != nil {
			return err
		}
		if err := applyNew(ctx, build, batches); err != nil {
			return err
		}
	}
	return build.switchOver()
}

// applyNew applies what of batches comes after the checkpoint of to.
func applyNew(ctx context.Context, to applier, batches []batch) error {
	fresh, err := contiguous(to.Checkpoint(), batches)
	if err != nil || len(fresh) == 0 {
		return err
	}
	return to.apply(ctx, fresh)
}

// meter reports progress, at most a few times a second.
type meter struct {
	report      func(Progress)
	begun, last time.Time
}

func newMeter(report func(Progress)) *meter {
	return &meter{report: report, begun: time.Now()}
}

func (m *meter) show(at, goal domain.Position) {
	now := time.Now()
	if now.Sub(m.last) < 200*time.Millisecond && at.Before(goal) {
		return
	}
	m.last = now
	p := Progress{At: at, Goal: goal, Share: 1}
	if at.Before(goal) {
		p.Share = float64(at.Commit) / float64(goal.Commit)
	}
	if p.Share > 0 {
		p.Remaining = time.Duration(float64(now.Sub(m.begun)) * (1 - p.Share) / p.Share)
	}
	m.report(p)
}
