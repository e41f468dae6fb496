package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/projection"
	"strandline/projections"
	"strandline/transport/rest/api"
)

// decided is what has been decided about the events of a projection, up to a position, or to the end of the log if that is
// zero.
func (s *storage) decided(ctx context.Context, name string, at domain.Position) (state projection.State, err error) {
	for r, err := range s.log.ReadStream(ctx, projection.Stream(name), 0, 0, commands.Forwards) {
		if errors.Is(err, domain.ErrNoStream) {
			break
		}
		if err == nil && !at.IsZero() && at.Before(r.Position) {
			break
		}
		var opened domain.Recorded
		if err == nil {
			opened, err = s.decode(ctx, r)
		}
		if err != nil {
			return state, fmt.Errorf("read what was decided about projection %s: %w", name, err)
		}
		state = projection.Evolve(state, opened.Event)
	}
	return state, nil
}

// rebuilder is the projections as the native API asks for them.
type rebuilder struct {
	node  *node
	log   *slog.Logger
	begin func(work func(context.Context)) // runs work beside requests, until the node stops

	mu sync.Mutex
	of map[string]*rebuilding // by projection
}

// rebuilding is how the rebuilds of one projection are doing.
type rebuilding struct {
	progress *api.Progress    // nil while there is none
	again    bool             // more has been decided since it began
	failed   string           // why the last one failed, empty if it did not
	heeded   projection.State // by the last one
}

func newRebuilder(n *node, log *slog.Logger, begin func(work func(context.Context))) *rebuilder {
	b := &rebuilder{node: n, log: log, begin: begin, of: map[string]*rebuilding{}}
	for _, m := range n.models {
		b.of[m.Name()] = &rebuilding{}
	}
	return b
}

// Status implements api.Projections.
func (b *rebuilder) Status(ctx context.Context) ([]api.Projection, error) {
	all, err := b.node.runner.Status(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	list := make([]api.Projection, 0, len(all))
	for _, s := range all {
		p := api.Projection{
			Name: s.Name, Version: s.Version, Checkpoint: s.Checkpoint, LagEvents: s.Behind,
			LagSeconds: s.Lag.Seconds(), Parked: s.Parked, Stalled: s.Stalled, Previous: (*api.Previous)(s.Previous),
		}
		if err := b.complete(ctx, &p); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b api.Projection) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// complete adds what has been decided, and how a rebuild is doing.
func (b *rebuilder) complete(ctx context.Context, p *api.Projection) error {
	decided, err := b.node.decided(ctx, p.Name, domain.Position{})
	if err != nil {
		return err
	}
	for _, choice := range decided.Out {
		if choice == projection.ForGood {
			p.Discarded++
			continue
		}
		p.Parked++
	}
	if m, err := b.node.model(p.Name); err == nil {
		p.Follows = projections.Follows(m)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.of[p.Name]
	p.Failed = of.failed
	if of.progress != nil {
		progress := *of.progress
		p.Rebuilding = &progress
	}
	return nil
}

// Parked implements api.Projections.
func (b *rebuilder) Parked(ctx context.Context, name string) ([]api.Parked, error) {
	model, err := b.node.model(name)
	if err != nil {
		return nil, fmt.Errorf("%w: there is no such projection", domain.ErrNotFound)
	}
	decided, err := b.node.decided(ctx, name, domain.Position{})
	if err != nil {
		return nil, err
	}
	failed, err := model.Parked(ctx)
	if err != nil {
		return nil, err
	}
	list := []api.Parked{}
	for _, f := range failed {
		if decided.Out[f.Position] == "" {
			list = append(list, api.Parked{Position: f.Position, State: api.FailedToApply, Stream: f.Stream, Type: f.Type, Error: f.Reason})
		}
	}
	for at, choice := range decided.Out {
		p := api.Parked{Position: at, State: string(choice)}
		if p.Stream, p.Type, err = b.node.named(ctx, at); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	for i := range list {
		list[i].Attempts = 1 + decided.Retries[list[i].Position]
	}
	slices.SortFunc(list, func(a, b api.Parked) int { return a.Position.Compare(b.Position) })
	return list, nil
}

// named is the stream and the type of the event at a position.
func (s *storage) named(ctx context.Context, at domain.Position) (stream, typ string, err error) {
	for r, err := range s.log.ReadAll(ctx, at, 1, commands.Forwards) {
		return r.Stream, r.Type, err
	}
	return "", "", fmt.Errorf("%w: an event at %s", domain.ErrNotFound, at)
}

// Rebuild implements api.Projections.
func (b *rebuilder) Rebuild(name string) error { return b.change(name, b.rebuild, true) }

// Revert implements api.Projections.
func (b *rebuilder) Revert(name string) error { return b.change(name, b.revert, false) }

// upgrade has the projections built of which a former version serves.
func (b *rebuilder) upgrade() {
	for _, name := range b.node.runner.Outdated() {
		b.log.Info("a projection has a new version: it is built while the former one serves", "projection", name)
		_ = b.Rebuild(name) // nobody else can have begun that
	}
}

// A replacing lets another build of a projection serve.
type replacing func(ctx context.Context, name string, of *rebuilding) error

// change begins to replace what serves. Where that is under way already, it is rebuilt once more, if that is the same.
func (b *rebuilder) change(name string, replace replacing, again bool) error {
	if m, err := b.node.model(name); err == nil && projections.Follows(m) {
		return nil // whoever fills it has been told by the event
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.of[name]
	switch {
	case of == nil:
		return fmt.Errorf("%w: there is no such projection", domain.ErrNotFound)
	case of.progress != nil:
		of.again = of.again || again
		return fmt.Errorf("%w: %s is being rebuilt already", domain.ErrRejected, name)
	}
	of.progress, of.failed = &api.Progress{}, ""
	b.begin(func(ctx context.Context) { b.run(ctx, name, of, replace) })
	return nil
}

// run replaces what serves, and rebuilds it as long as something has been decided meanwhile.
func (b *rebuilder) run(ctx context.Context, name string, of *rebuilding, replace replacing) {
	for more := true; more; replace = b.rebuild {
		err := replace(ctx, name, of)
		b.mu.Lock()
		if of.failed = ""; err != nil && ctx.Err() == nil {
			b.log.Error("a projection could not be rebuilt", "projection", name, "error", err)
			of.failed = err.Error()
		}
		more, of.again = of.again && ctx.Err() == nil, false
		if !more {
			of.progress = nil
		}
		b.mu.Unlock()
	}
}

func (b *rebuilder) rebuild(ctx context.Context, name string, of *rebuilding) error {
	decided, err := b.node.decided(ctx, name, domain.Position{})
	if err != nil {
		return err
	}
	b.mu.Lock()
	of.heeded = decided
	b.mu.Unlock()
	return b.node.runner.RebuildWithout(ctx, name, decided.LeftOut(), b.progress(of))
}

func (b *rebuilder) revert(ctx context.Context, name string, of *rebuilding) error {
	return b.node.runner.Back(ctx, name, b.progress(of))
}

func (b *rebuilder) progress(of *rebuilding) func(projections.Progress) {
	return func(p projections.Progress) {
		b.mu.Lock()
		defer b.mu.Unlock()
		of.progress = &api.Progress{Checkpoint: p.At, Share: p.Share, Remaining: p.Remaining.Seconds()}
	}
}
