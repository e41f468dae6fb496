package keys

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

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
	lock    files.File // root.key, locked as long as the store is open
	names   hasher
	opened  cache
	random  source
	writing sync.Mutex // held by whoever writes the file; taken before mu
	file    files.File // guarded by writing
	size    int64      // of the file, guarded by writing
	failed  error      // of the write after which nothing is written any more; changed under writing and mu

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
	entries := s.take()
	g.err = s.write(entries)
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

// take takes the next group's entries, but those whose owners have lost their keys since.
func (s *Store) take() []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.next
	s.next = nil
	return slices.DeleteFunc(g.entries, func(e entry) bool {
		_, gone := s.destroyed[e.owner]
		if gone {
			delete(s.pending, e.owner)
		}
		return gone
	})
}

// write appends a group to the file and syncs it. Where there is no room for it, nothing has happened, and it may be tried
// again. After any other failure nothing is known of the file, so nothing is written to it any more.
func (s *Store) write(entries []entry) error {
	if s.failed != nil {
		return s.failed
	}
	data := appendGroup(nil, s.size, entries)
	err := s.file.Allocate(s.size + int64(len(data)))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: the disk has no room for another key: make some, and it goes on: %w", domain.ErrUnavailable, err)
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return s.fail(err)
	}
	if _, err := s.file.WriteAt(data, s.size); err != nil {
		return s.fail(err)
	}
	if err := s.file.Sync(); err != nil {
		return s.fail(err)
	}
	s.size += int64(len(data))
	return nil
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

// Close marks all that was written as durable and lets go of the files.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.write(nil) // the mark helps to tell damage from a torn write; nobody was promised it
	return errors.Join(s.file.Close(), s.lock.Close())
}
