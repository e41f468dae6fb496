package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"strandline/transport/files"
)

// spare is the next segment, prepared while the active one fills. Writing zeros ahead makes later syncs cheaper: they only
// have to write data then, and nothing about where it is.
type spare struct {
	sys    files.System
	log    *slog.Logger
	size   int64 // of a segment
	sync   func(files.File) error
	fail   func(error) error // stops the store
	target chan int64        // how much should be filled
	told   int64             // the last target; only the committer uses it

	mu     sync.Mutex
	file   files.File // nil if there is none
	filled int64
	failed bool // until the next segment
}

const (
	spareName  = segmentFolder + "/spare"
	spareStep  = 512 << 10        // bytes written at once
	spareSync  = 8 << 20          // bytes synced at once
	sparePause = time.Millisecond // after each step: zeros must not take the disk from the log
)

// progress tells how full the active segment is. The spare is kept ahead of it, so that it is written no faster than needed.
func (s *spare) progress(offset int64) {
	target := min(s.size, offset+offset/2)
	if target >= s.told && target < min(s.told+spareStep, s.size) || target == s.told {
		return // not enough to do yet
	}
	select {
	case s.target <- target:
		s.told = target
	default:
	}
}

// run fills the spare until stop is closed.
func (s *spare) run(stop <-chan struct{}) {
	for {
		select {
		case target := <-s.target:
			s.fill(target, sparePause, stop)
		case <-stop:
			s.drop()
			return
		}
	}
}

// fill writes zeros up to target, with pauses. Without space the segment will be made without them, or making it will fail
// and be reported. A failed sync stops the store here as it does everywhere.
func (s *spare) fill(target int64, pause time.Duration, stop <-chan struct{}) {
	for s.step(target) {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
	}
}

// step writes some zeros and tells whether more are needed. The lock is not held while they are synced: the committer must
// not wait for that. If it takes the file meanwhile, the sync does no harm.
func (s *spare) step(target int64) (more bool) {
	f, more := s.write(target)
	if f == nil {
		return more
	}
	if err := s.sync(f); err != nil {
		s.fail(fmt.Errorf("sync the next segment: %w", err))
		return false
	}
	return more
}

// write appends zeros to the spare, which is made first if there is none. It returns the file if it should be synced.
func (s *spare) write(target int64) (unsynced files.File, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filled >= target || s.failed {
		return nil, false
	}
	to := min(s.filled+spareStep, s.size)
	if err := s.extend(to); err != nil {
		s.log.Warn("the next segment could not be prepared", "cause", err.Error())
		s.failed = true
		return nil, false
	}
	if s.filled = to; to%spareSync == 0 || to == s.size {
		unsynced = s.file
	}
	return unsynced, to < target
}

// extend writes zeros from where the spare is filled to.
func (s *spare) extend(to int64) (err error) {
	if s.file == nil {
		if s.file, err = remake(s.sys, spareName); err != nil {
			return err
		}
		if err := s.file.Allocate(s.size); err != nil {
			return err
		}
	}
	if z, ok := s.file.(zeroer); ok {
		if err := z.Zero(s.filled, to); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	_, err = s.file.WriteAt(make([]byte, to-s.filled), s.filled)
	return err
}

// zeroer is a file that has a cheaper way to write zeros. It may fail with errors.ErrUnsupported.
type zeroer interface {
	Zero(from, to int64) error
}

// take turns the spare, or a new file, into a segment of the given size and name. The name is durable when it returns; the
// file is when it is synced next.
func (s *spare) take(name string, size int64) (files.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.allocated(size)
	if err != nil {
		return nil, err
	}
	if err := s.sys.Rename(spareName, name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := s.sys.SyncDir(segmentFolder); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// allocated is the spare, or a new file, with room for size bytes. If the disk has none, nothing has happened.
func (s *spare) allocated(size int64) (files.File, error) {
	f, filled := s.file, s.filled
	s.file, s.filled, s.failed = nil, 0, false
	if f == nil {
		var err error
		if f, err = remake(s.sys, spareName); err != nil {
			return nil, full(err)
		}
	}
	if filled >= size {
		return f, nil
	}
	if err := f.Allocate(size); err != nil {
		_ = errors.Join(f.Close(), s.sys.Remove(spareName)) // an empty file: what room it has taken is wanted elsewhere
		return nil, full(err)
	}
	return f, nil
}

// full marks an error that says that the disk is full.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return err
}

// drop gives the spare up. Its file is removed when the store is opened next.
func (s *spare) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.file.Close() // there is nothing in it
		s.file, s.filled = nil, 0
	}
}
