package projections

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"

	"strandline/domain"
)

// Feed delivers recorded events in their order. The event store is one.
type Feed interface {
	// Follow yields the records after the given position in batches, and goes on live until ctx ends. An empty batch
	// says that it has caught up; it comes again each time after falling behind.
	Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error]
	// Head is the position of the last record, zero if there is none.
	Head(ctx context.Context) (domain.Position, error)
}

// Decode opens a record. An error means that it never can be, unless it wraps domain.ErrUnavailable.
type Decode func(ctx context.Context, r domain.Record) (domain.Recorded, error)

// batch is a run of events without a gap. An empty one says that the feed has caught up.
type batch struct {
	prev   domain.Position // of the event before the first
	events []domain.Recorded
	failed map[int]error // events that could not be decoded, by index; nil if there are none
	size   int           // bytes as stored
}

// last is the position of the last event.
func (b batch) last() domain.Position {
	if len(b.events) == 0 {
		return b.prev
	}
	return b.events[len(b.events)-1].Position
}

// after is what of the batch comes after position.
func (b batch) after(position domain.Position) batch {
	skip := 0
	for skip < len(b.events) && !position.Before(b.events[skip].Position) {
		skip++
	}
	return b.from(skip)
}

// until is what of the batch comes up to position, which is included.
func (b batch) until(position domain.Position) batch {
	n := len(b.events)
	for n > 0 && position.Before(b.events[n-1].Position) {
		n--
	}
	b.events = b.events[:n]
	return b
}

// from leaves out the first events.
func (b batch) from(skip int) batch {
	if skip == 0 {
		return b
	}
	rest := batch{prev: b.events[skip-1].Position, events: b.events[skip:]}
	for i := range rest.events {
		rest.size += rest.events[i].Size
	}
	if len(b.failed) > 0 {
		rest.failed = map[int]error{}
	}
	for i, err := range b.failed {
		if i >= skip {
			rest.failed[i-skip] = err
		}
	}
	return rest
}

// positions are those of some events.
type positions map[domain.Position]struct{}

func setOf(all []domain.Position) positions {
	if len(all) == 0 {
		return nil
	}
	set := make(positions, len(all))
	for _, p := range all {
		set[p] = struct{}{}
	}
	return set
}

func (s positions) has(p domain.Position) bool {
	if len(s) == 0 {
		return false
	}
	_, has := s[p]
	return has
}

// source is a feed with what opens its records.
type source struct {
	feed   Feed
	decode Decode
}

// from yields decoded batches after the given position. After an error it ends.
func (s source) from(ctx context.Context, after domain.Position) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		prev := after
		for records, err := range s.feed.Follow(ctx, after) {
			if err != nil {
				yield(batch{}, err)
				return
			}
			b, err := s.open(ctx, prev, records)
			if err != nil {
				yield(batch{}, err)
				return
			}
			if !yield(b, nil) {
				return
			}
			prev = b.last()
		}
	}
}

// share is how many records of a batch one goroutine decodes: fewer are not worth another one.
const share = 64

// open decodes records, large batches on all processors.
func (s source) open(ctx context.Context, prev domain.Position, records []domain.Record) (batch, error) {
	b := batch{prev: prev, events: make([]domain.Recorded, len(records))}
	workers := max(1, min(runtime.GOMAXPROCS(0), len(records)/share))
	each := (len(records) + workers - 1) / workers
	var failures failures
	var group sync.WaitGroup
	for start := each; start < len(records); start += each {
		group.Go(func() { s.openSome(ctx, records, b.events, &failures, start, min(start+each, len(records))) })
	}
	s.openSome(ctx, records, b.events, &failures, 0, min(each, len(records)))
	group.Wait()
	for i := range b.events {
		b.size += b.events[i].Size
	}
	b.failed = failures.poison
	return b, failures.passing
}

// failures are the errors of decoding a batch, from several goroutines.
type failures struct {
	mu      sync.Mutex
	poison  map[int]error // of events that never can be decoded, by index
	passing error         // of one that may be decoded later
}

func (f *failures) add(i int, err error, passing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if passing {
		f.passing = err
		return
	}
	if f.poison == nil {
		f.poison = map[int]error{}
	}
	f.poison[i] = err
}

// openSome decodes records[start:end]. An event that cannot be decoded keeps its envelope.
func (s source) openSome(ctx context.Context, records []domain.Record, events []domain.Recorded, failed *failures, start, end int) {
	for i := start; i < end; i++ {
		err := recovered(func() (err error) {
			events[i], err = s.decode(ctx, records[i])
			return err
		})
		if err != nil {
			events[i] = domain.Recorded{Position: records[i].Position, Envelope: records[i].Envelope, Size: len(records[i].Data)}
			failed.add(i, err, ctx.Err() != nil || errors.Is(err, domain.ErrUnavailable))
		}
	}
}
