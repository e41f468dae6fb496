package commands

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"strandline/domain"
	"strandline/domain/plan"
)

// maxLines bounds the memory for remembered states, as measured by the stored bytes that they were folded from.
const maxLines = 32 << 20

// lineCost is what a line costs beside its state.
const lineCost = 512

// lines are the streams that commands work on at present, and those worked on lately with their states. Commands to one
// stream wait for each other: all but one would be refused for their revision anyway.
type lines struct {
	mu       sync.Mutex
	byStream map[string]*line
	lru      list.List // of *line, latest first
	size     int
}

// line is one stream. Whoever has entered it owns its state.
type line struct {
	stream   string
	turn     chan struct{} // holds a token while somebody is in
	state    any           // of the decider, nil if unknown
	expected domain.Expected
	changed  domain.Position // of the last event that changed the state, see changes
	folded   int             // stored bytes that the state was folded from

	users   int // in or waiting; guarded by lines.mu, as are the next two
	place   *list.Element
	counted int // size of it in lines.size
}

func newLines() *lines { return &lines{byStream: map[string]*line{}} }

// enter waits for the stream's turn.
func (ls *lines) enter(ctx context.Context, stream string) (*line, error) {
	l := ls.join(stream)
	select {
	case l.turn <- struct{}{}:
		return l, nil
	case <-ctx.Done():
		ls.release(l)
		return nil, ctx.Err()
	}
}

func (ls *lines) join(stream string) *line {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l, ok := ls.byStream[stream]
	if !ok {
		l = &line{stream: stream, turn: make(chan struct{}, 1), expected: domain.NoStream}
		l.place = ls.lru.PushFront(l)
		ls.byStream[stream] = l
	}
	l.users++
	ls.lru.MoveToFront(l.place)
	return l
}

// leave gives the turn to the next one.
func (ls *lines) leave(l *line) {
	folded := l.folded
	<-l.turn
	ls.mu.Lock()
	ls.size += lineCost + folded - l.counted
	l.counted = lineCost + folded
	ls.mu.Unlock()
	ls.release(l)
}

// release lets go of l, and forgets what has not been used for longest as long as there is too much.
func (ls *lines) release(l *line) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.users--
	for e := ls.lru.Back(); e != nil && ls.size > maxLines; {
		old := e.Value.(*line)
		e = e.Prev()
		if old.users > 0 {
			continue
		}
		ls.lru.Remove(old.place)
		delete(ls.byStream, old.stream)
		ls.size -= old.counted
	}
}

// forget drops the state, so that the next command folds the stream from its start.
func (l *line) forget() {
	l.state, l.expected, l.changed, l.folded = nil, domain.NoStream, domain.Position{}, 0
}

// moved notes that the state covers the stream up to a revision, by size more stored bytes.
func (l *line) moved(revision uint64, size int) {
	l.expected = domain.Exactly(revision)
	l.folded += size
}

// load folds what the stream has beyond the state of l, from the start where there is none.
func (b *Bus) load(ctx context.Context, d decider, l *line) error {
	if l.state == nil {
		l.state = d.zero()
	}
	for r, err := range b.store.ReadStream(ctx, l.stream, l.expected.Next(), 0, Forwards) {
		if errors.Is(err, domain.ErrNoStream) {
			break
		}
		if err == nil {
			err = b.fold(ctx, d, l, r)
		}
		if err != nil {
			l.forget()
			return fmt.Errorf("load %s: %w", l.stream, err)
		}
	}
	return nil
}

// fold evolves the state of l by one record. What is sealed for ever has no say any more.
func (b *Bus) fold(ctx context.Context, d decider, l *line, r domain.Record) error {
	recorded, err := b.codec.Decode(ctx, r, forwards{b.store})
	if err != nil {
		return err
	}
	if recorded.Unknown {
		return fmt.Errorf("%w: event %s (%s, version %d) is from a newer version of this program; update this one",
			domain.ErrUnavailable, r.ID, r.Type, r.Version)
	}
	if recorded.Event != nil {
		d.evolve(l.state, recorded.Event)
	}
	if changes(recorded) {
		l.changed = r.Position
	}
	l.moved(r.Revision, recorded.Size)
	return nil
}

// changes tells whether an event changes the state: parts of another do not, nor does what plans say of themselves.
func changes(r domain.Recorded) bool {
	switch r.Event.(type) {
	case plan.Made, plan.Done:
		return false
	}
	return r.ContentType != domain.Part
}

// forwards reads streams as the codec wants them for its parts.
type forwards struct{ store EventStore }

// ReadStream implements codec.Streams.
func (f forwards) ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return f.store.ReadStream(ctx, stream, from, limit, Forwards)
}
