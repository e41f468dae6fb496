package keys

import (
	"fmt"
	"time"

	"strandline/domain"
	"strandline/transport/files"
)

// lockFile is locked by the process that writes. It is empty.
const lockFile = "lock"

// Times of those who share keys.
const (
	notice = 50 * time.Millisecond // for how long a process goes by what it knows before it looks what others have destroyed
	turn   = 10 * time.Second      // for which it waits until it may write
)

// shared is the file of entries of processes that share it. Who writes has locked another file, since this one is replaced.
// What others have written is read by who holds it, so that it was durable, or is made so.
type shared struct {
	*pages
	turn files.File // lockFile, while it is held
}

// wait takes the lock of who writes.
func wait(sys files.System) (files.File, error) {
	file, err := files.Turn(sys, lockFile, turn)
	if files.IsHeld(err) {
		return nil, fmt.Errorf("%w: another process has been writing keys for %s: %w", domain.ErrUnavailable, turn, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: lock the keys: %w", domain.ErrUnavailable, err)
	}
	return file, nil
}

// hold implements book.
func (s *shared) hold() (n news, err error) {
	if s.turn, err = wait(s.sys); err != nil {
		return n, err
	}
	if n, err = s.news(); err != nil {
		s.release()
	}
	return n, err
}

func (s *shared) release() {
	_ = s.turn.Close() // which gives the lock back, whatever it says
	s.turn = nil
}

// news reads what others have written. It may not have been synced, if the process that wrote it was killed.
func (s *shared) news() (n news, err error) {
	added, taken, err := s.look()
	switch {
	case err != nil || !added && !taken:
		return n, err
	case taken:
		n.all = true
		n.entries, err = s.reopen()
	default:
		n.entries, err = s.read()
	}
	if err == nil {
		err = s.file.Sync()
	}
	return n, err
}

// look implements book.
func (s *shared) look() (added, taken bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	linked, err := s.file.Linked()
	if err != nil {
		return false, false, err
	}
	size, err := s.file.Size()
	return size != s.size, !linked, err
}

// append implements book. What may not have become durable is taken back, as good as can be: others would take it for sure.
func (s *shared) append(entries []entry) error {
	before := s.size
	err := s.pages.append(entries)
	if err != nil {
		_ = s.file.Truncate(before)
	}
	return err
}

func (s *shared) close() error { return s.letGo() }
