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

// ReadAll implements commands.EventStore. The server is asked for no more than the limit, and again while what it gives
// are events of its own.
func (s *Store) ReadAll(ctx context.Context, from domain.Position, limit int, direction commands.Direction) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		p := &pages{store: s, from: from, direction: direction, left: limit}
		size := uint64(math.MaxInt64)
		if limit > 0 {
			size = uint64(limit)
		}
		for p.next(ctx, size, yield) {
			size = max(2*size, largePage)
		}
	}
}

// largePage is how many events are asked for after a page that was not enough.
const largePage = 1000

// pages is $all in parts.
type pages struct {
	store     *Store
	from      domain.Position // inclusive; zero for the start or, backwards, the end
	direction commands.Direction
	left      int  // records wanted still, 0 or less for all
	turned    bool // from has been in the page before
}

// next yields what a page of a size brings; false if there is nothing after it, or nothing wanted.
func (p *pages) next(ctx context.Context, size uint64, yield func(domain.Record, error) bool) bool {
	options := esdb.ReadAllOptions{Direction: way(p.direction), From: esdb.Position{Commit: p.from.Commit, Prepare: p.from.Prepare}, RequiresLeader: true}
	switch {
	case p.from.IsZero() && p.direction == commands.Backwards:
		options.From = esdb.End{}
	case p.from.IsZero():
		options.From = esdb.Start{}
	}
	known, turned, came, wanted := p.from, p.turned, uint64(0), true
	p.store.each(ctx, "$all", func(r domain.Record, err error) bool {
		if err != nil {
			wanted = false
			return yield(r, err)
		}
		came++
		p.from, p.turned = r.Position, true
		if isSystem(r.Stream) || turned && r.Position == known {
			return true
		}
		p.left--
		wanted = yield(r, nil) && p.left != 0
		return wanted
	}, func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
		return c.ReadAll(ctx, options, size)
	})
	return wanted && came == size
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
