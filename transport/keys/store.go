package keys

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"sync"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/files"
)

// namesOwner owns the key under which Hash works. It is nobody else's.
const namesOwner = "names"

// Store holds the keys of one installation. It is safe for concurrent use.
type Store struct {
	sys     files.System
	root    cipher.AEAD
	names   hasher
	opened  cache
	random  source
	writing sync.Mutex // held by whoever holds the book; taken before mu
	book    book
	sharing sharing
	failed  error // of the write after which nothing is written any more; changed under writing and mu

	mu        sync.RWMutex      // guards all below
	owners    map[string]uint32 // index of the owner's key in keys
	ids       map[uint64]uint32 // the same by key id
	keys      []wrapped
	destroyed map[string]struct{} // owners whose key has been destroyed
	pending   map[string]*group   // owners whose key is being written
	next      *group              // what the next write will hold, nil if nothing
}

// wrapped is a key as it is stored.
type wrapped struct {
	id    uint64
	owner string
	box   [wrappedSize]byte
}

// group is what is written at once.
type group struct {
	entries []entry
	written bool
	err     error
}

var _ commands.Keys = (*Store)(nil)

// fill puts entries into memory, in place of what was there.
func (s *Store) fill(entries []entry) {
	s.owners, s.ids = make(map[string]uint32, len(entries)), make(map[uint64]uint32, len(entries))
	s.keys = make([]wrapped, 0, len(entries))
	s.destroyed = map[string]struct{}{}
	for _, e := range entries {
		s.add(e)
	}
}

func (s *Store) add(e entry) {
	if e.kind == kindDestroyed {
		s.destroyed[e.owner] = struct{}{}
		return
	}
	index := uint32(len(s.keys))
	s.keys = append(s.keys, wrapped{e.id, e.owner, e.box})
	s.owners[e.owner], s.ids[e.id] = index, index
}

// KeyFor implements commands.Keys. Many callers with new owners share one sync.
func (s *Store) KeyFor(ctx context.Context, owner string) (string, error) {
	if err := s.fresh(); err != nil {
		return "", err
	}
	s.mu.RLock()
	index, ok := s.owners[owner]
	if ok {
		id := s.keys[index].id
		s.mu.RUnlock()
		return name(id), nil
	}
	s.mu.RUnlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if owner == "" || len(owner) > maxOwner {
		return "", fmt.Errorf("%w: key for owner %q", domain.ErrInvalid, owner)
	}
	return s.makeKey(owner)
}

func (s *Store) makeKey(owner string) (string, error) {
	g, err := s.enqueue(owner)
	if err != nil {
		return "", fmt.Errorf("make a key for %s: %w", owner, err)
	}
	if g != nil {
		if err := s.flush(g); err != nil {
			return "", fmt.Errorf("make a key for %s: %w", owner, err)
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	index, ok := s.owners[owner]
	if !ok {
		return "", s.refusal(owner)
	}
	return name(s.keys[index].id), nil
}

// enqueue adds a key for owner to the next group, and returns the group that will bring it; nil if it is there already.
func (s *Store) enqueue(owner string) (*group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.owners[owner]; ok {
		return nil, nil
	}
	if g, ok := s.pending[owner]; ok {
		return g, nil
	}
	if err := s.refusal(owner); err != nil {
		return nil, err
	}
	e, err := s.newEntry(owner)
	if err != nil {
		return nil, err
	}
	if s.next == nil {
		s.next = &group{}
	}
	s.next.entries = append(s.next.entries, e)
	s.pending[owner] = s.next
	return s.next, nil
}

// refusal says why owner can get no key, nil if it can.
func (s *Store) refusal(owner string) error {
	if s.failed != nil {
		return s.failed
	}
	if _, ok := s.destroyed[owner]; ok {
		return fmt.Errorf("%w: the key of %s has been destroyed, nothing can be recorded about it any more", domain.ErrRejected, owner)
	}
	return nil
}

// flush returns once g is on disk. Whoever comes first writes all that has been enqueued.
func (s *Store) flush(g *group) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if g.written {
		return g.err
	}
	var entries []entry
	if g.err = s.hold(); g.err == nil {
		defer s.book.release()
	}
	if entries = s.take(); g.err == nil && len(entries) > 0 {
		g.err = s.write(entries)
	}
	g.written = true

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		delete(s.pending, e.owner)
	}
	if g.err == nil {
		for _, e := range entries {
			s.add(e)
		}
	}
	return g.err
}

// take takes the next group's entries, but those whose owners have lost their keys since, or been given one by another
// process.
func (s *Store) take() []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.next
	s.next = nil
	return slices.DeleteFunc(g.entries, func(e entry) bool {
		_, gone := s.destroyed[e.owner]
		_, there := s.owners[e.owner]
		if gone || there {
			delete(s.pending, e.owner)
		}
		return gone || there
	})
}

// hold holds the book, with what others have written in it.
func (s *Store) hold() error {
	n, err := s.book.hold()
	if err != nil {
		return err
	}
	s.learn(n)
	return nil
}

// write adds entries to the book, which is held. After a failure of which nobody knows what it has left, nothing is written
// any more.
func (s *Store) write(entries []entry) error {
	if s.failed != nil {
		return s.failed
	}
	return s.judge(s.book.append(entries))
}

// judge remembers an error after which nothing is to be written any more.
func (s *Store) judge(err error) error {
	var lost lostError
	if errors.As(err, &lost) {
		return s.fail(lost.error)
	}
	return err
}

func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = fmt.Errorf("%w: the keys cannot be written any more, mend the disk and start again: %w", domain.ErrUnavailable, err)
	return s.failed
}

// Err says why no more keys can be made, nil if they can.
func (s *Store) Err() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.failed
}

// Close lets go of the files.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.book.close()
}
