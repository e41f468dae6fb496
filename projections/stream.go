package projections

import (
	"context"
	"errors"
	"sync"
	"time"

	"strandline/domain"
)

// stream passes decoded batches from one publisher to many readers and keeps them until all attached readers have taken
// them. It holds a bounded number of events: while the publisher is catching up it waits for the slowest reader, for as
// long as that makes progress; live it waits for nobody and lets go of who is too far behind.
type stream struct {
	mu       sync.Mutex
	batches  []batch
	first    int             // number of batches[0], counted from the start
	last     domain.Position // of the last event published
	live     bool            // the publisher has reached the head once
	events   int             // in batches
	size     int
	readers  map[*reader]struct{}
	changed  chan struct{} // closed and replaced at every change
	plenty   chan struct{} // closed while it holds as much as one transaction takes
	isPlenty bool          // plenty is closed
}

// reader is the place of one projection in the stream.
type reader struct {
	next int  // number of the batch to take next
	lost bool // the publisher has let go of it
}

// Bounds of what a stream holds. Sizes are those of stored events, which take ten times as much once they are decoded.
const (
	streamEvents = 16 << 10
	streamSize   = 2 << 20
	liveFactor   = 2               // how much more it may hold before a live publisher lets go of a reader
	patience     = 2 * time.Second // how long a publisher waits for a reader that takes nothing
)

// errLost tells a reader that the stream has gone on without it: it has to read the store itself.
var errLost = errors.New("too far behind the stream")

func newStream(at domain.Position) *stream {
	return &stream{last: at, readers: map[*reader]struct{}{}, changed: make(chan struct{}), plenty: make(chan struct{})}
}

// attach begins to read at the given position; nil if the stream does not hold what comes after it, or has still to get
// there.
func (s *stream) attach(at domain.Position) *reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.covers(at) {
		return nil
	}
	r := &reader{next: s.first}
	s.readers[r] = struct{}{}
	return r
}

// holds tells whether attach would succeed.
func (s *stream) holds(at domain.Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.covers(at)
}

// covers tells whether the stream holds what comes after a position, or soon will.
func (s *stream) covers(at domain.Position) bool {
	start := s.last
	if len(s.batches) > 0 {
		start = s.batches[0].prev
	}
	return !at.Before(start) && (s.live || !s.last.Before(at))
}

// position is that of the last event published.
func (s *stream) position() domain.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *stream) detach(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r)
	s.forget()
	s.notify()
}

// take returns the next batches of r, at most about max events or bytes of them, and waits until there is one.
func (s *stream) take(ctx context.Context, r *reader, maxEvents, maxSize int) ([]batch, error) {
	for {
		taken, changed, err := s.tryTake(r, maxEvents, maxSize)
		if err != nil || len(taken) > 0 {
			return taken, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *stream) tryTake(r *reader, maxEvents, maxSize int) (taken []batch, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.lost {
		return nil, nil, errLost
	}
	events, size := 0, 0
	for r.next < s.first+len(s.batches) && events < maxEvents && size < maxSize {
		b := s.batches[r.next-s.first]
		taken, events, size = append(taken, b), events+len(b.events), size+b.size
		r.next++
	}
	if len(taken) > 0 && s.forget() {
		s.notify()
	}
	return taken, s.changed, nil
}

// forget drops the batches that all readers have taken, and tells whether there were any.
func (s *stream) forget() bool {
	slowest := s.first + len(s.batches)
	for r := range s.readers {
		slowest = min(slowest, r.next)
	}
	n := slowest - s.first
	for i := range n {
		s.events, s.size = s.events-len(s.batches[i].events), s.size-s.batches[i].size
		s.batches[i] = batch{}
	}
	s.batches, s.first = s.batches[n:], slowest
	s.weigh()
	return n > 0
}

// weigh looks whether there is plenty.
func (s *stream) weigh() {
	is := s.events >= applyEvents || s.size >= applySize
	if is == s.isPlenty {
		return
	}
	if s.isPlenty = is; is {
		close(s.plenty)
	} else {
		s.plenty = make(chan struct{})
	}
}

// enough returns a channel that is closed once the stream holds as much as one transaction takes.
func (s *stream) enough() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plenty
}

func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// publish adds a batch. It waits for room, or makes it; see stream.
func (s *stream) publish(ctx context.Context, b batch) error {
	if err := s.waitForRoom(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b.events) == 0 {
		s.live = true
		return nil
	}
	s.last = b.last()
	s.batches = append(s.batches, b)
	s.events, s.size = s.events+len(b.events), s.size+b.size
	s.forget() // where nobody reads
	s.notify()
	return nil
}

func (s *stream) waitForRoom(ctx context.Context) error {
	for {
		full, changed := s.full()
		if !full {
			return nil
		}
		timer := time.NewTimer(patience)
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
			s.letGo()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// full tells whether the publisher has to wait. Live it never does.
func (s *stream) full() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		return s.events >= streamEvents || s.size >= streamSize, s.changed
	}
	if s.events >= liveFactor*streamEvents || s.size >= liveFactor*streamSize {
		s.drop()
	}
	return false, nil
}

func (s *stream) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

// drop lets go of the readers that hold back the oldest batch.
func (s *stream) drop() {
	for r := range s.readers {
		if r.next == s.first {
			r.lost = true
			delete(s.readers, r)
		}
	}
	s.forget()
	s.notify()
}
