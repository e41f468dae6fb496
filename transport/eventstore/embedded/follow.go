package embedded

import (
	"context"
	"iter"
	"math"
	"sync"

	"strandline/domain"
)

// Follow implements commands.EventStore. Followers near the end share their batches, which must not be changed.
func (s *Store) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		for next := min(after.Commit, math.MaxUint64-1) + 1; ; {
			if next > s.watermark() {
				if !yield(nil, nil) {
					return
				}
				if err := s.awaitPosition(ctx, next); err != nil {
					yield(nil, err)
					return
				}
			}
			batch, err := s.batchFrom(ctx, next)
			if !yield(batch, err) || err != nil {
				return
			}
			next += uint64(len(batch))
		}
	}
}

// awaitPosition returns when position is durable.
func (s *Store) awaitPosition(ctx context.Context, position uint64) error {
	for {
		grown := s.grown.next() // before looking, so that nothing is missed
		if s.watermark() >= position {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return errClosed
		}
	}
}

// batchFrom returns the records from position first on, which is durable, as many as a batch may hold.
func (s *Store) batchFrom(ctx context.Context, first uint64) ([]domain.Record, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	upTo := s.watermark()
	if upTo-first < tailLength {
		return s.tail.batch(first, func() ([]domain.Record, error) { return s.readSpan(first, upTo) })
	}
	return s.readSpan(first, upTo)
}

// tail keeps the newest batches, so that they are read and decoded once for all who follow closely.
type tail struct {
	mu      sync.Mutex
	batches [][]domain.Record
}

const (
	tailLength  = 4 * batchCount // how close to the end batches are shared
	tailBatches = 4
)

// batch returns the records from position first on, with read if they are not there.
func (t *tail) batch(first uint64, read func() ([]domain.Record, error)) ([]domain.Record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.batches {
		if start := b[0].Position.Commit; first >= start && first-start < uint64(len(b)) {
			return b[first-start:], nil
		}
	}
	b, err := read()
	if err != nil {
		return nil, err
	}
	if len(t.batches) == tailBatches {
		t.batches = append(t.batches[:0], t.batches[1:]...)
	}
	t.batches = append(t.batches, b)
	return b, nil
}
