package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"strandline/domain"
	"strandline/transport/files"
)

// Copy is all that the files of keys hold at one moment. A key that has been destroyed is not in it.
type Copy struct{ Root, Subjects []byte }

// Copy copies all keys that are durable now. What is sealed under them may have been stored at any time before.
func (s *Store) Copy(ctx context.Context) (Copy, error) {
	if err := ctx.Err(); err != nil {
		return Copy{}, err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.hold(); err != nil {
		return Copy{}, fmt.Errorf("copy the keys: %w", err)
	}
	defer s.book.release()
	root, err := s.sys.ReadFile(rootFile)
	if err != nil {
		return Copy{}, fmt.Errorf("copy the keys: %w", err)
	}
	return Copy{root, wholeFile(s.entries())}, nil
}

// entries lists all that is in memory, which is what is durable.
func (s *Store) entries() []entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]entry, 0, len(s.keys)+len(s.destroyed))
	for _, k := range s.keys {
		all = append(all, entry{kindKey, k.id, k.owner, k.box})
	}
	for o := range s.destroyed {
		all = append(all, entry{kind: kindDestroyed, owner: o})
	}
	return all
}

// Restore makes an empty folder hold the keys of a copy, if they are good.
func Restore(c Copy, dest files.System) error {
	names, err := dest.List(".")
	if err != nil {
		return fmt.Errorf("restore the keys: %w", err)
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: keys are restored into an empty folder only", domain.ErrRejected)
	}
	if _, err := ExamineCopy(c); err != nil {
		return err
	}
	if err := errors.Join(writeFile(dest, rootFile, c.Root), writeFile(dest, subjectsFile, c.Subjects)); err != nil {
		return fmt.Errorf("restore the keys: %w", err)
	}
	return nil
}

// Examination is what files of keys turn out to hold.
type Examination struct {
	Keys      int // the installation's own included
	Destroyed int // owners whose key has been destroyed
	Torn      int // bytes of a write that a crash has torn, which are cut off when the keys are opened
}

// Examine reads the files of keys, whether they are open or not, and changes nothing. Anything bad that was durable, keys
// that root.key does not open included, is domain.ErrDamaged. No keys at all are fs.ErrNotExist.
func Examine(sys files.System) (Examination, error) {
	subjects, err := sys.ReadFile(subjectsFile)
	if err != nil {
		return Examination{}, fmt.Errorf("read the keys: %w", err)
	}
	root, err := sys.ReadFile(rootFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: there are keys but no %s to open them: restore it from its backup", domain.ErrDamaged, rootFile)
	}
	if err != nil {
		return Examination{}, err
	}
	return ExamineCopy(Copy{root, subjects})
}

// ExamineCopy is Examine for a copy.
func ExamineCopy(c Copy) (Examination, error) {
	if len(c.Root) != keySize {
		return Examination{}, fmt.Errorf("%w: %s has %d bytes instead of %d: restore it from its backup", domain.ErrDamaged, rootFile, len(c.Root), keySize)
	}
	root, err := newAEAD(bytes.Clone(c.Root))
	if err != nil {
		return Examination{}, err
	}
	entries, size, err := scan(c.Subjects, 0)
	if err != nil {
		return Examination{}, err
	}
	s := Store{root: root}
	s.fill(entries)
	for _, k := range s.keys {
		if _, err := s.unwrap(k); err != nil {
			return Examination{}, err
		}
	}
	if _, ok := s.owners[namesOwner]; !ok {
		return Examination{}, fmt.Errorf("%w: the keys lack the installation's own: restore %s from a backup", domain.ErrDamaged, subjectsFile)
	}
	return Examination{len(s.keys), len(s.destroyed), len(c.Subjects) - int(size)}, nil
}

// Has tells whether there is a key with this id.
func (s *Store) Has(key string) bool {
	_, err := s.aead(key)
	return err == nil
}
