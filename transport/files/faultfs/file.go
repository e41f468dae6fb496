package faultfs

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// file is an open file.
type file struct {
	fs     *FS
	node   *node
	name   string
	closed bool
}

// begin is FS.begin for a call on an open file.
func (o *file) begin(op Op) (err error, partly bool) {
	if o.closed {
		return &fs.PathError{Op: "use", Path: o.name, Err: fs.ErrClosed}, false
	}
	return o.fs.begin(op, o.name)
}

// ReadAt implements io.ReaderAt.
func (o *file) ReadAt(p []byte, off int64) (int, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err, _ := o.begin(ReadAt); err != nil {
		return 0, err
	}
	if off >= int64(len(o.node.now)) {
		return 0, io.EOF
	}
	n := copy(p, o.node.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. A failed one has written some first part.
func (o *file) WriteAt(p []byte, off int64) (int, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	failed, partly := o.begin(WriteAt)
	if failed != nil {
		if !partly {
			return 0, failed
		}
		p = p[:o.fs.rng.IntN(len(p)+1)]
	}
	o.node.write(p, off)
	o.writeBack(off, len(p))
	return len(p), failed
}

// writeBack lets now and then a page go to the disk by itself, as the kernel does.
func (o *file) writeBack(off int64, n int) {
	if n > 0 && o.fs.rng.IntN(8) == 0 {
		o.node.flush((off+o.fs.rng.Int64N(int64(n)))/pageSize, pageSize/sectorSize)
	}
}

// Sync implements files.File.
func (o *file) Sync() error {
	o.fs.mu.Lock()
	hold := o.fs.hold
	o.fs.mu.Unlock()
	if hold != nil {
		hold(o.name)
	}
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	failed, partly := o.begin(Sync)
	if failed != nil {
		if partly {
			o.node.flushSome(o.fs.chance())
		}
		return failed
	}
	o.node.flushAll()
	return nil
}

// Truncate implements files.File.
func (o *file) Truncate(size int64) error { return o.resize(Truncate, size) }

// Allocate implements files.File.
func (o *file) Allocate(size int64) error { return o.resize(Allocate, size) }

func (o *file) resize(op Op, size int64) error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	failed, partly := o.begin(op)
	if failed != nil && (!partly || o.fs.rng.IntN(2) == 0) {
		return failed
	}
	if op == Truncate || size > int64(len(o.node.now)) {
		o.node.resize(size)
	}
	return failed
}

// Size implements files.File.
func (o *file) Size() (int64, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	err, _ := o.begin(Size)
	return int64(len(o.node.now)), err
}

// Map implements files.File with a copy.
func (o *file) Map(size int64) ([]byte, func() error, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err, _ := o.begin(Map); err != nil {
		return nil, nil, err
	}
	if size > int64(len(o.node.now)) {
		return nil, nil, fmt.Errorf("faultfs: map %d bytes of %s, which has %d: reading the rest would kill the process", size, o.name, len(o.node.now))
	}
	return slices.Clone(o.node.now[:size]), func() error { return nil }, nil
}

// Lock implements files.File.
func (o *file) Lock() error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err, _ := o.begin(Lock); err != nil {
		return err
	}
	if o.node.lock != nil && o.node.lock != o || len(o.node.share) > 0 && !(len(o.node.share) == 1 && o.node.share[o]) {
		return &fs.PathError{Op: "lock", Path: o.name, Err: syscall.EWOULDBLOCK}
	}
	o.node.lock = o
	delete(o.node.share, o)
	return nil
}

// Share implements files.File.
func (o *file) Share() error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err, _ := o.begin(Lock); err != nil {
		return err
	}
	if o.node.lock != nil && o.node.lock != o {
		return &fs.PathError{Op: "lock", Path: o.name, Err: syscall.EWOULDBLOCK}
	}
	if o.node.share == nil {
		o.node.share = map[*file]bool{}
	}
	o.node.lock, o.node.share[o] = nil, true
	return nil
}

// Linked implements files.File.
func (o *file) Linked() (bool, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err, _ := o.begin(Size); err != nil {
		return false, err
	}
	for _, n := range o.fs.tree {
		if n == o.node {
			return true, nil
		}
	}
	return false, nil
}

// Close implements io.Closer. It gives the lock back.
func (o *file) Close() error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if o.closed {
		return &fs.PathError{Op: "close", Path: o.name, Err: fs.ErrClosed}
	}
	o.closed = true
	if o.node.lock == o {
		o.node.lock = nil
	}
	delete(o.node.share, o)
	return nil
}
