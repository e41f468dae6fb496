package keys

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"strandline/domain"
)

// sharing is what a Store needs that is not the only one to write to its book.
type sharing struct {
	notice  time.Duration // see notice; 0 where there is nobody else
	began   time.Time
	looking sync.Mutex   // taken before writing
	looked  atomic.Int64 // when others' doing was looked for last, in nanoseconds since began
}

// recent tells whether no key can have been destroyed by others longer ago than they wait for us.
func (s *sharing) recent() bool {
	return s.notice == 0 || time.Since(s.began)-time.Duration(s.looked.Load()) < s.notice
}

// fresh makes sure that no key is used which another process has destroyed. It fails where that cannot be told.
func (s *Store) fresh() error {
	if s.sharing.recent() {
		return nil
	}
	s.sharing.looking.Lock()
	defer s.sharing.looking.Unlock()
	if s.sharing.recent() {
		return nil
	}
	now := time.Since(s.sharing.began)
	_, taken, err := s.book.look()
	if err != nil {
		return fmt.Errorf("%w: it cannot be told whether keys have been destroyed: %w", domain.ErrUnavailable, err)
	}
	if taken {
		if err := s.hear(); err != nil {
			return err
		}
	}
	s.sharing.looked.Store(int64(now))
	return nil
}

// heard reads what others have written, and tells whether there was something.
func (s *Store) heard() bool {
	if s.sharing.notice == 0 {
		return false
	}
	added, taken, err := s.book.look()
	return err == nil && (added || taken) && s.hear() == nil
}

// hear reads what others have written.
func (s *Store) hear() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.hold(); err != nil {
		return err
	}
	s.book.release()
	return nil
}

// learn puts what others have written into memory. Keys that they have destroyed are forgotten.
func (s *Store) learn(n news) {
	s.mu.Lock()
	before := s.keys
	if n.all {
		s.fill(n.entries)
	} else {
		for _, e := range n.entries {
			s.add(e)
		}
	}
	s.mu.Unlock()
	if !n.all {
		return
	}
	for _, k := range before {
		s.mu.RLock()
		_, there := s.ids[k.id]
		s.mu.RUnlock()
		if !there {
			s.opened.drop(k.id)
		}
	}
}

// noticed waits until every process that shares the keys has looked for those that have been destroyed.
func (s *Store) noticed(ctx context.Context) error {
	if s.sharing.notice == 0 {
		return nil
	}
	timer := time.NewTimer(2 * s.sharing.notice)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() // whoever destroys it once more waits again
	}
}
