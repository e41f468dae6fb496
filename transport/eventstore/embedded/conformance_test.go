package embedded_test

import (
	"testing"
	"time"

	"strandline/commands"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/eventstore/storetest"
	"strandline/transport/files"
	"strandline/transport/files/faultfs"
)

// TestConformance holds the store to the rules of the port, with segments that are large for what a test appends.
func TestConformance(t *testing.T) { conformance(t, embedded.Options{SegmentSize: 4 << 20}) }

// TestConformanceOfSmallSegments does so with segments so small that every test goes over many of them, and over merged
// runs of the index.
func TestConformanceOfSmallSegments(t *testing.T) {
	conformance(t, embedded.Options{SegmentSize: 4 << 10, MaxAppend: 1 << 20})
}

func conformance(t *testing.T, opt embedded.Options) {
	t.Helper()
	storetest.Run(t, func(t *testing.T, clock func() time.Time) storetest.Instance {
		opt := opt
		opt.Clock = clock
		b := &bench{t: t, opt: opt, sys: faultfs.New(1)}
		b.open()
		t.Cleanup(func() { b.store.Close() })
		return storetest.Instance{
			EventStore: b.store,
			MaxAppend:  1 << 20, Dense: true, Remembers: true,
			Extra:  []byte{100, 3, 'n', 'e', 'w', 200, 1, 0}, // two fields that this version does not know
			Reopen: b.reopen, Kill: b.kill, Restore: b.restore,
			Generation: func(s commands.EventStore) string { return s.(*embedded.Store).Generation().String() },
			Verify: func(s commands.EventStore) (uint64, error) {
				report, err := s.(*embedded.Store).Verify(t.Context())
				return report.Records, err
			},
		}
	})
}

// bench is a store under test on a file system in memory.
type bench struct {
	t     *testing.T
	opt   embedded.Options
	sys   *faultfs.FS
	store *embedded.Store
}

func (b *bench) open() commands.EventStore {
	b.t.Helper()
	b.store = open(b.t, b.sys, b.opt)
	return b.store
}

func open(t *testing.T, sys files.System, opt embedded.Options) *embedded.Store {
	t.Helper()
	store, err := embedded.Open(sys, opt)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return store
}

func (b *bench) reopen() commands.EventStore {
	b.t.Helper()
	if err := b.store.Close(); err != nil {
		b.t.Fatalf("close: %v", err)
	}
	return b.open()
}

func (b *bench) kill() commands.EventStore {
	b.t.Helper()
	b.sys.Crash()
	b.store.Close() // fails, for there is nothing to write to any more
	b.sys = b.sys.Restart(7)
	return b.open()
}

// restore opens another store on a backup of this one.
func (b *bench) restore() commands.EventStore {
	b.t.Helper()
	backup, restored := faultfs.New(2), faultfs.New(3)
	made, err := b.store.Backup(b.t.Context(), backup, embedded.Copy{}, nil)
	if err != nil {
		b.t.Fatalf("back up: %v", err)
	}
	if err := embedded.Restore(b.t.Context(), backup, made, restored, nil); err != nil {
		b.t.Fatalf("restore: %v", err)
	}
	store := open(b.t, restored, b.opt)
	b.t.Cleanup(func() { store.Close() })
	return store
}

// openAt opens a store in a folder of the machine, until the test ends.
func openAt(t *testing.T, dir string, opt embedded.Options) *embedded.Store {
	t.Helper()
	disk, err := files.NewDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	store := open(t, disk, opt)
	t.Cleanup(func() { store.Close() })
	return store
}
