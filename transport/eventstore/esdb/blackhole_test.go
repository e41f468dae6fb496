package esdb_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/esdb"
	"strandline/transport/eventstore/memory"
	"strandline/transport/eventstore/storetest"
)

// holeTime is how long nothing comes through.
func holeTime() time.Duration {
	if long() {
		return 12 * time.Second
	}
	return 7 * time.Second
}

// Limits of answers while nothing comes through. A caller waits for half of the first, unless the machine is busy.
const (
	mostWait  = 10 * time.Second
	mostKnown = 4 * time.Second // once it is known that there is nobody: for two look-ups of the head, one after the other
)

// TestBlackHole has the network swallow everything for a while, with connections left open and new ones taken; then what was
// swallowed arrives after all, or the connections are reset; or only those connections are affected that there are, for ever.
// Fifty callers who wait for ever are answered all the time, those
// who come late at once; all of it works again by itself afterwards; what was appended is there once, what was not appended
// for sure is there once at most, and a follower sees just that.
func TestBlackHole(t *testing.T) {
	server := serve(t, memory.New(), time.Now)
	before := runtime.NumGoroutine()
	var crowds []*crowd
	for _, name := range []string{"arrives", "reset", "forgotten"} {
		c := storetest.NewCable(t, server.address)
		crowds = append(crowds, newCrowd(t, name, c, connect(t, "esdb://"+c.Address+"?tls=false")))
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, c := range crowds {
		all.Go(func() { c.run(ctx) })
	}
	time.Sleep(500 * time.Millisecond)
	for _, c := range crowds {
		c.hole(time.Now())
		if c.name == "forgotten" {
			c.cable.Forget()
		} else {
			c.cable.Die()
		}
	}
	time.Sleep(holeTime())
	for _, c := range crowds {
		if c.name == "reset" {
			c.cable.Cut()
		}
		c.cable.Revive()
	}
	var waiting sync.WaitGroup
	for _, c := range crowds {
		waiting.Go(func() { c.recover(time.Now()) })
	}
	waiting.Wait()
	stop()
	all.Wait()
	for _, c := range crowds {
		c.check()
		c.store.Close()
		c.cable.Cut() // the server does not know yet that nobody is there
	}
	noMoreThan(t, before)
}

// TestForgottenFollower: somebody who only follows, whose connection is dead without a word, hears of what happens later
// nonetheless.
func TestForgottenFollower(t *testing.T) {
	if !long() {
		t.Skip("it takes as long as gRPC needs to notice: STRANDLINE_DRILL=long runs it")
	}
	server := serve(t, memory.New(), time.Now)
	c := storetest.NewCable(t, server.address)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	came := make(chan struct{}, 2)
	go func() {
		for batch, err := range connect(t, "esdb://"+c.Address+"?tls=false").Follow(ctx, domain.Position{}) {
			if err == nil && len(batch) > 0 {
				came <- struct{}{}
			}
		}
	}()
	store := connect(t, "esdb://"+server.address+"?tls=false")
	for n := range byte(2) {
		if _, err := store.Append(ctx, "thing-1", domain.Any, []domain.Record{record(n)}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		select {
		case <-came:
			t.Logf("event %d came after %s", n, time.Since(began).Round(time.Millisecond))
		case <-ctx.Done():
			t.Fatalf("event %d has not come", n)
		}
		time.Sleep(100 * time.Millisecond)
		c.Forget()
	}
}

// crowd is many who use a store without end.
type crowd struct {
	t     *testing.T
	name  string
	cable *storetest.Cable
	store *esdb.Store

	mu       sync.Mutex
	dead     time.Time
	answered map[string]time.Time // when a caller was served last
	slowest  map[string]time.Duration
	known    time.Duration // the slowest of those who came when it had to be known
	refused  int
	sure     map[domain.ID]bool // events that may be there; true: that are
	seen     map[domain.ID]int
	last     domain.Position
}

func newCrowd(t *testing.T, name string, c *storetest.Cable, s *esdb.Store) *crowd {
	return &crowd{t: t, name: name, cable: c, store: s, answered: map[string]time.Time{}, slowest: map[string]time.Duration{},
		sure: map[domain.ID]bool{}, seen: map[domain.ID]int{}}
}

func (c *crowd) hole(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = at
}

// run has everybody call until ctx ends. The calls themselves are waited for.
func (c *crowd) run(ctx context.Context) {
	var group sync.WaitGroup
	lasting := context.WithoutCancel(ctx)
	for n := range byte(10) {
		each := map[string]func() error{
			"append to a revision": c.appender(n, true), "append": c.appender(n, false),
			"read": func() error {
				for _, err := range c.store.ReadStream(lasting, c.stream(0, true), 0, 10, commands.Forwards) {
					if err != nil && !errors.Is(err, domain.ErrNoStream) {
						return err
					}
				}
				return nil
			},
			"read all": func() error {
				for _, err := range c.store.ReadAll(lasting, domain.Position{}, 10, commands.Backwards) {
					if err != nil {
						return err
					}
				}
				return nil
			},
			"head": func() error { _, err := c.store.Head(lasting); return err },
		}
		for kind, call := range each {
			group.Go(func() { c.caller(ctx, fmt.Sprint(kind, " ", n), call) })
		}
	}
	group.Go(func() { c.follow(ctx) })
	group.Wait()
}

// caller calls again and again, and notes how long that takes.
func (c *crowd) caller(ctx context.Context, name string, call func() error) {
	for ctx.Err() == nil {
		began := time.Now()
		err := call()
		c.note(name, began, err)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *crowd) note(name string, began time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	took := time.Since(began)
	kind := strings.TrimRight(name, " 0123456789")
	c.slowest[kind] = max(c.slowest[kind], took)
	switch {
	case err == nil:
		c.answered[name] = time.Now()
	case !errors.Is(err, domain.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded):
		c.t.Errorf("%s: %s: %v; want unavailable", c.name, name, err)
	default:
		c.refused++
		if began.Sub(c.dead) > 6*time.Second {
			c.known = max(c.known, took)
		}
	}
}

func (c *crowd) stream(n byte, exact bool) string { return fmt.Sprintf("%s-%d%t", c.name, n, exact) }

// appender appends events, one after the other. If it says which revision it expects, it repeats what it could not do.
func (c *crowd) appender(n byte, exact bool) func() error {
	count, expected := 0, domain.Any
	if exact {
		expected = domain.NoStream
	}
	return func() error {
		r := record(n)
		copy(r.ID[:4], c.name)
		r.ID[4], r.ID[12], r.ID[13] = c.stream(n, exact)[len(c.name)+2], byte(count>>8), byte(count)
		c.mu.Lock()
		c.sure[r.ID] = false
		c.mu.Unlock()
		done, err := c.store.Append(context.Background(), c.stream(n, exact), expected, []domain.Record{r})
		if err == nil || !exact {
			count++
		}
		if err != nil {
			return err
		}
		if exact {
			expected = domain.Exactly(done.Revision)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sure[r.ID] = true
		return nil
	}
}

func (c *crowd) follow(ctx context.Context) {
	for batch, err := range c.store.Follow(ctx, domain.Position{}) {
		if err != nil {
			return
		}
		c.mu.Lock()
		for _, r := range batch {
			c.seen[r.ID]++
			c.last = r.Position
		}
		c.mu.Unlock()
	}
}

// recover waits until everybody has been served again, and the follower has come to the end.
func (c *crowd) recover(back time.Time) {
	everybody := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, at := range c.answered {
			if at.Before(back) {
				return false
			}
		}
		return len(c.answered) == 50
	}
	for ; !everybody(); time.Sleep(10 * time.Millisecond) {
		if time.Since(back) > 20*time.Second {
			c.t.Errorf("%s: 20 s after the network came back not everybody is served", c.name)
			return
		}
	}
	served := time.Since(back)
	head, err := c.store.Head(c.t.Context())
	if err != nil {
		c.t.Error(err)
	}
	for reached := false; !reached; time.Sleep(10 * time.Millisecond) {
		c.mu.Lock()
		reached = !c.last.Before(head)
		c.mu.Unlock()
		if time.Since(back) > 30*time.Second {
			c.t.Errorf("%s: 30 s after the network came back the follower has seen %s of %s", c.name, c.last, head)
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t.Logf("%s: slowest answers %v, of late callers %s; %d refused; all served %s after, followed %s after", c.name, c.slowest, c.known, c.refused,
		served.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
}

// check holds that nobody waited for too long, and that all is there once.
func (c *crowd) check() {
	for kind, took := range c.slowest {
		if took > mostWait {
			c.t.Errorf("%s: %s was answered after %s", c.name, kind, took)
		}
	}
	if c.known > mostKnown {
		c.t.Errorf("%s: who came late was answered after %s", c.name, c.known)
	}
	there := map[domain.ID]int{}
	for r, err := range c.store.ReadAll(c.t.Context(), domain.Position{}, 0, commands.Forwards) {
		if err != nil {
			c.t.Fatal(err)
		}
		if !strings.HasPrefix(r.Stream, c.name) {
			continue
		}
		there[r.ID]++
		if n := c.seen[r.ID]; n > 1 || n == 0 && !c.last.Before(r.Position) {
			c.t.Errorf("%s: the follower saw event %s %d times", c.name, r.ID, n)
		}
	}
	for id, sure := range c.sure {
		if n := there[id]; n > 1 || sure && n != 1 {
			c.t.Errorf("%s: event %s is there %d times, appended for sure: %t", c.name, id, n, sure)
		}
	}
}
