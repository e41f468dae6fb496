package esdb

import (
	"context"
	"iter"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"strandline/domain"
)

// Sizes of what a follower gets at once.
const (
	mostBatch = 1000
	mostBytes = 4 << 20
	aFew      = 100 // after more than so many it is worth looking whether a follower has caught up
)

// notSystem picks the streams that do not begin with a dollar.
const notSystem = `^[^\$].*`

// Follow implements commands.EventStore. A subscription that ends goes on with another, after the last event that was
// yielded, for as long as ctx lasts.
func (s *Store) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		f := &follower{store: s, after: after, behind: true}
		for ctx.Err() == nil {
			if !f.subscribed(ctx, yield) {
				return
			}
			select {
			case <-time.After(retryPause):
			case <-ctx.Done():
			case <-s.closing.Done():
				yield(nil, s.ended(ctx))
				return
			}
		}
		yield(nil, ctx.Err())
	}
}

// follower is somebody who follows.
type follower struct {
	store  *Store
	after  domain.Position
	behind bool // it has not been told that it has caught up since it fell behind
	since  int  // records since it was told so
}

// subscribed yields what one subscription brings; false if the follower has had enough.
func (f *follower) subscribed(ctx context.Context, yield func([]domain.Record, error) bool) bool {
	l, err := f.store.enter(ctx)
	if err != nil {
		return true
	}
	options := esdb.SubscribeToAllOptions{
		From:            esdb.Position{Commit: f.after.Commit, Prepare: f.after.Prepare},
		Filter:          &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: notSystem},
		MaxSearchWindow: 10_000, CheckpointInterval: 100, RequiresLeader: true,
	}
	if f.after.IsZero() {
		options.From = esdb.Start{}
	}
	within, end := f.store.within(ctx)
	defer end()
	events := make(chan *esdb.SubscriptionEvent, mostBatch)
	go receive(within, l, options, events)
	return f.batches(ctx, l, events, yield)
}

// receive subscribes, and hands on what that brings until the subscription is dropped.
func receive(ctx context.Context, l *link, options esdb.SubscribeToAllOptions, to chan<- *esdb.SubscriptionEvent) {
	defer l.leave()
	defer close(to)
	var err error
	defer caught(&err) // whatever it is, another subscription goes on
	subscription, err := l.client.SubscribeToAll(ctx, options)
	if err != nil {
		return
	}
	defer subscription.Close()
	for {
		e := subscription.Recv()
		select {
		case to <- e:
		case <-ctx.Done():
			return
		}
		if e.SubscriptionDropped != nil {
			return
		}
	}
}

// batches yields events as they come, many at once where many are there.
func (f *follower) batches(ctx context.Context, l *link, events <-chan *esdb.SubscriptionEvent, yield func([]domain.Record, error) bool) bool {
	for {
		batch, open := gather(ctx, events)
		if len(batch) > 0 {
			f.after = batch[len(batch)-1].Position
			f.since += len(batch)
			f.behind = f.behind || f.since >= aFew
			if !yield(batch, nil) {
				return false
			}
		}
		if f.behind && len(events) == 0 && f.atHead(ctx) {
			if f.behind, f.since = false, 0; !yield(nil, nil) {
				return false
			}
		}
		if !open {
			if f.behind = true; ctx.Err() == nil {
				f.store.failed(l)
			}
			return true
		}
	}
}

// atHead tells whether there is nothing after what was yielded last. The server's own word for that may be older than
// what came since, and old servers do not have it.
func (f *follower) atHead(ctx context.Context) bool {
	head, err := f.store.Head(ctx)
	return err == nil && !f.after.Before(head)
}

// gather waits for something to come, and takes with it what has come already. No batch says that the server has said
// how far it is.
func gather(ctx context.Context, events <-chan *esdb.SubscriptionEvent) (batch []domain.Record, open bool) {
	size := 0
	for {
		var e *esdb.SubscriptionEvent
		var ok bool
		if len(batch) == 0 {
			select {
			case e, ok = <-events:
			case <-ctx.Done():
				return nil, false
			}
		} else {
			select {
			case e, ok = <-events:
			default:
				return batch, true
			}
		}
		switch {
		case !ok || e.SubscriptionDropped != nil:
			return batch, false
		case e.CaughtUp != nil || e.CheckPointReached != nil:
			return batch, true
		case e.EventAppeared != nil && e.EventAppeared.Event != nil:
			r := record(e.EventAppeared.Event)
			batch, size = append(batch, r), size+len(r.Data)
			if len(batch) == mostBatch || size >= mostBytes {
				return batch, true
			}
		}
	}
}
