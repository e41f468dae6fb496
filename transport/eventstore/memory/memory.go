package memory

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"strandline/commands"
	"strandline/domain"
)

// MaxAppend is the greatest size of one append: the sum of the data and extra fields of its records, in bytes.
const MaxAppend = 1 << 20

// Store is an event store in memory. Make one with New.
type Store struct {
	clock func() time.Time
	gaps  *rand.Rand // nil: positions are dense

	mu      sync.Mutex
	all     []domain.Record  // in the order of their positions; what is in it never changes
	streams map[string][]int // indexes into all, in the order of revisions
	ids     map[place]int    // index into all
	grown   chan struct{}    // closed and replaced by every append
}

// place is where an id is looked for: the same id may stand in two streams.
type place struct {
	stream string
	id     domain.ID
}

// Option sets up a store.
type Option func(*Store)

// WithGaps makes positions pairs with gaps, drawn from seed. Records of one append share their Commit.
func WithGaps(seed uint64) Option {
	return func(s *Store) { s.gaps = rand.New(rand.NewPCG(seed, 1)) }
}

// WithClock sets where the times of records come from. The default is time.Now.
func WithClock(clock func() time.Time) Option { return func(s *Store) { s.clock = clock } }

// New returns an empty store.
func New(options ...Option) *Store {
	s := &Store{
		clock:   time.Now,
		streams: map[string][]int{},
		ids:     map[place]int{},
		grown:   make(chan struct{}),
	}
	for _, o := range options {
		o(s)
	}
	return s
}

var _ commands.EventStore = (*Store)(nil)

// Append implements commands.EventStore.
func (s *Store) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	if err := ctx.Err(); err != nil {
		return commands.Appended{}, err
	}
	if err := check(stream, records); err != nil {
		return commands.Appended{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, ok := s.repeated(stream, expected, records); ok {
		done := s.appended(s.streams[stream][first:][:len(records)])
		done.Repeated = true
		return done, nil
	}
	if err := s.refusal(stream, expected, records); err != nil {
		return commands.Appended{}, err
	}
	if len(records) == 0 {
		return s.end(stream), nil
	}
	return s.add(stream, records), nil
}

// check refuses what makes no sense whatever the store holds.
func check(stream string, records []domain.Record) error {
	if stream == "" {
		return fmt.Errorf("%w: append to a stream without a name", domain.ErrInvalid)
	}
	size := 0
	for _, r := range records {
		size += len(r.Data) + len(r.Extra)
	}
	if size > MaxAppend {
		return fmt.Errorf("append %d bytes to %s: %w (%d bytes)", size, stream, domain.ErrAppendTooLarge, MaxAppend)
	}
	return nil
}

// repeated finds the revision at which these very records stand already, if they do.
func (s *Store) repeated(stream string, expected domain.Expected, records []domain.Record) (first uint64, ok bool) {
	if len(records) == 0 {
		return 0, false
	}
	if expected.IsExact() {
		first = expected.Next()
		return first, s.matches(stream, first, records)
	}
	i, known := s.ids[place{stream, records[0].ID}]
	if !known {
		return 0, false
	}
	first = s.all[i].Revision
	return first, s.matches(stream, first, records)
}

// matches tells whether the ids of records are those of the stream from revision first on.
func (s *Store) matches(stream string, first uint64, records []domain.Record) bool {
	indexes := s.streams[stream]
	if first+uint64(len(records)) > uint64(len(indexes)) {
		return false
	}
	for i, r := range records {
		if s.all[indexes[first:][i]].ID != r.ID {
			return false
		}
	}
	return true
}

// refusal is the error of an append that has not happened before, nil if it may happen now.
func (s *Store) refusal(stream string, expected domain.Expected, records []domain.Record) error {
	length := len(s.streams[stream])
	current := domain.Expected(length - 1) // NoStream if there is none
	allowed := false
	switch {
	case expected.IsExact():
		allowed = expected == current
	case expected == domain.Any:
		allowed = !s.overlaps(stream, records)
	case expected == domain.StreamExists:
		allowed = length > 0 && !s.overlaps(stream, records)
	default:
		return fmt.Errorf("%w: append to %s with expected revision %d", domain.ErrInvalid, stream, expected)
	}
	if !allowed {
		return &domain.WrongRevisionError{Stream: stream, Expected: expected, Current: current}
	}
	return nil
}

// overlaps tells whether some of the records are in the stream already.
func (s *Store) overlaps(stream string, records []domain.Record) bool {
	for _, r := range records {
		if _, known := s.ids[place{stream, r.ID}]; known {
			return true
		}
	}
	return false
}

// end is where the stream and the store end, the answer to an empty append.
func (s *Store) end(stream string) commands.Appended {
	a := commands.Appended{Position: head(s.all)}
	if n := len(s.streams[stream]); n > 0 {
		a.Revision = uint64(n - 1)
	}
	return a
}

// add puts records at the end of stream and wakes the followers.
func (s *Store) add(stream string, records []domain.Record) commands.Appended {
	now := s.now()
	positions := s.positions(len(records))
	for i, r := range records {
		r.Stream, r.Time, r.Position = stream, now, positions[i]
		r.Revision = uint64(len(s.streams[stream]))
		r.Data, r.Extra = bytes.Clone(r.Data), bytes.Clone(r.Extra)
		index := len(s.all)
		s.all = append(s.all, r)
		s.streams[stream] = append(s.streams[stream], index)
		if _, known := s.ids[place{stream, r.ID}]; !known {
			s.ids[place{stream, r.ID}] = index
		}
	}
	close(s.grown)
	s.grown = make(chan struct{})
	indexes := s.streams[stream]
	return s.appended(indexes[len(indexes)-len(records):])
}

// now is the clock's time in steps of 100 ns, and never before that of the last record.
func (s *Store) now() time.Time {
	now := s.clock().UTC().Truncate(100 * time.Nanosecond)
	if n := len(s.all); n > 0 && now.Before(s.all[n-1].Time) {
		return s.all[n-1].Time
	}
	return now
}

// positions gives n positions after the head.
func (s *Store) positions(n int) []domain.Position {
	last := head(s.all)
	positions := make([]domain.Position, n)
	if s.gaps == nil {
		for i := range positions {
			at := last.Commit + uint64(i) + 1
			positions[i] = domain.Position{Commit: at, Prepare: at}
		}
		return positions
	}
	at := last.Commit
	for i := range positions {
		at += 1 + s.gaps.Uint64N(300)
		positions[i].Prepare = at
	}
	for i := range positions {
		positions[i].Commit = at
	}
	return positions
}

// appended says where the records with these indexes stand.
func (s *Store) appended(indexes []int) commands.Appended {
	a := commands.Appended{All: make([]domain.Position, len(indexes))}
	for i, index := range indexes {
		a.Revision, a.Position = s.all[index].Revision, s.all[index].Position
		a.All[i] = a.Position
	}
	return a
}

func head(all []domain.Record) domain.Position {
	if len(all) == 0 {
		return domain.Position{}
	}
	return all[len(all)-1].Position
}
