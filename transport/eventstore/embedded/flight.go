package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"strandline/commands"
	"strandline/transport/files"
)

// flight is a group on its way to the disk, with the batch that it answers.
type flight struct {
	batch   *batch
	file    files.File
	name    string // of the segment
	size    int64  // of the file
	offset  int64  // where it goes
	first   uint64 // position of its first record
	records int
	buf     []byte // empty if there is nothing to write
	err     error  // it need not be tried
}

// keepBuf is how large a buffer may be that is kept.
const keepBuf = 1 << 20

func (f *flight) begin(file files.File, name string, size, offset int64, first uint64) {
	f.file, f.name, f.size, f.offset, f.first = file, name, size, offset, first
}

// pad adds zeros up to the end of the group's last page: what was zeroed past the page cache is not in memory, and a part
// of a page could only be written after the rest had been read.
func (f *flight) pad() {
	end := f.offset + int64(len(f.buf))
	f.buf = append(f.buf, make([]byte, min(-end&(pageSize-1), max(0, f.size-end)))...)
}

// spoil gives the flight up: nothing of it will be written.
func (f *flight) spoil(err error) {
	f.err, f.buf, f.records = err, f.buf[:0], 0
}

// flights are the two groups that can be under way at once: one is written while the other is built.
type flights struct {
	store   *Store
	both    [2]*flight
	free    chan *flight
	queue   chan *flight
	waiting atomic.Int64  // requests that are under way
	took    time.Duration // how long a write and its sync took lately; only valid for the builder
	last    atomic.Int64  // the same in nanoseconds, as it was measured
}

// start begins to write flights; the returned function lands them all and ends that.
func (fs *flights) start(s *Store) (stop func()) {
	fs.store = s
	fs.free, fs.queue = make(chan *flight, len(fs.both)), make(chan *flight)
	for i := range fs.both {
		fs.both[i] = new(flight)
		fs.free <- fs.both[i]
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := range fs.queue {
			fs.fly(f)
		}
	}()
	return func() { close(fs.queue); <-done }
}

// next returns a flight for a batch, as soon as one is free.
func (fs *flights) next(b *batch) *flight {
	f := <-fs.free
	if cap(f.buf) > keepBuf {
		f.buf = nil
	}
	*f = flight{batch: b, buf: f.buf[:0]}
	fs.took = time.Duration(fs.last.Load())
	return f
}

// away is how many requests are under way.
func (fs *flights) away() int { return int(fs.waiting.Load()) }

// depart sends a flight on its way: by itself, or, if it is small and none is before it, with the caller.
func (fs *flights) depart(f *flight) {
	fs.waiting.Add(int64(len(f.batch.requests)))
	others := len(fs.both) - 1 - len(fs.free)
	if others > 0 || len(f.batch.requests) >= aloneRequests || len(f.buf) >= aloneBytes {
		fs.queue <- f
		return
	}
	fs.fly(f)
}

// A group that is so large goes by itself, so that the next one can be built meanwhile.
const (
	aloneRequests = 32
	aloneBytes    = 128 << 10
)

// landOthers returns when no flight but the one that is being built is under way.
func (fs *flights) landOthers() { fs.free <- <-fs.free }

// land returns when no flight is under way. None is being built.
func (fs *flights) land() {
	for range fs.both {
		defer func(f *flight) { fs.free <- f }(<-fs.free)
	}
}

// with finds the flight that carries a position, which is not durable. Only the builder may ask.
func (fs *flights) with(position uint64) *flight {
	for _, f := range fs.both {
		if f.records > 0 && position >= f.first && position < f.first+uint64(f.records) {
			return f
		}
	}
	return nil
}

// fly writes a flight and answers its requests.
func (fs *flights) fly(f *flight) {
	s := fs.store
	err := fs.write(f)
	if len(f.batch.requests) > 0 {
		s.full.Store(errors.Is(err, errFull))
	}
	if err != nil {
		if !errors.Is(err, errFull) { // which comes before anything is written
			err = s.fail(err)
		}
		for _, r := range f.batch.requests {
			r.result, r.err = commands.Appended{}, err
		}
	}
	fs.waiting.Add(-int64(len(f.batch.requests)))
	close(f.batch.done)
	fs.free <- f
}

// write makes a flight durable, moves the watermark and wakes the followers.
func (fs *flights) write(f *flight) error {
	s := fs.store
	if err := cmp.Or(f.err, s.Err()); err != nil || len(f.buf) == 0 {
		return err
	}
	began := time.Now()
	s.writing.Store(began.UnixNano())
	defer s.writing.Store(0)
	if _, err := f.file.WriteAt(f.buf, f.offset); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	if err := s.syncGroup(f.file); err != nil {
		return fmt.Errorf("sync %s: %w", f.name, err)
	}
	fs.last.Store(int64(time.Since(began)))
	s.groups.Add(1)
	s.extent.Store(f.offset + int64(len(f.buf)))
	if f.records > 0 {
		s.durable.Store(&durable{position: f.first + uint64(f.records) - 1})
		s.grown.happened()
		if s.opt.Observer != nil {
			s.opt.Observer.Grouped(f.records)
		}
	}
	return nil
}

// sync makes a file durable, unless the store was told not to.
func (s *Store) sync(f files.File) error {
	if s.opt.NoSync {
		return nil
	}
	return f.Sync()
}

// syncGroup is sync, watched by the observer.
func (s *Store) syncGroup(f files.File) error {
	if s.opt.Observer == nil {
		return s.sync(f)
	}
	began := time.Now()
	err := s.sync(f)
	s.opt.Observer.Synced(time.Since(began))
	return err
}
