package embedded

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"strandline/commands"
	"strandline/domain"
)

// Bounds of what is read at once. A record larger than that comes alone.
const (
	batchBytes = 256 << 10
	batchCount = 1024
)

// ReadAll implements commands.EventStore. It yields what was durable when it was called.
func (s *Store) ReadAll(ctx context.Context, from domain.Position, limit int, direction commands.Direction) iter.Seq2[domain.Record, error] {
	read := s.readForwards
	if direction == commands.Backwards {
		read = s.readBackwards
	}
	return func(yield func(domain.Record, error) bool) {
		left := cmpLimit(limit)
		err := read(ctx, from.Commit, left, func(r domain.Record) bool {
			left--
			return yield(r, nil) && left > 0
		})
		if err != nil {
			yield(domain.Record{}, err)
		}
	}
}

// cmpLimit makes "all" a number.
func cmpLimit(limit int) int {
	if limit <= 0 {
		return math.MaxInt
	}
	return limit
}

func (s *Store) readForwards(ctx context.Context, from uint64, limit int, visit func(domain.Record) bool) error {
	upTo := s.watermark()
	for next := max(from, 1); next <= upTo; {
		if err := s.usable(ctx); err != nil {
			return err
		}
		batch, err := s.readSpan(next, min(upTo, lastOf(next, limit)))
		if err != nil {
			return err
		}
		for _, r := range batch {
			if !visit(r) {
				return nil
			}
		}
		next += uint64(len(batch))
	}
	return s.usable(ctx)
}

// lastOf is the last of n positions from first on.
func lastOf(first uint64, n int) uint64 {
	if uint64(n) > math.MaxUint64-first {
		return math.MaxUint64
	}
	return first + uint64(n) - 1
}

func (s *Store) readBackwards(ctx context.Context, from uint64, limit int, visit func(domain.Record) bool) error {
	next := s.watermark()
	if from > 0 {
		next = min(next, from)
	}
	for step := uint64(min(limit, 16)); next > 0; step = min(2*step, batchCount) {
		if err := s.usable(ctx); err != nil {
			return err
		}
		batch, err := s.readUpTo(next, step)
		if err != nil {
			return err
		}
		for _, r := range slices.Backward(batch) {
			if !visit(r) {
				return nil
			}
		}
		next -= uint64(len(batch))
	}
	return s.usable(ctx)
}

// readUpTo returns at most n records that end with position last; there is always one.
func (s *Store) readUpTo(last, n uint64) ([]domain.Record, error) {
	first := max(s.segments.at(last).first, last-min(last, n)+1)
	for {
		batch, err := s.readSpan(first, last)
		if err != nil || first+uint64(len(batch)) > last {
			return batch, err
		}
		first += uint64(len(batch)) // they are large: those before would not fit into one read
	}
}

// readSpan reads the records from first on, at most to last, as many as one read may take; there is always one.
// All of them are durable.
func (s *Store) readSpan(first, last uint64) ([]domain.Record, error) {
	g := s.segments.at(first)
	if full := g.last.Load(); full > 0 {
		last = min(last, full)
	}
	last = min(last, first+batchCount-1)
	records, err := s.tryRead(g, first, last)
	if errors.Is(err, domain.ErrDamaged) && s.distrust(g) {
		return s.tryRead(g, first, last)
	}
	return records, err
}

func (s *Store) tryRead(g *segment, first, last uint64) ([]domain.Record, error) {
	f, err := s.segments.acquire(g)
	if err != nil {
		return nil, err
	}
	defer s.segments.release(g)
	offsets, err := s.offsetsOf(g)
	if err != nil {
		return nil, err
	}
	from, to, last, err := offsets.span(first, last, batchBytes)
	if err != nil {
		return nil, err
	}
	if from < segmentHeader || to <= from {
		return nil, fmt.Errorf("%w: the offsets %d and %d in %s make no sense", domain.ErrDamaged, from, to, g.name())
	}
	buf := make([]byte, to-from)
	if _, err := f.ReadAt(buf, from); err != nil {
		return nil, fmt.Errorf("read %s at byte %d: %w", g.name(), from, err)
	}
	return parse(g, buf, from, first, last)
}

// parse decodes the records from first to last, which begin at the start of buf. What is damaged is named.
func parse(g *segment, buf []byte, from int64, first, last uint64) ([]domain.Record, error) {
	records := make([]domain.Record, 0, last-first+1)
	at := 0
	for position := first; position <= last; position++ {
		for len(buf)-at >= groupHeader && isGroup(buf[at:]) {
			at += groupHeader
		}
		raw, err := cutRecord(buf[at:], position)
		if err != nil {
			return nil, damaged(g, position, position, from+int64(at), err)
		}
		r, err := raw.decode()
		if err != nil {
			return nil, damaged(g, position, position, from+int64(at), err)
		}
		records = append(records, r)
		at += len(raw)
	}
	return records, nil
}

// damaged names what cannot be read.
func damaged(g *segment, first, last uint64, at int64, why error) error {
	which := fmt.Sprintf("position %s", positionOf(first)) // as people are shown it
	if last != first {
		which = fmt.Sprintf("positions %s to %s", positionOf(first), positionOf(last))
	}
	return fmt.Errorf("%w: %s in %s, at byte %d: %w", domain.ErrDamaged, which, g.name(), at, why)
}

// record reads one record.
func (s *Store) record(position uint64) (domain.Record, error) {
	batch, err := s.readSpan(position, position)
	if err != nil {
		return domain.Record{}, err
	}
	return batch[0], nil
}
