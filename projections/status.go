package projections

import (
	"context"
	"time"

	"strandline/domain"
)

// Status says how a projection is doing.
type Status struct {
	Name       string          `json:"name"`
	Version    int             `json:"version"`
	Checkpoint domain.Position `json:"checkpoint"`
	Behind     uint64          `json:"behind"`            // distance to the head in positions: in the embedded store, events
	Lag        time.Duration   `json:"lag"`               // age of the last event applied since the start while there are newer ones, else 0
	Parked     int             `json:"parked"`            // events that could not be applied
	Stalled    string          `json:"stalled,omitempty"` // why it cannot go on, empty if it can
	Previous   *Previous       `json:"previous,omitempty"`
	Rebuilding *Progress       `json:"rebuilding,omitempty"`
}

// Look finds out how far the read models are that are kept elsewhere, where they are not run.
func (r *Runner) Look(ctx context.Context) {
	for _, c := range r.consumers {
		if err := c.model.open(ctx, r.source.feed); err != nil {
			c.model.stall(err)
		}
	}
}

// Status says how all projections are doing, as of now, in the order in which they were given.
func (r *Runner) Status(ctx context.Context, now time.Time) ([]Status, error) {
	all, err := r.Lags(ctx, now)
	if err != nil {
		return nil, err
	}
	for i, c := range r.consumers {
		if all[i].Parked, err = c.model.CountParked(ctx); err != nil {
			return nil, err
		}
		all[i].Previous = c.model.previous()
	}
	return all, nil
}

// Lags is Status without the number of parked events and the previous build, and so without waiting for any disk.
func (r *Runner) Lags(ctx context.Context, now time.Time) ([]Status, error) {
	head, err := r.source.feed.Head(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Status, 0, len(r.consumers))
	for _, c := range r.consumers {
		all = append(all, c.lag(head, now))
	}
	return all, nil
}

func (c *consumer) lag(head domain.Position, now time.Time) Status {
	s := Status{Name: c.model.Name(), Version: c.model.Version(), Checkpoint: c.model.Checkpoint(),
		Rebuilding: c.rebuilding.Load()}
	if err := c.model.Stalled(); err != nil {
		s.Stalled = err.Error()
	}
	if s.Checkpoint.Before(head) {
		s.Behind = head.Commit - s.Checkpoint.Commit
		s.Lag = max(0, now.Sub(*c.recent.Load()))
	}
	return s
}

// Parked lists the events that the named projection could not apply, each with its reason, oldest first.
func (r *Runner) Parked(ctx context.Context, name string) ([]Parked, error) {
	c, err := r.find(name)
	if err != nil {
		return nil, err
	}
	return c.model.Parked(ctx)
}
