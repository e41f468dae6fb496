// Package files is the port through which Strandline's own storage (the log and the keys) meets the file system, so that
// tests can lose power, run out of space and fail a sync at any call.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// System is what the log and the keys need of a file system. Paths are relative to the folder it was opened on.
type System interface {
	// Open opens a file for reading and writing; with create it is made, and must not exist.
	Open(name string, create bool) (File, error)
	// ReadFile reads a whole file. A missing one is fs.ErrNotExist.
	ReadFile(name string) ([]byte, error)
	// List names the entries of a folder, sorted.
	List(dir string) ([]string, error)
	// MkdirAll makes a folder and those above it.
	MkdirAll(dir string) error
	// Rename moves a file over another, atomically; it is durable after SyncDir.
	Rename(from, to string) error
	// Link gives a file a second name.
	Link(from, to string) error
	// Remove deletes a file.
	Remove(name string) error
	// SyncDir makes the entries of a folder durable.
	SyncDir(dir string) error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes written bytes durable, and the size where it grew (fdatasync). After a failure nothing is known.
	Sync() error
	// Truncate sets the size.
	Truncate(size int64) error
	// Allocate reserves space up to size without changing what is there.
	Allocate(size int64) error
	// Size is the present size.
	Size() (int64, error)
	// Map maps the first size bytes for reading; the returned function unmaps.
	Map(size int64) ([]byte, func() error, error)
	// Lock takes the file for this process alone, or fails at once. Closing gives it back, as does the process' end.
	Lock() error
	// Share takes the file together with others who share it, or fails at once where somebody has it alone.
	Share() error
	// Linked tells whether the file still has a name: one that has been removed, or that another was moved over, has none.
	Linked() (bool, error)
}

// IsHeld tells whether a Lock or Share has failed because somebody else has the file.
func IsHeld(err error) bool { return errors.Is(err, unix.EWOULDBLOCK) }

// Disk is the System below a folder of the machine.
type Disk struct {
	root string
	mode int // how files are opened
}

// NewDisk returns the System below root, which is made if it is missing, for its owner alone.
func NewDisk(root string) (*Disk, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	return &Disk{root, os.O_RDWR}, nil
}

// ReadDisk returns the System below a folder that is there. Files are opened for reading only, and none is made.
func ReadDisk(root string) (*Disk, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: root, Err: unix.ENOTDIR}
	}
	return &Disk{root, os.O_RDONLY}, nil
}

func (d *Disk) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// Open implements System. Files are made with mode 0600.
func (d *Disk) Open(name string, create bool) (File, error) {
	flags := d.mode
	if create && d.mode == os.O_RDONLY {
		return nil, &fs.PathError{Op: "create", Path: name, Err: unix.EROFS}
	}
	if create {
		flags |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(d.path(name), flags, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// ReadFile implements System.
func (d *Disk) ReadFile(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

// List implements System.
func (d *Disk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(d.path(dir))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// MkdirAll implements System.
func (d *Disk) MkdirAll(dir string) error { return os.MkdirAll(d.path(dir), 0o700) }

// Rename implements System.
func (d *Disk) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

// Link implements System.
func (d *Disk) Link(from, to string) error { return os.Link(d.path(from), d.path(to)) }

// LinkTo gives a file a second name in another folder of the same disk.
func (d *Disk) LinkTo(dest System, from, to string) error {
	other, ok := dest.(*Disk)
	if !ok {
		return errors.ErrUnsupported
	}
	return os.Link(d.path(from), other.path(to))
}

// Remove implements System.
func (d *Disk) Remove(name string) error { return os.Remove(d.path(name)) }

// SyncDir implements System.
func (d *Disk) SyncDir(dir string) error {
	f, err := os.Open(d.path(dir))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

type diskFile struct{ *os.File }

// Sync is not repeated unless a signal came between: after a failed sync nothing is known of the pages.
func (f diskFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return f.failed("fdatasync", err)
		}
	}
}

// Zero writes zeros to whole pages past the page cache: they cost no copying and push nothing out of it.
// It fails with errors.ErrUnsupported where the file system cannot do that.
func (f diskFile) Zero(from, to int64) error {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.ErrUnsupported
	}
	defer unix.Close(fd)
	zeros, err := unix.Mmap(-1, 0, int(to-from), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return f.failed("mmap", err)
	}
	defer unix.Munmap(zeros)
	for from < to {
		n, err := unix.Pwrite(fd, zeros[:to-from], from)
		if err == unix.EINVAL {
			return errors.ErrUnsupported
		}
		if err != nil && err != unix.EINTR {
			return f.failed("pwrite", err)
		}
		from += int64(max(n, 0))
	}
	return nil
}

// failed makes an error of the system calls that say which file it was.
func (f diskFile) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.Name(), Err: err}
}

func (f diskFile) Allocate(size int64) error {
	return f.failed("fallocate", unix.Fallocate(int(f.Fd()), 0, 0, size))
}

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f diskFile) Map(size int64) ([]byte, func() error, error) {
	if size == 0 {
		return nil, func() error { return nil }, nil
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, f.failed("mmap", err)
	}
	return b, func() error { return unix.Munmap(b) }, nil
}

func (f diskFile) Lock() error {
	return f.failed("lock", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
}

func (f diskFile) Share() error {
	return f.failed("lock", unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB))
}

func (f diskFile) Linked() (bool, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return false, f.failed("fstat", err)
	}
	return stat.Nlink > 0, nil
}
