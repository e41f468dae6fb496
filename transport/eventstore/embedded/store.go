package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/files"
)

// Options set up a store. The zero value is what a server needs.
type Options struct {
	SegmentSize int64            // bytes of a segment file, by default 64 MiB
	MaxAppend   int              // greatest sum of the data of one append, by default 1 MiB
	QueueBytes  int              // how much may wait to be written, and the size of the largest group; by default 4 MiB
	VerifyRate  int64            // bytes a second that are verified in the background, by default 8 MiB; negative: none
	NoSync      bool             // do not wait for the disk: for measuring only
	Clock       func() time.Time // by default time.Now
	Logger      *slog.Logger     // by default nothing is logged
	Random      io.Reader        // for the ids of store and generation, by default crypto/rand
	Observer    Observer         // by default nobody is told
}

func (o Options) withDefaults() Options {
	o.SegmentSize = min(cmp.Or(o.SegmentSize, 64<<20), segmentMax)
	o.MaxAppend = min(cmp.Or(o.MaxAppend, 1<<20), 1<<28)
	o.QueueBytes = cmp.Or(o.QueueBytes, 4<<20)
	o.VerifyRate = cmp.Or(o.VerifyRate, 8<<20)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return o
}

// Store is an open log. It implements commands.EventStore.
type Store struct {
	sys      files.System
	opt      Options
	log      *slog.Logger
	lock     files.File
	manifest manifest

	segments *catalogue
	index    *index
	heads    *heads
	queue    *queue
	tail     tail
	spare    *spare
	durable  atomic.Pointer[durable]
	grown    signal // the watermark has moved
	groups   atomic.Int64
	extent   atomic.Int64 // of the active segment: where its last group ends
	writing  atomic.Int64 // since when a group is being written, in ns since 1970; 0 while none is
	damages  atomic.Int64
	cramped  atomic.Bool // there is no space for the index
	full     atomic.Bool // there was no space for the latest group
	tables   sync.Mutex  // held while a table of offsets is opened or made
	repairs  sync.Mutex  // held while runs are made anew

	hash func(stream string) uint64 // streamHash, but for tests of collisions

	failure  atomic.Pointer[error]
	failed   chan struct{} // closed when failure is set
	closing  chan struct{}
	closeOne sync.Once
	closeErr error
	workers  sync.WaitGroup
}

var _ commands.EventStore = (*Store)(nil)

// durable is how far the log is on disk.
type durable struct {
	position uint64
}

var (
	errFull   = fmt.Errorf("%w: the disk has no room for the log to grow: make some, and it goes on", domain.ErrUnavailable)
	errClosed = fmt.Errorf("%w: the event store is closed", domain.ErrUnavailable)
	errLocked = fmt.Errorf("%w: the data folder is in use by another Strandline server: stop that one, or give this one a folder of its own", domain.ErrUnavailable)
)

const lockName = "lock"

// Open opens the store that sys holds, or founds one where sys is empty, and recovers from whatever stopped it last.
// It fails if another process has it open, if a newer version wrote it, and with domain.ErrDamaged, naming the positions,
// if something that was durable cannot be read.
func Open(sys files.System, opt Options) (*Store, error) {
	return open(sys, opt, streamHash)
}

func open(sys files.System, opt Options, hash func(string) uint64) (*Store, error) {
	opt = opt.withDefaults()
	lock, err := takeLock(sys)
	if err != nil {
		return nil, err
	}
	s := &Store{
		sys: sys, opt: opt, log: opt.Logger, lock: lock, hash: hash,
		heads:   newHeads(),
		queue:   newQueue(opt.QueueBytes),
		failed:  make(chan struct{}),
		closing: make(chan struct{}),
	}
	s.spare = &spare{sys: sys, log: opt.Logger, sync: s.sync, fail: s.fail, size: opt.SegmentSize, target: make(chan int64, 1)}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// start recovers and sets the workers going.
func (s *Store) start() (err error) {
	if s.manifest, err = openManifest(s.sys, s.opt); err != nil {
		return err
	}
	c, err := s.recover()
	if err != nil {
		return err
	}
	if c.segment == nil { // the first segment, too, is better for being prepared; it takes a moment, once
		s.spare.fill(s.opt.SegmentSize, 0, s.closing)
	}
	s.workers.Go(func() { s.spare.run(s.closing) })
	s.workers.Go(c.run)
	s.workers.Go(s.flush)
	s.workers.Go(s.merge)
	s.workers.Go(s.verify)
	return nil
}

// takeLock keeps other processes out.
func takeLock(sys files.System) (files.File, error) {
	f, err := sys.Open(lockName, false)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = sys.Open(lockName, true)
		if errors.Is(err, fs.ErrExist) {
			f, err = sys.Open(lockName, false)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the lock of the log: %w", err)
	}
	if err := f.Lock(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w (%w)", errLocked, err)
	}
	return f, nil
}

// Close finishes the appends that were accepted, writes the last watermark and lets the folder go. Reads and followers
// end with an error.
func (s *Store) Close() error {
	s.closeOne.Do(func() {
		s.queue.refuse(errClosed)
		close(s.closing)
		s.workers.Wait()
		s.segments.close()
		s.index.close()
		s.closeErr = errors.Join(s.settle(), s.lock.Close())
	})
	return s.closeErr
}

// settle notes a clean stop in store.json, where its absence would mean something.
func (s *Store) settle() error {
	if !s.manifest.Unsafe || s.Err() != nil {
		return nil
	}
	for _, g := range s.segments.all() {
		if err := syncFile(s.sys, g.name()); err != nil {
			return err
		}
	}
	m := s.manifest
	m.Unsafe = false
	return m.write(s.sys)
}

func syncFile(sys files.System, name string) error {
	f, err := sys.Open(name, false)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// fail stops the store for good.
func (s *Store) fail(cause error) error {
	err := fmt.Errorf("%w: %w; look at the disk, then start the server again", domain.ErrStoreFailed, cause)
	if s.failure.CompareAndSwap(nil, &err) {
		s.log.Error("the event store has stopped; what is durable can still be read", "cause", cause.Error())
		s.queue.refuse(err)
		close(s.failed)
	}
	return s.Err()
}

// Failed is closed when a write or a sync has failed, and nothing can be appended any more.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err says why the store has stopped, nil if it has not.
func (s *Store) Err() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// ID is drawn when a store is founded. Its backups have it, too.
func (s *Store) ID() domain.ID { return s.manifest.ID }

// Generation changes whenever the log may have lost events that others have seen.
func (s *Store) Generation() domain.ID { return s.manifest.Generation }

// Head implements commands.EventStore.
func (s *Store) Head(ctx context.Context) (domain.Position, error) {
	if err := s.usable(ctx); err != nil {
		return domain.Position{}, err
	}
	return positionOf(s.watermark()), nil
}

// watermark is the last durable position.
func (s *Store) watermark() uint64 { return s.durable.Load().position }

// usable fails once ctx has ended or the store is closed.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closing:
		return errClosed
	default:
		return nil
	}
}
