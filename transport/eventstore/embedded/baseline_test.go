package embedded_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// baseline is what the store is measured against (decision 28): the physical limit of one file. It is zero-filled in
// advance; one committer takes all that waits, and makes it durable with one write and one sync. It indexes nothing,
// checks nothing and can find nothing again.
type baseline struct {
	file   *os.File
	sync   bool
	offset int64

	mu      sync.Mutex
	waiting []byte
	group   chan struct{} // closed when what waits is durable
	ready   chan struct{}
	done    chan struct{}
	failure error
}

// baselineSize is the size of the file. At its end writing begins again at the start, over blocks that are there.
const baselineSize = 256 << 20

func newBaseline(tb testing.TB, dir string, sync bool) *baseline {
	tb.Helper()
	f, err := os.Create(filepath.Join(dir, "baseline"))
	if err != nil {
		tb.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < baselineSize; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			tb.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		tb.Fatal(err)
	}
	b := &baseline{file: f, sync: sync, group: make(chan struct{}), ready: make(chan struct{}, 1), done: make(chan struct{})}
	go b.commit()
	return b
}

// append adds bytes and returns when they are durable.
func (b *baseline) append(p []byte) error {
	b.mu.Lock()
	b.waiting = append(b.waiting, p...)
	group := b.group
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
	<-group
	return b.failure
}

func (b *baseline) commit() {
	defer close(b.done)
	var spare []byte
	for range b.ready {
		b.mu.Lock()
		bytes, group := b.waiting, b.group
		b.waiting, b.group = spare[:0], make(chan struct{})
		b.mu.Unlock()
		if len(bytes) > 0 {
			if err := b.write(bytes); err != nil {
				b.failure = err
			}
		}
		close(group)
		spare = bytes
	}
}

func (b *baseline) write(p []byte) error {
	if b.offset+int64(len(p)) > baselineSize {
		b.offset = 0
	}
	if _, err := b.file.WriteAt(p, b.offset); err != nil {
		return err
	}
	b.offset += int64(len(p))
	if !b.sync {
		return nil
	}
	return unix.Fdatasync(int(b.file.Fd()))
}

func (b *baseline) close() error {
	close(b.ready)
	<-b.done
	return b.file.Close()
}
