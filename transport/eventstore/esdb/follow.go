package esdb

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
		f := &follower{store: s, after: after, behind: true, pause: retryPause}
		for {
			before := f.after
			err := f.subscribed(ctx, yield)
			if errors.Is(err, errEnough) {
				return
			}
			if final(err) || ctx.Err() != nil {
				yield(nil, translated(ctx, "$all", err))
				return
			}
			f.rest(ctx, before != f.after)
		}
	}
}

// errEnough says that a follower has had enough.
var errEnough = errors.New("enough")

// final tells whether an error would come again for every subscription.
func final(err error) bool {
	switch status.Code(cause(err)) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented:
		return true
	}
	return errors.Is(err, errClosed)
}

// longestWait is the longest pause between two subscriptions.
const longestWait = 2 * time.Second

// rest is the pause between two subscriptions: until there is a server, or longer each time that one has brought nothing.
func (f *follower) rest(ctx context.Context, progress bool) {
	if there := f.store.missing(); there != nil {
		select {
		case <-there:
		case <-ctx.Done():
		case <-f.store.closing.Done():
		}
		return
	}
	if f.pause = min(2*f.pause, longestWait); progress {
		f.pause = retryPause
	}
	select {
	case <-time.After(f.pause):
	case <-ctx.Done():
	case <-f.store.closing.Done():
	}
}

// follower is somebody who follows.
type follower struct {
	store  *Store
	after  domain.Position
	behind bool // it has not been told that it has caught up since it fell behind
	since  int  // records since it was told so
	pause  time.Duration
}

// subscribed yields what one subscription brings, and returns why it ended.
func (f *follower) subscribed(ctx context.Context, yield func([]domain.Record, error) bool) error {
	l, err := f.store.enter(ctx)
	if err != nil {
		return err
	}
	options := esdb.SubscribeToAllOptions{
		From:            esdb.Position{Commit: f.after.Commit, Prepare: f.after.Prepare},
		Filter:          &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: notSystem},
		MaxSearchWindow: 10_000, CheckpointInterval: 100, RequiresLeader: true,
	}
	if f.after.IsZero() {
		options.From = esdb.Start{}
	}
	ending, end := within(ctx, l)
	defer end()
	events := make(chan *esdb.SubscriptionEvent, mostBatch)
	go receive(ending, l, options, events)
	err = f.batches(ending, events, yield)
	if ending.Err() != nil && !errors.Is(err, errEnough) {
		return f.store.ended(ctx)
	}
	if broken(err) {
		f.store.failed(l, time.Now())
	}
	return err
}

// receive subscribes, and hands on what that brings. The last of it says why it ended.
func receive(ctx context.Context, l *link, options esdb.SubscribeToAllOptions, to chan<- *esdb.SubscriptionEvent) {
	defer l.leave()
	defer close(to)
	err := subscription(ctx, l, options, func(e *esdb.SubscriptionEvent) {
		select {
		case to <- e:
		case <-ctx.Done():
		}
	})
	select {
	case to <- &esdb.SubscriptionEvent{SubscriptionDropped: &esdb.SubscriptionDropped{Error: err}}:
	case <-ctx.Done():
	}
}

// subscription hands what a subscription brings to take, until it is dropped.
func subscription(ctx context.Context, l *link, options esdb.SubscribeToAllOptions, take func(*esdb.SubscriptionEvent)) (err error) {
	defer caught(&err)
	s, err := l.client.SubscribeToAll(ctx, options)
	if err != nil {
		return err
	}
	defer s.Close()
	l.hush() // it may be long until something happens
	defer l.expect()
	for {
		e := s.Recv()
		if e.SubscriptionDropped != nil {
			return e.SubscriptionDropped.Error
		}
		l.heard()
		take(e)
	}
}

// batches yields events as they come, many at once where many are there, and returns why no more do.
func (f *follower) batches(ctx context.Context, events <-chan *esdb.SubscriptionEvent, yield func([]domain.Record, error) bool) error {
	for {
		batch, end := gather(ctx, events)
		if len(batch) > 0 {
			f.after = batch[len(batch)-1].Position
			f.since += len(batch)
			f.behind = f.behind || f.since >= aFew
			if !yield(batch, nil) {
				return errEnough
			}
		}
		if end == nil && f.behind && len(events) == 0 && f.atHead(ctx) {
			if f.behind, f.since = false, 0; !yield(nil, nil) {
				return errEnough
			}
		}
		if end != nil {
			f.behind = true
			return end
		}
	}
}

// atHead tells whether there is nothing after what was yielded last. The server's own word for that may be older than
// what came since, and old servers do not have it.
func (f *follower) atHead(ctx context.Context) bool {
	head, err := f.store.Head(ctx)
	return err == nil && !f.after.Before(head)
}

// errDropped is the end of a subscription for no reason given.
var errDropped = errors.New("the subscription has been dropped")

// gather waits for something to come, and takes with it what has come already. No batch says that the server has said
// how far it is. An error says that nothing comes any more.
func gather(ctx context.Context, events <-chan *esdb.SubscriptionEvent) (batch []domain.Record, end error) {
	size := 0
	for {
		var e *esdb.SubscriptionEvent
		if len(batch) == 0 {
			select {
			case e = <-events:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		} else {
			select {
			case e = <-events:
			default:
				return batch, nil
			}
		}
		switch {
		case e == nil || e.SubscriptionDropped != nil && e.SubscriptionDropped.Error == nil:
			return batch, errDropped
		case e.SubscriptionDropped != nil:
			return batch, e.SubscriptionDropped.Error
		case e.CaughtUp != nil || e.CheckPointReached != nil:
			return batch, nil
		case e.EventAppeared != nil && e.EventAppeared.Event != nil:
			r := record(e.EventAppeared.Event)
			batch, size = append(batch, r), size+len(r.Data)
			if len(batch) == mostBatch || size >= mostBytes {
				return batch, nil
			}
		}
	}
}
