package keys

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"strandline/domain"
	"strandline/transport/files"
)

// Open opens the keys below sys, and makes them where there are none. Keys, their ids and nonces are drawn from random,
// which is crypto/rand.Reader but in tests.
func Open(sys files.System, random io.Reader) (*Store, error) {
	s := &Store{
		sys:     sys,
		random:  source{from: random},
		opened:  cache{slots: map[uint64]*slot{}},
		pending: map[string]*group{},
	}
	root, err := s.openRoot()
	if err != nil {
		return nil, err
	}
	s.root = root
	if err := s.openSubjects(); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	if err := s.openNames(); err != nil {
		return nil, errors.Join(err, s.file.Close(), s.lock.Close())
	}
	return s, nil
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
func (s *Store) openSubjects() error {
	data, err := s.sys.ReadFile(subjectsFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.found(); err != nil {
			return fmt.Errorf("make the keys: %w", err)
		}
		data, err = s.sys.ReadFile(subjectsFile)
	}
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	entries, size, err := scan(data)
	if err != nil {
		return err
	}
	s.fill(entries)
	if s.file, err = s.sys.Open(subjectsFile, false); err != nil {
		return fmt.Errorf("open the keys: %w", err)
	}
	s.size = size
	if size == int64(len(data)) {
		return nil
	}
	if err := errors.Join(s.file.Truncate(size), s.file.Sync()); err != nil {
		return errors.Join(fmt.Errorf("cut a torn write off the keys: %w", err), s.file.Close())
	}
	return nil
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

// openRoot reads root.key, or makes it where there are no keys yet, and takes the folder for this process.
func (s *Store) openRoot() (cipher.AEAD, error) {
	if err := s.makeRoot(); err != nil {
		return nil, fmt.Errorf("make %s: %w", rootFile, err)
	}
	lock, err := s.sys.Open(rootFile, false)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", rootFile, err)
	}
	if err := lock.Lock(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: the keys are in use by another process: %w", domain.ErrUnavailable, err), lock.Close())
	}
	s.lock = lock
	key, err := s.sys.ReadFile(rootFile)
	if err == nil && len(key) != keySize {
		err = fmt.Errorf("%w: %s has %d bytes instead of %d: restore it from its backup", domain.ErrDamaged, rootFile, len(key), keySize)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return newAEAD(key)
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

// writeFile puts a file of data under name, all or nothing, durably.
func writeFile(sys files.System, name string, data []byte) error {
	if err := prepare(sys, name, data); err != nil {
		return err
	}
	return commit(sys, name)
}

// prepare writes a file of data beside the one under name.
func prepare(sys files.System, name string, data []byte) error {
	fresh := name + ".new"
	if err := sys.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := sys.Open(fresh, true)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// commit moves the prepared file over the one under name.
func commit(sys files.System, name string) error {
	if err := sys.Rename(name+".new", name); err != nil {
		return err
	}
	return sys.SyncDir(".")
}
