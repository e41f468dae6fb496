package embedded_test

import (
	"testing"
	"time"

	"strandline/commands"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/eventstore/storetest"
	"strandline/transport/files"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock func() time.Time) storetest.Instance {
		dir := t.TempDir()
		store := openAt(t, dir, embedded.Options{SegmentSize: 1 << 20, Clock: clock})
		return storetest.Instance{
			EventStore: store, MaxAppend: 1 << 20, Dense: true, Remembers: true,
			Extra: []byte{30, 3, 'n', 'e', 'w'},
			Reopen: func() commands.EventStore {
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				store = openAt(t, dir, embedded.Options{SegmentSize: 1 << 20, Clock: clock})
				return store
			},
		}
	})
}

func openAt(t *testing.T, dir string, opt embedded.Options) *embedded.Store {
	t.Helper()
	disk, err := files.NewDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(disk, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}
