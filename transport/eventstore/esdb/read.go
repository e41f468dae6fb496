package esdb

import (
	"context"
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

// opening begins a read.
type opening func(context.Context, *esdb.Client) (*esdb.ReadStream, error)

// each opens a read and yields what comes of it.
func (s *Store) each(ctx context.Context, stream string, yield func(domain.Record, error) bool, open opening) {
	if err := ctx.Err(); err != nil {
		yield(domain.Record{}, err)
		return
	}
	l, err := s.enter(ctx)
	if err != nil {
		yield(domain.Record{}, translated(ctx, stream, err))
		return
	}
	within, end := s.within(ctx)
	defer end()
	arriving := make(chan arrival, readAhead)
	go receiveAll(within, l, open, arriving)
	for {
		select {
		case next, more := <-arriving:
			if !more {
				return
			}
			if broken(next.err) {
				s.failed(l)
			}
			if err := translated(ctx, stream, next.err); !yield(next.record, err) || err != nil {
				return
			}
		case <-within.Done():
			yield(domain.Record{}, s.ended(ctx))
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

// receiveAll opens a read and hands on what it brings until its end, in a goroutine of its own that an end of ctx ends.
func receiveAll(ctx context.Context, l *link, open opening, to chan<- arrival) {
	defer l.leave()
	defer close(to)
	err := received(ctx, l.client, open, func(r domain.Record) bool {
		select {
		case to <- arrival{record: r}:
			return true
		case <-ctx.Done():
			return false
		}
	})
	if err == nil || isEnd(err) {
		return
	}
	select {
	case to <- arrival{err: err}:
	case <-ctx.Done():
	}
}

// received is what a read brings. The client panics at a message that it does not know.
func received(ctx context.Context, client *esdb.Client, open opening, take func(domain.Record) bool) (err error) {
	defer caught(&err)
	events, err := open(ctx, client)
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		e, err := events.Recv()
		if err != nil {
			return err
		}
		if e.Event != nil && !take(record(e.Event)) {
			return nil
		}
	}
}
