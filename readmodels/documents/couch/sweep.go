package couch

import (
	"context"
	"errors"
	"sync"
	"time"

	"strandline/readmodels"
)

// leftovers are the databases that do not serve and are to be dropped once other processes do not read them any more.
type leftovers struct {
	mu  sync.Mutex
	all map[string]leftover
}

// leftover is a database that does not serve.
type leftover struct {
	since time.Time // by the clock of this process
	rev   string    // of its checkpoint then: if that has changed, somebody fills it. Empty if it is dropped all the same
}

// leave takes note of all builds but the one that serves: what it has replaced, and what crashes have left. Databases of
// others that are named like ours have no checkpoint of ours.
func (s *Store) leave(ctx context.Context, serving, replaced string) {
	builds, err := s.builds(ctx)
	if err != nil {
		return // it is done again at the next start
	}
	for _, database := range builds {
		done, err := s.loadCheckpoint(ctx, database)
		if err != nil || done.Origin == "" {
			continue
		}
		switch {
		case database == replaced:
			s.left.note(database, leftover{since: s.now()})
		case !s.left.has(database):
			s.left.note(database, leftover{s.now(), done.Rev})
		}
	}
	s.left.forget(serving)
}

// sweep drops what has been left for long enough. What cannot be dropped now is tried again as much later.
func (s *Store) sweep(ctx context.Context) {
	due := s.left.due(s.now())
	if len(due) == 0 {
		return
	}
	ctx, stop := context.WithTimeout(ctx, sweepTime)
	defer stop()
	p, err := s.pointed(ctx)
	if err != nil {
		return
	}
	for database, l := range due {
		if database == p.Build || s.dropLeftover(ctx, database, l) {
			s.left.forget(database)
		}
	}
}

// sweepTime bounds what a write is held up.
const sweepTime = time.Second

// dropLeftover tells whether there is nothing left to do.
func (s *Store) dropLeftover(ctx context.Context, database string, l leftover) bool {
	done, err := s.loadCheckpoint(ctx, database)
	if err != nil {
		return errors.Is(err, errMissing)
	}
	if l.rev != "" && l.rev != done.Rev {
		s.left.note(database, leftover{s.now(), done.Rev})
		return false
	}
	return s.server.drop(ctx, database) == nil
}

func (l *leftovers) note(database string, one leftover) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]leftover{}
	}
	l.all[database] = one
}

func (l *leftovers) has(database string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, has := l.all[database]
	return has
}

func (l *leftovers) forget(database string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, database)
}

// due returns those that can be dropped, and puts off the next try.
func (l *leftovers) due(now time.Time) map[string]leftover {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := map[string]leftover{}
	for database, one := range l.all {
		if now.Sub(one.since) >= readmodels.Followed {
			due[database] = one
			l.all[database] = leftover{now, one.rev}
		}
	}
	return due
}
