package esdb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"strandline/commands"
	"strandline/domain"
)

// ReadStream implements commands.EventStore.
func (s *Store) ReadStream(ctx context.Context, stream string, from uint64, limit int, direction commands.Direction) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		next, ended, left := from, false, uint64(math.MaxInt64)
		if limit > 0 {
			left = uint64(limit)
		}
		s.each(ctx, stream, func(r domain.Record, err error) bool {
			left--
			if next = r.Revision + 1; direction == commands.Backwards {
				next = r.Revision - 1
				ended = r.Revision == 0
			}
			return yield(r, err)
		}, func() opening {
			if ended || left == 0 {
				return nil
			}
			options, count := esdb.ReadStreamOptions{Direction: way(direction), From: esdb.Revision(next), RequiresLeader: true}, left
			if direction == commands.Backwards && next >= lastRevision {
				options.From = esdb.End{}
			}
			return func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
				return c.ReadStream(ctx, stream, options, count)
			}
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
	came, wanted := uint64(0), true
	var known domain.Position
	var turned bool
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
	}, func() opening {
		came, known, turned = 0, p.from, p.turned
		options := p.options()
		return func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
			return c.ReadAll(ctx, options, size)
		}
	})
	return wanted && came == size
}

func (p *pages) options() esdb.ReadAllOptions {
	options := esdb.ReadAllOptions{Direction: way(p.direction), From: esdb.Position{Commit: p.from.Commit, Prepare: p.from.Prepare}, RequiresLeader: true}
	switch {
	case p.from.IsZero() && p.direction == commands.Backwards:
		options.From = esdb.End{}
	case p.from.IsZero():
		options.From = esdb.Start{}
	}
	return options
}

func way(d commands.Direction) esdb.Direction {
	if d == commands.Backwards {
		return esdb.Backwards
	}
	return esdb.Forwards
}

// opening begins a read, in a goroutine of its own.
type opening func(context.Context, *esdb.Client) (*esdb.ReadStream, error)

// each opens a read and yields what comes of it. Next is the read of what is still to come, nil if that was all. One that
// breaks off goes on over another connection, unless nothing has come for as long as a caller's patience lasts, or the
// caller has set no limit and the server is known to be away.
func (s *Store) each(ctx context.Context, stream string, yield func(domain.Record, error) bool, next func() opening) {
	since := time.Now()
	_, bounded := ctx.Deadline()
	for {
		open := next()
		if open == nil {
			return
		}
		err := s.once(ctx, open, func(r domain.Record) bool {
			since = time.Now()
			return yield(r, nil)
		})
		switch {
		case err == nil:
			return
		case !lost(err) || ctx.Err() != nil || time.Since(since) > patience || !bounded && errors.Is(err, errAway):
			yield(domain.Record{}, translated(ctx, stream, err))
			return
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

// once hands what a read brings to take, until its end or until take has had enough. A caller who has set no limit does not
// wait for a server that says nothing for as long as an append may take.
func (s *Store) once(ctx context.Context, open opening, take func(domain.Record) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l, err := s.enter(ctx)
	if err != nil {
		return err
	}
	ending, end := within(ctx, l)
	defer end()
	arriving := make(chan arrival, readAhead)
	go receiveAll(ending, l, open, arriving)
	_, bounded := ctx.Deadline()
	silence := time.NewTimer(s.longest())
	defer silence.Stop()
	for {
		if !bounded {
			silence.Reset(s.longest())
		}
		select {
		case <-silence.C:
			if bounded {
				continue
			}
			s.failed(l, time.Now())
			return fmt.Errorf("%w: EventStoreDB has said nothing for %s", domain.ErrUnavailable, s.longest())
		case next, more := <-arriving:
			if broken(next.err) {
				s.failed(l, time.Now())
			}
			if !more || next.err != nil || !take(next.record) {
				return next.err
			}
		case <-ending.Done():
			return s.ended(ctx)
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
	err := received(ctx, l, open, func(r domain.Record) bool {
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
func received(ctx context.Context, l *link, open opening, take func(domain.Record) bool) (err error) {
	defer caught(&err)
	events, err := open(ctx, l.client)
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		e, err := events.Recv()
		if err != nil {
			return err
		}
		l.heard()
		if e.Event != nil && !take(record(e.Event)) {
			return nil
		}
	}
}
