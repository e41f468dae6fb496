package esdb_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/memory"
	"strandline/transport/eventstore/storetest"
)

// TestDeadCable lets the network go dead: everybody is answered within his time, and once it is alive again everything is
// as it was, with each event there once.
func TestDeadCable(t *testing.T) {
	server := serve(t, memory.New(), time.Now)
	c := storetest.NewCable(t, server.address)
	store := connect(t, "esdb://"+c.Address+"?tls=false")
	if _, err := store.Append(t.Context(), "thing-1", domain.NoStream, []domain.Record{record(1)}); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	c.Die()
	within := func(call func(context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("over a dead cable: %v", err)
		}
		if took := time.Since(began); took > 300*time.Millisecond+slack {
			t.Errorf("answered after %s", took)
		}
	}
	for range 2 {
		within(func(ctx context.Context) error {
			_, err := store.Append(ctx, "thing-1", domain.Exactly(0), []domain.Record{record(2)})
			return err
		})
		within(func(ctx context.Context) error {
			for _, err := range store.ReadStream(ctx, "thing-1", 0, 0, commands.Forwards) {
				return err
			}
			return nil
		})
		within(func(ctx context.Context) error { _, err := store.Head(ctx); return err })
		within(func(ctx context.Context) error { _, err := store.Find(ctx, "thing-1", record(1).ID); return err })
	}
	c.Revive()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done, err := store.Append(ctx, "thing-1", domain.Exactly(0), []domain.Record{record(2)})
	if err != nil || done.Revision != 1 {
		t.Errorf("after it: %+v, %v", done, err)
	}
	if head, err := store.Head(ctx); err != nil || head.Commit != 2 {
		t.Errorf("the head after it: %v, %v", head, err)
	}
	noMoreThan(t, before)
}

// TestCutCable cuts the connection again and again while events are written, read and followed: writers who say what they
// expect get each event in once, and do not notice; readers who have not seen anything yet do not either; the follower sees
// each event once, in order.
func TestCutCable(t *testing.T) {
	server := serve(t, memory.New(), time.Now)
	c := storetest.NewCable(t, server.address)
	store := connect(t, "esdb://"+c.Address+"?tls=false")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const streams, each = 8, 40
	followed := make(chan []domain.Record, 1)
	go func() {
		var seen []domain.Record
		for batch, err := range store.Follow(ctx, domain.Position{}) {
			if seen = append(seen, batch...); err != nil || len(seen) >= streams*each {
				break
			}
		}
		followed <- seen
	}()
	written := make(chan struct{})
	var group sync.WaitGroup
	for w := range byte(streams) {
		group.Go(func() {
			expected, stream := domain.NoStream, fmt.Sprintf("thing-%d", w)
			for n := range byte(each) {
				r := record(w)
				r.ID[13] = n
				done, err := store.Append(ctx, stream, expected, []domain.Record{r})
				if err != nil || done.Revision != uint64(n) {
					t.Errorf("append %d to %s: %+v, %v", n, stream, done, err)
					return
				}
				if found, err := store.Find(ctx, stream, r.ID); err != nil || found.Revision != uint64(n) {
					t.Errorf("find %d in %s: %+v, %v", n, stream, found, err)
				}
				expected = domain.Exactly(done.Revision)
			}
		})
	}
	go func() { group.Wait(); close(written) }()
	cuts := 0
	for busy := true; busy; {
		select {
		case <-written:
			busy = false
		case <-time.After(40 * time.Millisecond):
			if cuts < 20 {
				c.Cut()
				cuts++
			}
		}
	}
	seen := <-followed
	if len(seen) != streams*each {
		t.Fatalf("the follower saw %d events of %d", len(seen), streams*each)
	}
	for i := range seen[1:] {
		if !seen[i].Position.Before(seen[i+1].Position) {
			t.Fatalf("the follower saw %s after %s", seen[i+1].Position, seen[i].Position)
		}
	}
	t.Logf("%d appends over a cable that was cut %d times", streams*each, cuts)
}

// TestCallersWithoutDeadline: whoever waits for ever, as for an append that must not end half-way, is answered nonetheless,
// whether the server is gone or says nothing.
func TestCallersWithoutDeadline(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		away func(*server, *storetest.Cable)
	}{
		{"gone", func(s *server, _ *storetest.Cable) { s.kill() }},
		{"silent", func(_ *server, c *storetest.Cable) { c.Die() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, memory.New(), time.Now)
			c := storetest.NewCable(t, server.address)
			store := connect(t, "esdb://"+c.Address+"?tls=false&defaultDeadline=500")
			if _, err := store.Append(t.Context(), "thing-1", domain.NoStream, []domain.Record{record(1)}); err != nil {
				t.Fatal(err)
			}
			tt.away(server, c)
			ctx := context.WithoutCancel(t.Context())
			for name, call := range map[string]func() error{
				"append to a revision": func() error {
					_, err := store.Append(ctx, "thing-1", domain.Exactly(0), []domain.Record{record(2)})
					return err
				},
				"append": func() error {
					_, err := store.Append(ctx, "thing-1", domain.Any, []domain.Record{record(3)})
					return err
				},
				"head": func() error { _, err := store.Head(ctx); return err },
				"find": func() error { _, err := store.Find(ctx, "thing-1", record(1).ID); return err },
			} {
				answered := make(chan error, 1)
				go func() { answered <- call() }()
				select {
				case err := <-answered:
					if !errors.Is(err, domain.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v; want unavailable", name, err)
					}
				case <-time.After(30 * time.Second):
					t.Fatalf("%s: no answer", name)
				}
			}
		})
	}
}
