package esdb_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"strandline/domain"
	"strandline/transport/eventstore/door"
	"strandline/transport/eventstore/memory"
)

func record(n byte) domain.Record {
	return domain.Record{Envelope: domain.Envelope{ID: domain.ID{6: 0x70, 8: 0x80, 14: n, 15: 1}, Type: "thing.done", Version: 1, ContentType: domain.JSON}, Data: []byte("{}")}
}

// slack is what a busy machine may add to a deadline: a caller who hangs, hangs for longer.
const slack = time.Second

// outages are how often and for how long the server is gone.
func outages() (times int, each time.Duration) {
	if long() {
		return 3, 10 * time.Second
	}
	return 2, time.Second
}

// TestServerGoneAndBack kills the server under load and starts it again: every caller is answered within its deadline, a
// follower misses nothing and sees nothing twice, and the goroutines of the broken connections end (defects 1, 2, 4, 8).
func TestServerGoneAndBack(t *testing.T) {
	server := serve(t, memory.New(), time.Now)
	store := connect(t, "esdb://"+server.address+"?tls=false")
	if _, err := store.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	const writers, deadline = 16, time.Second
	ctx, stop := context.WithCancel(t.Context())
	var late, appended, refused atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			stream := fmt.Sprintf("thing-%d", w)
			expected := domain.NoStream
			for n := 0; ctx.Err() == nil; n++ {
				r := record(byte(w))
				r.ID[12], r.ID[13] = byte(n>>8), byte(n)
				began := time.Now()
				limited, cancel := context.WithTimeout(ctx, deadline)
				done, err := store.Append(limited, stream, expected, []domain.Record{r})
				cancel()
				if time.Since(began) > deadline+slack {
					late.Add(1)
				}
				if err != nil {
					refused.Add(1)
					n-- // the same event again: it may be there
					continue
				}
				appended.Add(1)
				expected = domain.Exactly(done.Revision)
			}
		})
	}
	followed := make(chan map[domain.Position]int, 1)
	following, enough := context.WithCancel(t.Context())
	var seen atomic.Int64
	go func() {
		positions := map[domain.Position]int{}
		for batch, err := range store.Follow(following, domain.Position{}) {
			if err != nil {
				break
			}
			for _, r := range batch {
				positions[r.Position]++
				seen.Add(1)
			}
		}
		followed <- positions
	}()
	time.Sleep(300 * time.Millisecond)
	times, away := outages()
	for range times {
		server.kill()
		time.Sleep(away)
		server.start(t)
		back := appended.Load()
		for began := time.Now(); appended.Load() < back+writers; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("ten seconds after the server came back nothing is appended")
			}
		}
	}
	stop()
	group.Wait()
	for began := time.Now(); seen.Load() < appended.Load() && time.Since(began) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
	}
	enough()
	positions := <-followed
	for p, n := range positions {
		if n != 1 {
			t.Errorf("the follower saw %s %d times", p, n)
		}
	}
	if int64(len(positions)) < appended.Load() || late.Load() > 0 {
		t.Errorf("%d appended, %d followed, %d refused, %d callers were answered late", appended.Load(), len(positions), refused.Load(), late.Load())
	}
	t.Logf("%d times away for %s: %d appended, %d refused in time, %d late", times, away, appended.Load(), refused.Load(), late.Load())
	noMoreThan(t, before)
}

// noMoreThan waits until there are no more goroutines than so many.
func noMoreThan(t *testing.T, before int) {
	t.Helper()
	const few = 8 // that the server has for its connections
	for began := time.Now(); runtime.NumGoroutine() > before+few; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines leaked:\n%s", runtime.NumGoroutine()-before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestCloseWhileAway closes a store that callers wait for because its server has gone: they are answered, whatever time
// they have left, and nothing stays behind.
func TestCloseWhileAway(t *testing.T) {
	before := runtime.NumGoroutine()
	server := serve(t, memory.New(), time.Now)
	store := connect(t, "esdb://"+server.address+"?tls=false")
	if _, err := store.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error)
	call := func(f func() error) { go func() { answered <- f() }() }
	for w := range byte(8) {
		call(func() error {
			_, err := store.Append(t.Context(), fmt.Sprintf("thing-%d", w), domain.Exactly(3), []domain.Record{record(w)})
			return err
		})
		call(func() error {
			for _, err := range store.Follow(t.Context(), domain.Position{}) {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range 8 { // the appends are refused: nobody has written that much
		<-answered
	}
	server.kill()
	for w := range byte(8) {
		call(func() error {
			_, err := store.Append(t.Context(), fmt.Sprintf("thing-%d", w), domain.NoStream, []domain.Record{record(w)})
			return err
		})
	}
	time.Sleep(300 * time.Millisecond)
	store.Close()
	for range 16 {
		select {
		case err := <-answered:
			if !errors.Is(err, domain.ErrUnavailable) {
				t.Errorf("a call of a store that has been closed: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a call hangs in a store that has been closed")
		}
	}
	noMoreThan(t, before)
}

// strict is a gate that lets nobody append, and notes what came with the calls.
type strict struct {
	open
	leader chan string
}

func (s strict) Enter(ctx context.Context, _, _ string) (door.Caller, error) {
	if v := metadata.ValueFromIncomingContext(ctx, "requires-leader"); len(v) > 0 {
		select {
		case s.leader <- v[0]:
		default:
		}
	}
	return s, nil
}

func (strict) MayAppend(string) error {
	return fmt.Errorf("%w: nobody may append", domain.ErrForbidden)
}

// TestEarlyRefusal sees why an append was refused before its events had been sent (defect 5), and that the leader is asked
// for (defect 3).
func TestEarlyRefusal(t *testing.T) {
	gate := strict{leader: make(chan string, 1)}
	server := serveWith(t, memory.New(), time.Now, gate)
	store := connect(t, "esdb://"+server.address+"?tls=false")
	large := record(1)
	large.Data = make([]byte, 900<<10)
	for range 20 {
		_, err := store.Append(t.Context(), "thing-1", domain.Any, []domain.Record{large})
		if err == nil || errors.Is(err, domain.ErrInvalid) || !errors.Is(err, domain.ErrUnavailable) {
			t.Fatalf("append without the right to: %v", err)
		}
	}
	large.Data = make([]byte, 2<<20)
	if _, err := store.Append(t.Context(), "thing-1", domain.Any, []domain.Record{large}); !errors.Is(err, domain.ErrAppendTooLarge) {
		t.Errorf("append of 2 MiB: %v", err)
	}
	select {
	case v := <-gate.leader:
		if v != "true" {
			t.Errorf("requires-leader: %s", v)
		}
	default:
		t.Error("no call asked for the leader")
	}
}
