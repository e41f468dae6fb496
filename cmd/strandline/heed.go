package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"strandline/domain"
	"strandline/domain/projection"
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
			decided, err := b.node.decided(ctx, m.Name(), domain.Position{})
			if err != nil {
				continue // the event store is away: it is asked again
			}
			before, looked := known[m.Name()]
			known[m.Name()] = decided
			retried := looked && !maps.Equal(before.Retries, decided.Retries) && !b.done(m.Name(), decided)
			if retried || !slices.Equal(m.LeftOut(), decided.LeftOut()) {
				_ = b.Rebuild(m.Name()) // one that is under way is followed by another
			}
		}
	}
}

// done tells whether the last rebuild here has gone by what is decided.
func (b *rebuilder) done(name string, decided projection.State) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Equal(b.of[name].heeded.Retries, decided.Retries)
}
