package memory

import (
	"context"
	"fmt"
	"iter"
	"sort"

	"strandline/commands"
	"strandline/domain"
)

// maxBatch bounds the records of one batch of Follow.
const maxBatch = 256

// ReadStream implements commands.EventStore.
func (s *Store) ReadStream(ctx context.Context, stream string, from uint64, limit int, direction commands.Direction) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		all, indexes := s.stream(stream)
		if err := ctx.Err(); err != nil {
			yield(domain.Record{}, err)
			return
		}
		if len(indexes) == 0 {
			yield(domain.Record{}, fmt.Errorf("read %s: %w", stream, domain.ErrNoStream))
			return
		}
		start := int(min(from, uint64(len(indexes))))
		if direction == commands.Backwards {
			start = min(start, len(indexes)-1)
		}
		walk(ctx, len(indexes), start, limit, direction, yield, func(i int) domain.Record { return all[indexes[i]] })
	}
}

// ReadAll implements commands.EventStore.
func (s *Store) ReadAll(ctx context.Context, from domain.Position, limit int, direction commands.Direction) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		all, _ := s.snapshot()
		if err := ctx.Err(); err != nil {
			yield(domain.Record{}, err)
			return
		}
		start := at(all, from)
		switch {
		case direction == commands.Forwards:
		case from.IsZero():
			start = len(all) - 1
		case start == len(all) || from.Before(all[start].Position):
			start-- // the last one at or before from
		}
		walk(ctx, len(all), start, limit, direction, yield, func(i int) domain.Record { return all[i] })
	}
}

// walk yields the records get(start), get(start±1), … of n, at most limit of them (0: all), until ctx ends.
func walk(ctx context.Context, n, start, limit int, direction commands.Direction, yield func(domain.Record, error) bool, get func(int) domain.Record) {
	step := 1
	if direction == commands.Backwards {
		step = -1
	}
	done := 0
	for i := start; i >= 0 && i < n && (limit == 0 || done < limit); i += step {
		if err := ctx.Err(); err != nil {
			yield(domain.Record{}, err)
			return
		}
		if !yield(get(i), nil) {
			return
		}
		done++
	}
}

// Follow implements commands.EventStore.
func (s *Store) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		behind := true
		for {
			all, grown := s.snapshot()
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			batch := next(all, after)
			if len(batch) > 0 {
				behind = behind || len(batch) == maxBatch
				after = batch[len(batch)-1].Position
				if !yield(batch, nil) {
					return
				}
				behind = behind || s.headAfter(after)
				continue
			}
			if behind && !yield(nil, nil) {
				return
			}
			behind = false
			select {
			case <-grown:
			case <-ctx.Done():
			}
		}
	}
}

// next is the batch of records after the given position, empty if there are none.
func next(all []domain.Record, after domain.Position) []domain.Record {
	start := sort.Search(len(all), func(i int) bool { return after.Before(all[i].Position) })
	end := min(start+maxBatch, len(all))
	return all[start:end:end]
}

// headAfter tells whether there are records after the given position.
func (s *Store) headAfter(after domain.Position) bool {
	all, _ := s.snapshot()
	return after.Before(head(all))
}

// Find implements commands.EventStore.
func (s *Store) Find(ctx context.Context, stream string, id domain.ID) (domain.Record, error) {
	if err := ctx.Err(); err != nil {
		return domain.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.ids[place{stream, id}]
	if !ok {
		return domain.Record{}, fmt.Errorf("%w: no event %s in %s", domain.ErrNotFound, id, stream)
	}
	return s.all[i], nil
}

// Head implements commands.EventStore.
func (s *Store) Head(ctx context.Context) (domain.Position, error) {
	all, _ := s.snapshot()
	return head(all), ctx.Err()
}

// at is the index of the first record at or after the given position.
func at(all []domain.Record, from domain.Position) int {
	return sort.Search(len(all), func(i int) bool { return !all[i].Position.Before(from) })
}

// snapshot returns what the store holds now, and a channel that closes when it holds more.
func (s *Store) snapshot() ([]domain.Record, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all, s.grown
}

// stream returns what the store holds now, and the indexes of the records of one stream.
func (s *Store) stream(name string) ([]domain.Record, []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all, s.streams[name]
}
