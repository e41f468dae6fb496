package embedded_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
)

// TestManySegments appends until runs have been merged twice over, and reads everything in every way, before and after
// a restart.
func TestManySegments(t *testing.T) {
	dir := t.TempDir()
	opt := embedded.Options{SegmentSize: 16 << 10}
	store := openAt(t, dir, opt)
	const streams, appends = 50, 4000
	var mu sync.Mutex
	want := map[string][]domain.ID{}
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range appends / 8 {
				stream := fmt.Sprintf("thing-%d", rng.IntN(streams))
				r := domain.Record{Envelope: domain.Envelope{ID: testID(w, i), Type: "thing.done"}, Data: make([]byte, rng.IntN(400))}
				mu.Lock()
				if _, err := store.Append(context.Background(), stream, domain.Any, []domain.Record{r}); err != nil {
					t.Error(err)
				}
				want[stream] = append(want[stream], r.ID)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for range 2 {
		checkAll(t, store, want, appends)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		store = openAt(t, dir, opt)
	}
}

func checkAll(t *testing.T, store *embedded.Store, want map[string][]domain.ID, total uint64) {
	t.Helper()
	next := uint64(1)
	for r, err := range store.ReadAll(t.Context(), domain.Position{}, 0, commands.Forwards) {
		if err != nil || r.Position.Commit != next {
			t.Fatalf("read all: position %v, %v; want %d", r.Position, err, next)
		}
		next++
	}
	if next != total+1 {
		t.Fatalf("read all: %d records; want %d", next-1, total)
	}
	for r, err := range store.ReadAll(t.Context(), domain.Position{}, 0, commands.Backwards) {
		if next--; err != nil || r.Position.Commit != next {
			t.Fatalf("read all backwards: position %v, %v; want %d", r.Position, err, next)
		}
	}
	for stream, ids := range want {
		i := 0
		for r, err := range store.ReadStream(t.Context(), stream, 0, 0, commands.Forwards) {
			if err != nil || i >= len(ids) || r.ID != ids[i] || r.Revision != uint64(i) {
				t.Fatalf("read %s: revision %d: %v", stream, i, err)
			}
			i++
		}
		if i != len(ids) {
			t.Fatalf("read %s: %d records; want %d", stream, i, len(ids))
		}
		for r, err := range store.ReadStream(t.Context(), stream, ^uint64(0), 0, commands.Backwards) {
			if i--; err != nil || r.ID != ids[i] {
				t.Fatalf("read %s backwards: revision %d: %v", stream, i, err)
			}
		}
		done, err := store.Append(t.Context(), stream, domain.Any, []domain.Record{{Envelope: domain.Envelope{ID: ids[0]}}})
		if err != nil || !done.Repeated || done.Revision != 0 {
			t.Fatalf("append the first of %s again: %+v, %v; want it repeated", stream, done, err)
		}
	}
}

func testID(a, b int) (id domain.ID) {
	binary.LittleEndian.PutUint64(id[:8], uint64(a)+1)
	binary.LittleEndian.PutUint64(id[8:], uint64(b))
	return id
}

func tryOpenAt(dir string) (*embedded.Store, error) {
	disk, err := files.NewDisk(dir)
	if err != nil {
		return nil, err
	}
	return embedded.Open(disk, embedded.Options{})
}
