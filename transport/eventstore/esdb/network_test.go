package esdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/memory"
)

// cable stands between a client and a server: it can be cut, and it can go dead, so that nothing comes through and nobody
// is told.
type cable struct {
	address string
	to      string

	mu    sync.Mutex
	alive chan struct{} // closed while it is not dead
	ends  []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{address: l.Addr().String(), to: to, alive: make(chan struct{})}
	close(c.alive)
	var carrying sync.WaitGroup
	carrying.Go(func() { c.accept(l, &carrying) })
	t.Cleanup(func() { l.Close(); c.revive(); c.cut(); carrying.Wait() })
	return c
}

func (c *cable) accept(l net.Listener, carrying *sync.WaitGroup) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		c.mu.Lock()
		c.ends = append(c.ends, near, far)
		c.mu.Unlock()
		carrying.Go(func() { c.carry(near, far) })
		carrying.Go(func() { c.carry(far, near) })
	}
}

func (c *cable) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(to, through{c, from}) // it ends when it is cut
}

// through reads what comes through a cable.
type through struct {
	*cable
	net.Conn
}

func (r through) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	alive := r.alive
	r.mu.Unlock()
	<-alive
	return n, err
}

func (c *cable) die() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alive = make(chan struct{})
}

func (c *cable) revive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.alive:
	default:
		close(c.alive)
	}
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		end.Close()
	}
	c.ends = nil
}

// TestDeadCable lets the network go dead: everybody is answered within his time, and once it is alive again everything is
// as it was, with each event there once.
func TestDeadCable(t *testing.T) {
	server := serve(t, memory.New(), time.Now)
	c := newCable(t, server.address)
	store := connect(t, "esdb://"+c.address+"?tls=false")
	if _, err := store.Append(t.Context(), "thing-1", domain.NoStream, []domain.Record{record(1)}); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	c.die()
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
	c.revive()
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
	c := newCable(t, server.address)
	store := connect(t, "esdb://"+c.address+"?tls=false")
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
				c.cut()
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
	for _, tt := range []struct {
		name string
		away func(*server, *cable)
	}{
		{"gone", func(s *server, _ *cable) { s.kill() }},
		{"silent", func(_ *server, c *cable) { c.die() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, memory.New(), time.Now)
			c := newCable(t, server.address)
			store := connect(t, "esdb://"+c.address+"?tls=false&defaultDeadline=500")
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
