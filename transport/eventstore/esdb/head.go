package esdb

import (
	"context"
	"math"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"strandline/commands"
	"strandline/domain"
)

// heads shares look-ups of the head: whoever asks while one is under way waits for the next one, together with all others
// that do, since the one under way may have been answered already.
type heads struct {
	mu      sync.Mutex
	running bool
	next    *lookup
}

// lookup is one look-up that several wait for.
type lookup struct {
	done chan struct{}
	head domain.Position
	err  error
}

// Head implements commands.EventStore: the last event that is not the system's.
func (s *Store) Head(ctx context.Context) (domain.Position, error) {
	if err := ctx.Err(); err != nil {
		return domain.Position{}, err
	}
	l := s.heads.join(s)
	select {
	case <-l.done:
		return l.head, l.err
	case <-ctx.Done():
		return domain.Position{}, ctx.Err()
	}
}

// join waits for the next look-up, and begins it if none is under way.
func (h *heads) join(s *Store) *lookup {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next == nil {
		h.next = &lookup{done: make(chan struct{})}
	}
	l := h.next
	if !h.running {
		h.running = true
		go h.run(s)
	}
	return l
}

// run does look-ups until nobody waits for one. Requests begin with one: so if the server is away, here is where they wait
// for one more attempt to reach it, all of them together, even if others have waited for long already.
func (h *heads) run(s *Store) {
	for {
		h.mu.Lock()
		l := h.next
		h.next = nil
		h.running = l != nil
		h.mu.Unlock()
		if l == nil {
			return
		}
		s.await()
		l.head, l.err = s.find(s.closing)
		close(l.done)
	}
}

// find reads backwards from the end, more and more, until an event is not the system's.
func (s *Store) find(ctx context.Context) (domain.Position, error) {
	options := esdb.ReadAllOptions{Direction: way(commands.Backwards), From: esdb.End{}, RequiresLeader: true}
	for _, count := range []uint64{8, 1024, math.MaxInt64} {
		var at domain.Position
		var failed error
		looked := uint64(0)
		s.each(ctx, "$all", func(r domain.Record, err error) bool {
			looked++
			if failed = err; err == nil && !isSystem(r.Stream) {
				at = r.Position
			}
			return err == nil && at.IsZero()
		}, func() opening {
			return func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
				return c.ReadAll(ctx, options, count)
			}
		})
		if failed != nil || !at.IsZero() || looked < count {
			return at, failed
		}
	}
	return domain.Position{}, nil
}
