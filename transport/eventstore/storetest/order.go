package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"strandline/commands"
	"strandline/domain"
)

// oneOrder lets 64 writers append while others read and follow. Whatever anyone saw must be a first part of the final
// order: a record that appears before one already seen would be lost to every projection.
func oneOrder(s suite) {
	store := s.open()
	const writers = 64
	each := 12
	if store.Remote {
		each = 4
	}
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	var watchers, appenders sync.WaitGroup
	seen := make([][]domain.Record, 3)
	var done atomic.Bool
	watchers.Go(func() { seen[0] = followAll(ctx, store, 2*writers*each) })
	watchers.Go(func() { seen[1] = poll(ctx, store, &done) })
	watchers.Go(func() { seen[2] = reread(ctx, store, &done) })
	for w := range writers {
		appenders.Go(func() { s.write(store, fmt.Sprintf("thing-%d", w%40), each) })
	}
	appenders.Wait()
	done.Store(true)
	watchers.Wait()
	all := s.all(store)
	if len(all) != 2*writers*each {
		s.Fatalf("%d records; want %d", len(all), 2*writers*each)
	}
	for i := 1; i < len(all); i++ {
		if !all[i-1].Position.Before(all[i].Position) {
			s.Fatalf("position %v follows %v", all[i].Position, all[i-1].Position)
		}
	}
	for i, who := range []string{"the follower", "the poller", "the re-reader"} {
		if len(seen[i]) > len(all) || !slices.Equal(positions(seen[i]), positions(all[:len(seen[i])])) {
			s.Errorf("%s saw another order", who)
		}
	}
	if len(seen[0]) != len(all) || len(seen[1]) != len(all) {
		s.Errorf("the follower saw %d, the poller %d; want %d", len(seen[0]), len(seen[1]), len(all))
	}
}

// write appends pairs and looks for each at once: what is acknowledged can be read, by everyone, in every way.
func (s suite) write(store commands.EventStore, stream string, appends int) {
	for range appends {
		rs := records(2)
		done, err := store.Append(s.Context(), stream, domain.Any, rs)
		if err != nil {
			s.Errorf("append: %v", err)
			return
		}
		if head := s.head(store); head.Before(done.Position) {
			s.Errorf("head %v after position %v was acknowledged", head, done.Position)
		}
		at, err := collect(store.ReadAll(s.Context(), done.All[0], 2, commands.Forwards))
		if err != nil || !slices.Equal(ids(at), ids(rs)) {
			s.Errorf("reading position %v straight after its append = %v, %v", done.All[0], ids(at), err)
		}
		if r, err := store.Find(s.Context(), stream, rs[1].ID); err != nil || r.Position != done.Position || r.Revision != done.Revision {
			s.Errorf("finding an event straight after its append = %v, %v", r.Position, err)
		}
	}
}

func followAll(ctx context.Context, store commands.EventStore, n int) (seen []domain.Record) {
	for batch, err := range store.Follow(ctx, domain.Position{}) {
		seen = append(seen, batch...)
		if err != nil || len(seen) >= n {
			break
		}
	}
	return seen
}

// poll reads on from the last record seen, again and again, as EventStoreDB's projections do.
func poll(ctx context.Context, store commands.EventStore, done *atomic.Bool) (seen []domain.Record) {
	for last := false; ctx.Err() == nil; {
		var from domain.Position
		if len(seen) > 0 {
			from = seen[len(seen)-1].Position
		}
		rs, err := collect(store.ReadAll(ctx, from, 50, commands.Forwards))
		if err != nil {
			return nil
		}
		if len(seen) > 0 && len(rs) > 0 {
			rs = rs[1:]
		}
		seen = append(seen, rs...)
		if last && len(rs) == 0 {
			break
		}
		last = done.Load()
		time.Sleep(100 * time.Microsecond)
	}
	return seen
}

// reread reads everything again and again and returns the longest that it saw, or nothing if a later reading differs.
func reread(ctx context.Context, store commands.EventStore, done *atomic.Bool) (seen []domain.Record) {
	for ctx.Err() == nil && !done.Load() {
		rs, err := collect(store.ReadAll(ctx, domain.Position{}, 0, commands.Forwards))
		if err != nil || len(rs) < len(seen) || !slices.Equal(ids(rs[:len(seen)]), ids(seen)) {
			return []domain.Record{{}}
		}
		seen = rs
		time.Sleep(time.Millisecond)
	}
	return seen
}

func densePositions(s suite) {
	instance := s.open()
	if !instance.Dense {
		s.Skip("this store's positions have gaps")
	}
	for i := range 5 {
		s.append(instance, fmt.Sprintf("thing-%d", i), domain.Any, records(i+1)...)
		s.append(instance, "thing-0", domain.Any)
	}
	for i, r := range s.all(instance) {
		if want := uint64(i + 1); r.Position != (domain.Position{Commit: want, Prepare: want}) {
			s.Errorf("position = %v; want %d", r.Position, want)
		}
	}
}

// caughtUp: an empty batch says that a follower is at the head; it comes again after each time it had fallen behind.
func caughtUp(s suite) {
	store := s.open()
	for range 30 {
		s.append(store, "thing-1", domain.Any, records(20)...)
	}
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	total, rounds := 0, 0
	for batch, err := range store.Follow(ctx, domain.Position{}) {
		if err != nil {
			s.Fatalf("follow: %v in round %d after %d records", err, rounds, total)
		}
		total += len(batch)
		if len(batch) > 0 {
			continue
		}
		if total != 600*(rounds+1) {
			s.Fatalf("caught up after %d records; want %d", total, 600*(rounds+1))
		}
		if rounds++; rounds == 4 {
			return
		}
		for range 30 { // while this follower does not look
			s.append(store, "thing-1", domain.Any, records(20)...)
		}
	}
}

func slowFollower(s suite) {
	store := s.open()
	s.append(store, "thing-1", domain.Any, record())
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	stuck, release := make(chan struct{}), make(chan struct{})
	var seen []domain.Record
	var look sync.Once
	var group sync.WaitGroup
	group.Go(func() {
		for batch, err := range store.Follow(ctx, domain.Position{}) {
			if seen = append(seen, batch...); err != nil || len(seen) >= 4001 {
				return
			}
			look.Do(func() { close(stuck); <-release })
		}
	})
	<-stuck
	began := time.Now()
	for range 200 {
		s.append(store, "thing-1", domain.Any, records(20)...)
	}
	if took := time.Since(began); took > 15*time.Second {
		s.Errorf("200 appends beside a stuck follower took %v", took)
	}
	close(release)
	group.Wait()
	if !slices.Equal(ids(seen), ids(s.all(store))) {
		s.Errorf("the slow follower saw %d records; want all of them in order", len(seen))
	}
}
