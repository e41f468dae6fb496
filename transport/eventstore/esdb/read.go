package esdb

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"strandline/commands"
	"strandline/domain"
)

// ReadStream implements commands.EventStore.
func (s *Store) ReadStream(ctx context.Context, stream string, from uint64, limit int, direction commands.Direction) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		options := esdb.ReadStreamOptions{Direction: way(direction), From: esdb.Revision(from), RequiresLeader: true}
		if direction == commands.Backwards && from >= lastRevision {
			options.From = esdb.End{}
		}
		count := uint64(math.MaxInt64)
		if limit > 0 {
			count = uint64(limit)
		}
		s.each(ctx, stream, yield, func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
			return c.ReadStream(ctx, stream, options, count)
		})
	}
}

// ReadAll implements commands.EventStore.
func (s *Store) ReadAll(ctx context.Context, from domain.Position, limit int, direction commands.Direction) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		options := esdb.ReadAllOptions{Direction: way(direction), From: esdb.Position{Commit: from.Commit, Prepare: from.Prepare}, RequiresLeader: true}
		switch {
		case from.IsZero() && direction == commands.Backwards:
			options.From = esdb.End{}
		case from.IsZero():
			options.From = esdb.Start{}
		}
		shown := 0
		s.each(ctx, "$all", func(r domain.Record, err error) bool {
			if err == nil && isSystem(r.Stream) {
				return true
			}
			shown++
			return yield(r, err) && err == nil && (limit == 0 || shown < limit)
		}, func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
			return c.ReadAll(ctx, options, math.MaxInt64)
		})
	}
}

func way(d commands.Direction) esdb.Direction {
	if d == commands.Backwards {
		return esdb.Backwards
	}
	return esdb.Forwards
}

// each opens a read and yields what comes of it.
func (s *Store) each(ctx context.Context, stream string, yield func(domain.Record, error) bool,
	open func(context.Context, *esdb.Client) (*esdb.ReadStream, error)) {
	if err := ctx.Err(); err != nil {
		yield(domain.Record{}, err)
		return
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := do(reading, s.supervisor, open)
	if err != nil {
		yield(domain.Record{}, translated(ctx, stream, err))
		return
	}
	defer events.Close()
	arriving := make(chan arrival, readAhead)
	go receiveAll(reading, events, arriving)
	for {
		select {
		case next, more := <-arriving:
			if !more {
				return
			}
			if broken(next.err) {
				s.dropped(next.err)
			}
			if err := translated(ctx, stream, next.err); !yield(next.record, err) || err != nil {
				return
			}
		case <-ctx.Done():
			yield(domain.Record{}, ctx.Err())
			return
		}
	}
}

// readAhead is how many events of a read may wait for whoever reads.
const readAhead = 256

// arrival is what a read brings: an event, or why there is no more.
type arrival struct {
	record domain.Record
	err    error
}

// receiveAll hands on what a read brings until its end, in a goroutine of its own that an end of ctx ends.
func receiveAll(ctx context.Context, from *esdb.ReadStream, to chan<- arrival) {
	defer close(to)
	for {
		e, err := received(from)
		if isEnd(err) {
			return
		}
		next := arrival{err: err}
		if err == nil {
			if e.Event == nil {
				continue
			}
			next.record = record(e.Event)
		}
		select {
		case to <- next:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// received is the next event. The client panics at a message that it does not know.
func received(from *esdb.ReadStream) (e *esdb.ResolvedEvent, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the client of EventStoreDB panicked: %v: %w", v, errBroken)
		}
	}()
	return from.Recv()
}
