package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"

	"strandline/domain"
	"strandline/transport/files"
)

// book is where a Store keeps its entries, on behalf of one process or of several. It is written to while it is held,
// which only one process does at a time. All methods but look are called by one goroutine at a time.
type book interface {
	// hold keeps other processes from writing until release, and tells what they have written before.
	hold() (news, error)
	release()
	// append adds entries. They are durable when it returns.
	append(entries []entry) error
	// replace has the book hold these entries only. No other is to be found on disk when it returns.
	replace(entries []entry) error
	// look tells, quickly, whether other processes have added entries or taken some out since the book was held last.
	look() (added, taken bool, err error)
	// close finishes the book, letGo does not.
	close() error
	letGo() error
}

// news are entries that other processes have written.
type news struct {
	entries []entry
	all     bool // there are no others any more: some have been taken out
}

// lostError is an error after which nobody knows what the disk holds.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

// pages is the file of entries of a process that has it alone.
type pages struct {
	sys  files.System
	lock files.File // root.key, locked as long as the file is open

	mu   sync.RWMutex // guards what is below, which changes while the file is held
	file files.File
	size int64 // of what is known and good
}

// openPages opens the file of entries and reads it. A write that a crash has torn is cut off.
func openPages(sys files.System, lock files.File) (*pages, []entry, error) {
	p := &pages{sys: sys, lock: lock}
	found, err := p.reopen()
	return p, found, err
}

// reopen opens the file under the name, in place of the one that was open.
func (p *pages) reopen() ([]entry, error) {
	file, err := p.sys.Open(subjectsFile, false)
	if err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	before := p.become(file, 0)
	found, err := p.read()
	if err != nil {
		p.become(before, 0) // so that the next who looks comes here again
		return nil, errors.Join(err, file.Close())
	}
	if before != nil {
		err = before.Close()
	}
	return found, err
}

// become changes which file is written to and looked at.
func (p *pages) become(file files.File, size int64) (before files.File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, p.file, p.size = p.file, file, size
	return before
}

// read reads what is in the file beyond what is known, and cuts off a write that a crash has torn.
func (p *pages) read() ([]entry, error) {
	end, err := p.file.Size()
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	data := make([]byte, max(end-p.size, 0))
	if _, err := p.file.ReadAt(data, p.size); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	found, size, err := scan(data, p.size)
	if err != nil {
		return nil, err
	}
	if size < end {
		if err := errors.Join(p.file.Truncate(size), p.file.Sync()); err != nil {
			return nil, fmt.Errorf("cut a torn write off the keys: %w", err)
		}
	}
	p.become(p.file, size)
	return found, nil
}

// hold implements book: there is nobody else.
func (p *pages) hold() (news, error) { return news{}, nil }

func (p *pages) release() {}

// look implements book.
func (p *pages) look() (added, taken bool, err error) { return false, false, nil }

// append implements book. Where there is no room, nothing has happened, and it may be tried again. After any other failure
// nothing is known of the file.
func (p *pages) append(entries []entry) error {
	data := appendGroup(nil, p.size, entries)
	err := p.file.Allocate(p.size + int64(len(data)))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: the disk has no room for another key: make some, and it goes on: %w", domain.ErrUnavailable, err)
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return lostError{err}
	}
	if _, err := p.file.WriteAt(data, p.size); err != nil {
		return lostError{err}
	}
	if err := p.file.Sync(); err != nil {
		return lostError{err}
	}
	p.become(p.file, p.size+int64(len(data)))
	return nil
}

// replace implements book.
func (p *pages) replace(entries []entry) error {
	if err := prepare(p.sys, subjectsFile, wholeFile(entries)); err != nil {
		return fmt.Errorf("%w: %w", domain.ErrUnavailable, err) // and nothing has happened
	}
	if err := p.swap(); err != nil {
		return lostError{err}
	}
	return nil
}

// swap puts the prepared file in the place of the present one.
func (p *pages) swap() error {
	if err := commit(p.sys, subjectsFile); err != nil {
		return err
	}
	file, err := p.sys.Open(subjectsFile, false)
	if err != nil {
		return err
	}
	size, err := file.Size()
	return errors.Join(err, p.become(file, size).Close())
}

// close marks all that was written as durable, and lets go of the files.
func (p *pages) close() error {
	_ = p.append(nil) // the mark helps to tell damage from a torn write; nobody was promised it
	return p.letGo()
}

func (p *pages) letGo() error { return errors.Join(p.file.Close(), p.lock.Close()) }

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
