package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"strandline/commands"
	"strandline/domain"
)

func allOrNothing(s suite) {
	store := s.open()
	s.append(store, "thing-1", domain.Any, record())
	before := s.head(store)
	s.refused(store, "thing-1", domain.Exactly(7), domain.Exactly(0), records(100)...)
	if s.head(store) != before {
		s.Error("a refused append left something")
	}
	ctx, cancel := context.WithCancel(s.Context())
	var readers sync.WaitGroup
	readers.Go(func() { s.watchHundreds(ctx, store) })
	for range 20 {
		s.append(store, "hundred-1", domain.Any, records(100)...)
	}
	cancel()
	readers.Wait()
	if got := len(s.stream(store, "hundred-1")); got != 2000 {
		s.Errorf("%d records; want 2000", got)
	}
}

// watchHundreds reads a stream of appends of 100 and fails when it sees a part of one.
func (s suite) watchHundreds(ctx context.Context, store commands.EventStore) {
	for ctx.Err() == nil {
		rs, err := collect(store.ReadStream(ctx, "hundred-1", 0, 0, commands.Forwards))
		if err == nil && len(rs)%100 != 0 {
			s.Errorf("a reader saw %d records; want hundreds", len(rs))
		}
		all, err := collect(store.ReadAll(ctx, domain.Position{}, 0, commands.Forwards))
		if err == nil && len(all)%100 != 1 {
			s.Errorf("a reader of all saw %d records; want one and hundreds", len(all))
		}
	}
}

func allOrNothingAfterCrash(s suite) {
	instance := s.open()
	if instance.Kill == nil {
		s.Skip("this store keeps nothing")
	}
	store := instance.EventStore
	for round := range 5 {
		acknowledged := s.appendUntil(store, func() {
			time.Sleep(time.Duration(round) * 3 * time.Millisecond)
			store = instance.Kill()
		})
		for stream, n := range acknowledged {
			got := len(s.stream(store, stream))
			if got < n*100 || got%100 != 0 {
				s.Errorf("%s has %d records after the crash; want hundreds, at least %d", stream, got, n*100)
			}
		}
	}
}

// appendUntil appends hundreds to four streams until crash makes it fail, and says how many each stream surely has.
func (s suite) appendUntil(store commands.EventStore, crash func()) map[string]int {
	var mu sync.Mutex
	counts := map[string]int{}
	var group sync.WaitGroup
	for w := range 4 {
		stream := fmt.Sprintf("hundred-%d", w)
		before := len(s.stream(store, stream)) / 100
		mu.Lock()
		counts[stream] = before
		mu.Unlock()
		group.Go(func() {
			for {
				if _, err := store.Append(s.Context(), stream, domain.Any, records(100)); err != nil {
					return
				}
				mu.Lock()
				counts[stream]++
				mu.Unlock()
			}
		})
	}
	crash()
	group.Wait()
	return counts
}

func restart(s suite) {
	instance := s.open()
	if instance.Reopen == nil {
		s.Skip("this store keeps nothing")
	}
	store := instance.EventStore
	var want []domain.Record
	for round := range 4 {
		for i := range 25 {
			rs := records(1 + i%3)
			for j := range rs {
				rs[j].Data = make([]byte, 700*j)
			}
			s.append(store, fmt.Sprintf("thing-%d", i%7), domain.Any, rs...)
			want = append(want, rs...)
		}
		store = instance.Reopen()
		if got := s.all(store); !slices.Equal(ids(got), ids(want)) || s.head(store) != got[len(got)-1].Position {
			s.Fatalf("round %d: %d records after the restart; want %d", round, len(got), len(want))
		}
	}
	for i := range 7 {
		for revision, r := range s.stream(store, fmt.Sprintf("thing-%d", i)) {
			if found, err := store.Find(s.Context(), r.Stream, r.ID); err != nil || found.Position != r.Position || r.Revision != uint64(revision) {
				s.Errorf("revision %d of %s is not found by its id: %v", revision, r.Stream, err)
			}
		}
	}
}

func backupAndRestore(s suite) {
	instance := s.open()
	if instance.Restore == nil {
		s.Skip("this store has no backup")
	}
	for i := range 60 {
		s.append(instance, fmt.Sprintf("thing-%d", i%5), domain.Any, records(3)...)
	}
	before := s.all(instance)
	restored := instance.Restore()
	s.append(instance, "thing-1", domain.Any, record())
	if got := s.all(restored); !slices.Equal(ids(got), ids(before)) || !slices.Equal(positions(got), positions(before)) {
		s.Fatalf("the restored store has %d records; want the same %d", len(got), len(before))
	}
	if instance.Generation(restored) == instance.Generation(instance.EventStore) {
		s.Error("the restored store has the generation of the first; want another, for time went back in it")
	}
	done := s.append(restored, "thing-1", domain.Exactly(35), record())
	if done.Revision != 36 {
		s.Errorf("revision = %d; want 36", done.Revision)
	}
	for _, store := range []commands.EventStore{restored, instance.EventStore} {
		if n, err := instance.Verify(store); err != nil || n != 181 {
			s.Errorf("verify = %d, %v; want 181 records", n, err)
		}
	}
	if _, err := restored.Find(s.Context(), "thing-1", record().ID); !errors.Is(err, domain.ErrNotFound) {
		s.Errorf("find in the restored store = %v; want not found", err)
	}
}
