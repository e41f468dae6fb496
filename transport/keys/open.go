package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"strandline/domain"
	"strandline/transport/files"
)

// Open opens the keys below sys for this process alone, and makes them where there are none. Keys, their ids and nonces are
// drawn from random, which is crypto/rand.Reader but in tests.
func Open(sys files.System, random io.Reader) (*Store, error) {
	s := newStore(sys, random)
	root, err := s.openRoot(files.File.Lock)
	if err != nil {
		return nil, err
	}
	p, err := s.openSubjects(root)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	s.book = p
	return s.named()
}

// Share is Open together with other processes, of this machine or of others on whose file system flock works between them:
// each finds the keys that another has made, two that make the key of one owner make one, and what one destroys none can
// use any more.
func Share(sys files.System, random io.Reader) (*Store, error) {
	s := newStore(sys, random)
	turn, err := wait(sys)
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	root, err := s.openRoot(files.File.Share)
	if err != nil {
		return nil, err
	}
	p, err := s.openSubjects(root)
	if err == nil {
		err = p.file.Sync() // who wrote it last may have been killed before it could
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	s.book, s.sharing.notice = &shared{pages: p}, notice
	return s.named()
}

// named finishes opening with what the keys hold.
func (s *Store) named() (*Store, error) {
	if err := s.openNames(); err != nil {
		return nil, errors.Join(err, s.book.letGo())
	}
	return s, nil
}

func newStore(sys files.System, random io.Reader) *Store {
	return &Store{
		sys:     sys,
		random:  source{from: random},
		opened:  cache{slots: map[uint64]*slot{}},
		pending: map[string]*group{},
		sharing: sharing{began: time.Now()},
	}
}

// Made tells whether there are keys, all files of them. A log that holds events cannot do with new ones.
func Made(sys files.System) (bool, error) {
	for _, name := range []string{rootFile, subjectsFile} {
		_, err := sys.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for the keys: %w", err)
		}
	}
	return true, nil
}

// openSubjects reads the file of keys, or writes the first one.
func (s *Store) openSubjects(root files.File) (*pages, error) {
	if _, err := s.sys.ReadFile(subjectsFile); errors.Is(err, fs.ErrNotExist) {
		if err := s.found(); err != nil {
			return nil, fmt.Errorf("make the keys: %w", err)
		}
	}
	p, entries, err := openPages(s.sys, root)
	if err != nil {
		return nil, err
	}
	s.fill(entries)
	return p, nil
}

// found writes the first file, with the key for names in it.
func (s *Store) found() error {
	first, err := s.newEntry(namesOwner)
	if err != nil {
		return err
	}
	return writeFile(s.sys, subjectsFile, wholeFile([]entry{first}))
}

// openNames takes out the key for names, which also shows whether root.key belongs to these keys.
func (s *Store) openNames() error {
	index, ok := s.owners[namesOwner]
	if !ok {
		return fmt.Errorf("%w: the keys lack the installation's own: restore %s from a backup", domain.ErrDamaged, subjectsFile)
	}
	key, err := s.unwrap(s.keys[index])
	if err != nil {
		return err
	}
	s.names = newHasher(key)
	return nil
}

// openRoot reads root.key, or makes it where there are no keys yet, and takes the folder for this process, alone or with
// others.
func (s *Store) openRoot(take func(files.File) error) (files.File, error) {
	if err := s.makeRoot(); err != nil {
		return nil, fmt.Errorf("make %s: %w", rootFile, err)
	}
	lock, err := s.sys.Open(rootFile, false)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", rootFile, err)
	}
	if err := take(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: the keys are in use by another process: %w", domain.ErrUnavailable, err), lock.Close())
	}
	key, err := s.sys.ReadFile(rootFile)
	if err == nil && len(key) != keySize {
		err = fmt.Errorf("%w: %s has %d bytes instead of %d: restore it from its backup", domain.ErrDamaged, rootFile, len(key), keySize)
	}
	if err == nil {
		s.root, err = newAEAD(key)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

func (s *Store) makeRoot() error {
	if _, err := s.sys.ReadFile(rootFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := s.sys.ReadFile(subjectsFile); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there are keys but no %s to open them: restore it from its backup (%v)", domain.ErrDamaged, rootFile, err)
	}
	key := make([]byte, keySize)
	if err := s.random.draw(key); err != nil {
		return err
	}
	return writeFile(s.sys, rootFile, key)
}
