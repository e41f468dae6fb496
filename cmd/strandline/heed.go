package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"strandline/domain"
	"strandline/domain/projection"
	"strandline/projections"
)

// heedEvery is how often it is looked what has been decided about projections in other processes.
const heedEvery = 2 * time.Second

// heed has what is decided about projections in other processes take effect in the read models of this one, until ctx ends.
func (b *rebuilder) heed(ctx context.Context) {
	ticker := time.NewTicker(heedEvery)
	defer ticker.Stop()
	known := map[string]projection.State{}
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		for _, m := range b.node.models {
			if projections.Follows(m) {
				delete(known, m.Name())
				continue // whoever fills it heeds
			}
			decided, err := b.node.decided(ctx, m.Name(), domain.Position{})
			if err != nil {
				continue // the event store is away: it is asked again
			}
			before, looked := known[m.Name()]
			known[m.Name()] = decided
			asked := !maps.Equal(before.Retries, decided.Retries) || projections.IsShared(m) && before.Rebuilds != decided.Rebuilds
			asked = asked && looked && !b.done(m.Name(), decided)
			if asked || !slices.Equal(m.LeftOut(), decided.LeftOut()) {
				_ = b.Rebuild(m.Name()) // one that is under way is followed by another
			}
		}
	}
}

// done tells whether the last rebuild here has gone by what is decided.
func (b *rebuilder) done(name string, decided projection.State) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	heeded := b.of[name].heeded
	return maps.Equal(heeded.Retries, decided.Retries) && heeded.Rebuilds == decided.Rebuilds
}
