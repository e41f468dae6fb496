package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/transport/eventstore/storetest"
)

// TestBlackHoleAtEventStore has the network to the event store swallow everything for a while: fifty clients who keep
// asking are told within ten seconds that it cannot be done now, and when to ask again; then all is as it was, what was
// answered is there once, and the server has no more goroutines than before.
func TestBlackHoleAtEventStore(t *testing.T) {
	events := newStoreServer(t)
	cable := storetest.NewCable(t, events.address)
	s := startNode(t, t.TempDir(), withArgs("--eventstore", "esdb://"+cable.Address+"?tls=false"))
	c := &hurried{t: t, s: s, made: newStudy(t, s, 4), served: map[int]time.Time{}, slowest: map[string]time.Duration{}, sent: map[int64]bool{}}
	transport := &http.Transport{MaxIdleConnsPerHost: 50}
	c.client = &http.Client{Transport: transport, Timeout: 2 * time.Minute}
	defer transport.CloseIdleConnections()
	stop := make(chan struct{})
	var running sync.WaitGroup
	began := time.Now()
	for i := range 50 {
		running.Go(func() { c.run(i, stop) })
	}
	c.all(began, 30*time.Second)
	before := s.metric(t, "go_goroutines")
	cable.Die()
	time.Sleep(time.Duration(pick(7, 12)) * time.Second)
	cable.Revive()
	back := time.Now()
	c.all(back, 30*time.Second)
	recovered := time.Since(back)
	close(stop)
	running.Wait()
	for kind, took := range c.slowest {
		if took > 10*time.Second {
			t.Errorf("%s was answered after %s", kind, took)
		}
	}
	if c.refused == 0 || c.silent > 0 {
		t.Errorf("%d requests were refused, %d of them without Retry-After", c.refused, c.silent)
	}
	c.check()
	after := s.metric(t, "go_goroutines")
	for began := time.Now(); after > before+50 && time.Since(began) < 20*time.Second; time.Sleep(200 * time.Millisecond) {
		after = s.metric(t, "go_goroutines")
	}
	if after > before+50 {
		t.Errorf("%.0f goroutines before, %.0f after", before, after)
	}
	t.Logf("slowest answers %v; %d refused; all served again %s after; %.0f goroutines before, %.0f after",
		c.slowest, c.refused, recovered.Round(time.Millisecond), before, after)
}

// hurried are clients who do not wait for each other.
type hurried struct {
	t      *testing.T
	s      *server
	made   study
	client *http.Client

	mu      sync.Mutex
	served  map[int]time.Time // when a client was served last
	slowest map[string]time.Duration
	refused int
	silent  int            // refused without a word of when to ask again
	sent    map[int64]bool // events that may be there; true: that are
}

// run asks, each client for its own thing, until it is told to stop.
func (c *hurried) run(i int, stop <-chan struct{}) {
	person := c.made.participants[i%4]
	for n := int64(0); ; n++ {
		at := int64(i)*1_000_000 + n
		switch i % 5 {
		case 0, 1:
			c.mu.Lock()
			c.sent[at] = false
			c.mu.Unlock()
			if c.ask(i, "write", "POST", "/participant/"+person+"/sensor_event", reading(at)) {
				c.mu.Lock()
				c.sent[at] = true
				c.mu.Unlock()
			}
		case 2:
			c.ask(i, "read", "GET", "/participant/"+person+"/sensor_event?limit=5", "")
		case 3:
			c.ask(i, "tag", "PUT", "/type/"+person+"/attachment/"+fmt.Sprint("tag", i%2)+"/me", fmt.Sprintf(`{"n":%d}`, at))
		case 4:
			c.ask(i, "log", "GET", "/strandline/v1/events?limit=5", "")
		}
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ask tells whether a request was served.
func (c *hurried) ask(i int, kind, method, path, body string) bool {
	began := time.Now()
	status, answer, header, err := c.s.send(c.client, root, method, path, body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slowest[kind] = max(c.slowest[kind], time.Since(began))
	switch {
	case err == nil && status == http.StatusOK:
		c.served[i] = time.Now()
		return true
	case err == nil && status == http.StatusServiceUnavailable:
		c.refused++
		if header.Get("Retry-After") == "" {
			c.silent++
		}
	default:
		c.t.Errorf("%s %s: %d %s %v", method, path, status, answer, err)
	}
	return false
}

// all waits until all have been served since then.
func (c *hurried) all(since time.Time, within time.Duration) {
	c.t.Helper()
	for ; ; time.Sleep(20 * time.Millisecond) {
		c.mu.Lock()
		n := 0
		for _, at := range c.served {
			if at.After(since) {
				n++
			}
		}
		c.mu.Unlock()
		if n == 50 {
			return
		}
		if time.Since(since) > within {
			c.t.Errorf("%d of 50 clients have been served within %s", n, within)
			return
		}
	}
}

// check holds that what was answered is there once, and what was refused once at most.
func (c *hurried) check() {
	c.t.Helper()
	there := map[int64]int{}
	for _, person := range c.made.participants {
		for at, n := range c.s.times(c.t, person) {
			there[at] += n
		}
	}
	var wrong []string
	for at, sure := range c.sent {
		if n := there[at]; n > 1 || sure && n != 1 {
			wrong = append(wrong, fmt.Sprintf("%d (%d times, answered: %t)", at, n, sure))
		}
	}
	if len(wrong) > 0 {
		c.t.Errorf("lost or repeated events: %s", strings.Join(wrong, ", "))
	}
}
