package redis

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
)

// Sizes and times of reading.
const (
	mostRead  = 16                     // entries read at once
	heartbeat = 500 * time.Millisecond // without an entry, before the store is asked whether there should have been one
	reportAll = 2 * time.Second        // how often a reader says how far it is
)

// Feed reads events from Redis, and from the store what Redis does not have. It implements projections.Feed.
type Feed struct {
	client     *goredis.Client
	store      Store
	generation string
	name       string
	log        *slog.Logger
	backfills  atomic.Int64
}

// NewFeed returns a Feed. Generation names the life of the store, as for a relay: what Redis has of another is passed over.
// Name tells readers apart: it is what a relay sees.
func NewFeed(client *goredis.Client, store Store, generation, name string, log *slog.Logger) *Feed {
	return &Feed{client: client, store: store, generation: generation, name: name, log: log}
}

// Head is the store's: Redis is no source.
func (f *Feed) Head(ctx context.Context) (domain.Position, error) { return f.store.Head(ctx) }

// Backfills is how often something had to be read from the store because Redis did not have it.
func (f *Feed) Backfills() int64 { return f.backfills.Load() }

// Follow implements projections.Feed.
func (f *Feed) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		g := &following{Feed: f, at: after, yield: yield, behind: true}
		for ctx.Err() == nil && !g.enough {
			if err := g.next(ctx); err != nil && ctx.Err() == nil {
				yield(nil, err)
				return
			}
		}
		if !g.enough {
			yield(nil, ctx.Err())
		}
	}
}

// following is somebody who follows.
type following struct {
	*Feed
	at       domain.Position // of the last record yielded
	read     domain.Position // of the last entry looked at
	missed   domain.Position // where the store ended when Redis had nothing of it: zero if it had all
	yield    func([]domain.Record, error) bool
	enough   bool // the reader wants no more
	behind   bool // it has not been told that it has caught up since it fell behind
	told     bool // somebody has been told of another store's entries
	reported time.Time
}

// next reads some entries and hands on what they hold. Where Redis is away, or has nothing for a while, the store is asked.
// Errors are those of the store.
func (g *following) next(ctx context.Context) error {
	if g.read.Before(g.at) {
		g.read = g.at
	}
	found, err := g.await(ctx)
	switch {
	case errors.Is(err, goredis.Nil):
		return g.silence(ctx)
	case err != nil && ctx.Err() == nil:
		g.log.Warn("Redis is away: the store is read instead", "cause", err)
		return g.without(ctx)
	}
	g.missed = domain.Position{}
	for _, stream := range found {
		for _, m := range stream.Messages {
			if err := g.take(ctx, m); err != nil || g.enough {
				return err
			}
		}
	}
	g.report(ctx, g.at)
	return nil
}

// await waits for entries, and for Redis' answer that there are none not much longer than it should take.
func (g *following) await(ctx context.Context) ([]goredis.XStream, error) {
	patience := g.patience()
	ctx, cancel := context.WithTimeout(ctx, patience+heartbeat)
	defer cancel()
	return g.client.XRead(ctx, &goredis.XReadArgs{Streams: []string{Stream, id(g.read)}, Count: mostRead, Block: patience}).Result()
}

// patience is how long to wait for an entry: hardly for who is behind, or expects one, as there may be none.
func (g *following) patience() time.Duration {
	if g.behind || !g.missed.IsZero() {
		return 10 * time.Millisecond
	}
	return heartbeat
}

// take hands on one entry. What is not one of a relay's is passed over: whatever should stand there is missing from the
// next, and then read from the store.
func (g *following) take(ctx context.Context, m goredis.XMessage) error {
	if at, err := position(m.ID); err == nil {
		g.read = at
	}
	e, err := read(m.Values)
	if err != nil {
		g.log.Warn("an entry in Redis cannot be read: passed over", "entry", m.ID, "cause", err)
		return nil
	}
	if e.generation != g.generation {
		g.foreign()
		return nil
	}
	if !g.at.Before(e.last) {
		return nil
	}
	if g.at.Before(e.prev) || e.records == nil {
		return g.fill(ctx, e.last)
	}
	return g.hand(after(e.records, g.at))
}

// foreign says, once, that Redis has what is of no use here.
func (g *following) foreign() {
	if !g.told {
		g.told = true
		g.log.Warn("the stream in Redis has events of another store: give each installation a database of its own", "stream", Stream)
	}
}

// after is what of records comes after a position.
func after(records []domain.Record, at domain.Position) []domain.Record {
	for len(records) > 0 && !at.Before(records[0].Position) {
		records = records[1:]
	}
	return records
}

func (g *following) hand(records []domain.Record) error {
	if len(records) == 0 {
		return nil
	}
	g.at = records[len(records)-1].Position
	g.behind = g.behind || len(records) >= mostEntry
	g.enough = !g.yield(records, nil)
	return nil
}

// fill reads the store up to a position at least.
func (g *following) fill(ctx context.Context, upTo domain.Position) error {
	g.backfills.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for batch, err := range g.store.Follow(ctx, g.at) {
		if err != nil {
			return err
		}
		if err := g.hand(batch); err != nil || g.enough {
			return err
		}
		if !g.at.Before(upTo) {
			return nil
		}
	}
	return ctx.Err()
}

// silence asks the store whether there should have been something to read. What has only just been appended may be under
// way, and so it is missing only if it does not come now.
func (g *following) silence(ctx context.Context) error {
	head, err := g.store.Head(ctx)
	switch {
	case err != nil:
		return err
	case !g.missed.IsZero() && g.at.Before(g.missed):
		return g.without(ctx)
	case g.at.Before(head):
		g.missed = head
		return nil
	}
	g.missed = domain.Position{}
	g.caughtUp()
	g.report(ctx, g.at)
	return nil
}

// caughtUp tells the reader that it has, once each time.
func (g *following) caughtUp() {
	if g.behind {
		g.behind = false
		g.enough = !g.yield(nil, nil)
	}
}

// without reads the store until Redis has what it holds.
func (g *following) without(ctx context.Context) error {
	g.missed = domain.Position{}
	defer func() { g.read = g.at }() // whatever of others' lay beyond it
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var at atomic.Pointer[domain.Position] // of the last record yielded, for the one who watches
	from := g.at
	at.Store(&from)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	watching.Go(func() { g.watch(reading, stop, &at) })
	g.backfills.Add(1)
	for batch, err := range g.store.Follow(reading, g.at) {
		if reading.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := g.hand(batch); err != nil || g.enough {
			return err
		}
		if len(batch) == 0 {
			g.caughtUp()
		}
		now := g.at
		at.Store(&now)
	}
	return ctx.Err()
}

// watch calls stop when Redis has what a reader of the store has.
func (g *following) watch(ctx context.Context, stop func(), at *atomic.Pointer[domain.Position]) {
	for ; ctx.Err() == nil; wait(ctx, pause/2) {
		reached := *at.Load()
		found, err := g.client.XRevRangeN(ctx, Stream, "+", "-", 1).Result()
		if err != nil {
			continue
		}
		g.report(ctx, reached)
		if len(found) == 0 {
			continue
		}
		if e, err := read(found[0].Values); err == nil && e.generation == g.generation && !e.last.Before(reached) {
			stop()
			return
		}
	}
}

// report says how far this reader is, for whoever trims. If it cannot be said, nothing is trimmed that should not be.
func (g *following) report(ctx context.Context, at domain.Position) {
	if time.Since(g.reported) < reportAll {
		return
	}
	g.reported = time.Now()
	if err := g.client.HSet(ctx, checkpoints, g.name, place{at, g.reported}.String()).Err(); err != nil {
		g.log.Debug("how far a reader is could not be said", "cause", err)
	}
}
