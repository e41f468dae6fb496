package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crew is the processes of a fleet while clients use it.
type crew struct {
	*fleet
	client *http.Client

	mu      sync.Mutex
	members map[string]*server // by name
}

// launch starts processes by name; each name begins with the role.
func (f *fleet) launch(names ...string) *crew {
	f.t.Helper()
	c := &crew{fleet: f, client: &http.Client{Timeout: 30 * time.Second}, members: map[string]*server{}}
	for _, name := range names {
		c.relaunch(name)
	}
	return c
}

// relaunch starts a process in the place of one that has ended.
func (c *crew) relaunch(name string, options ...serveOption) {
	c.t.Helper()
	s := c.start(name, strings.TrimRight(name, "0123456789"), options...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[name] = s
}

func (c *crew) member(name string) *server {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[name]
}

// api is one of the two that answer requests, by turns.
func (c *crew) api(n int64) *server { return c.member(fmt.Sprint("api", n&1)) }

// clients write and read until they are told to stop. What is not answered they send again, to the other process, with the
// same key.
type clients struct {
	*crew
	made     study
	next     atomic.Int64
	again    atomic.Int64 // requests that were not answered at first
	refused  atomic.Int64 // answers that something is not to be had at present
	slowest  atomic.Int64 // nanoseconds until a write was answered, through whatever befell the processes
	mu       sync.Mutex
	events   [4]map[int64]bool
	families map[string]bool
}

func (c *crew) clients(made study) *clients {
	l := &clients{crew: c, made: made, families: map[string]bool{}}
	for i := range l.events {
		l.events[i] = map[int64]bool{}
	}
	return l
}

// busy has clients use a new study with four participants, until end is called.
func (c *crew) busy() (load *clients, end func()) {
	c.t.Helper()
	load = c.clients(newStudy(c.t, c.api(0), 4))
	stop := make(chan struct{})
	var running sync.WaitGroup
	for i := range load.made.participants {
		running.Go(func() { load.run(i, stop) })
	}
	return load, func() {
		close(stop)
		running.Wait()
	}
}

// insist sends a request until it is answered.
func (l *clients) insist(n int64, method, path, body string, headers ...string) (answer string, ok bool) {
	began := time.Now()
	for turn := n; time.Since(began) < 2*time.Minute; turn++ {
		status, text, _, err := l.api(turn).send(l.client, root, method, path, body, headers...)
		switch {
		case err == nil && status == http.StatusOK:
			l.slowest.Store(max(l.slowest.Load(), int64(time.Since(began))))
			return text, true
		case err == nil && status < 500:
			l.t.Errorf("%s %s: %d %s", method, path, status, text)
			return "", false
		case err == nil:
			l.refused.Add(1)
		}
		l.again.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
	l.t.Errorf("%s %s has not been answered for two minutes", method, path)
	return "", false
}

// run writes to one participant, and reads each event back from the other process.
func (l *clients) run(i int, stop <-chan struct{}) {
	participant := l.made.participants[i]
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := l.next.Add(1)
		key := []string{"Idempotency-Key", fmt.Sprint("fleet ", n)}
		if n%16 == 0 { // a plan
			name := fmt.Sprint("family ", n)
			if _, ok := l.insist(n, "POST", "/researcher", `{"name":"`+name+`"}`, key...); ok {
				l.mu.Lock()
				l.families[name] = true
				l.mu.Unlock()
			}
			continue
		}
		if _, ok := l.insist(n, "POST", "/participant/"+participant+"/sensor_event", reading(n), key...); !ok {
			return
		}
		l.mu.Lock()
		l.events[i][n] = true
		l.mu.Unlock()
		answer, ok := l.insist(n+1, "GET", fmt.Sprintf("/participant/%s/sensor_event?from=%d&to=%d", participant, n, n+1), "")
		if ok && strings.Count(answer, fmt.Sprintf(`"timestamp":%d,`, n)) != 1 {
			l.t.Errorf("event %d, read from the other process straight after it was answered: %s", n, answer)
		}
	}
}

// check holds that all that was answered is there once, on both.
func (l *clients) check() {
	l.t.Helper()
	for which := range int64(2) {
		s := l.api(which)
		for i, participant := range l.made.participants {
			times := s.times(l.t, participant)
			want := map[int64]int{}
			for n := range l.events[i] {
				want[n] = 1
			}
			if !maps.Equal(times, want) {
				l.t.Errorf("api%d, participant %d: %d events were answered, each once; there are %d: lost, repeated or made up %v",
					which, i, len(want), len(times), differing(times, want))
			}
		}
		l.checkFamilies(s)
	}
}

func differing(got, want map[int64]int) (all []int64) {
	for n := range want {
		if got[n] != want[n] {
			all = append(all, n)
		}
	}
	for n := range got {
		if want[n] == 0 {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// checkFamilies holds that each researcher is there once, with its study.
func (l *clients) checkFamilies(s *server) {
	l.t.Helper()
	_, answer := s.as(l.t, root, "GET", "/researcher", "")
	all, err := list(answer)
	if err != nil {
		l.t.Fatal(err)
	}
	found := map[string]int{}
	for _, r := range all {
		if !strings.HasPrefix(r.Name, "family ") {
			continue
		}
		found[r.Name]++
		_, answer := s.as(l.t, root, "GET", "/researcher/"+r.ID+"/study", "")
		if studies, err := list(answer); err != nil || len(studies) != 1 || studies[0].Name != r.Name {
			l.t.Errorf("researcher %q has the studies %+v, %v; want one", r.Name, studies, err)
		}
	}
	for name := range l.families {
		if found[name] != 1 {
			l.t.Errorf("researcher %q was answered once and is there %d times", name, found[name])
		}
	}
	if len(found) != len(l.families) {
		l.t.Errorf("%d researchers were answered, %d are there", len(l.families), len(found))
	}
}

// TestDrillFleet ends each of many processes in turn while clients use them, with SIGTERM as a restart does and with -9: two
// that answer, two that project, two that relay, the event store and Redis. What was answered is there once, whoever is asked;
// nothing is there that was not.
func TestDrillFleet(t *testing.T) {
	f := newFleet(t)
	f.bell = startRedis(t)
	names := []string{"api0", "api1", "project0", "project1", "relay0", "relay1"}
	c := f.launch(names...)
	load, end := c.busy()
	moment := time.Duration(pick(150, 3000)) * time.Millisecond
	ends := 0
	for range pick(1, 10) {
		for _, name := range names {
			for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
				if how == syscall.SIGTERM && !long() && strings.HasSuffix(name, "1") {
					continue
				}
				time.Sleep(moment)
				c.end(name, how)
				time.Sleep(moment / 2)
				c.relaunch(name)
				ends++
			}
		}
		time.Sleep(moment)
		f.events.kill()
		time.Sleep(moment)
		for _, name := range []string{"api0", "project0", "relay0"} {
			if status, answer := c.member(name).as(t, "", "GET", "/readyz", ""); status != 503 || !strings.Contains(answer, `"part":"log"`) {
				t.Errorf("%s: /readyz without the event store: %d %s", name, status, answer)
			}
		}
		f.events.start()
		time.Sleep(moment)
		f.bell.kill()
		time.Sleep(moment)
		f.bell.start()
		ends += 2
	}
	time.Sleep(2 * moment)
	end()
	c.settled(names)
	load.check()
	t.Logf("%d processes ended under load and started again: %d events and %d plans over two streams answered, each there once on both; "+
		"%d requests were sent again (%d told that something is away), slowest answer %s",
		ends, load.next.Load()-int64(len(load.families)), len(load.families), load.again.Load(), load.refused.Load(), time.Duration(load.slowest.Load()).Round(time.Millisecond))
}

// end ends a process. One that is asked to stop does so in good order.
func (c *crew) end(name string, how syscall.Signal) {
	c.t.Helper()
	s := c.member(name)
	if how == syscall.SIGKILL {
		s.kill()
		return
	}
	if code := s.stop(c.t); code != 0 {
		c.t.Errorf("%s stopped with %d: %s", name, code, s.log)
	}
}

// settled holds that every process has got to the end of the log, and is ready.
func (c *crew) settled(names []string) {
	c.t.Helper()
	for _, name := range names {
		s := c.member(name)
		began := time.Now()
		for {
			status, answer := s.as(c.t, "", "GET", "/readyz", "")
			lag := 0.0
			if !strings.HasPrefix(name, "relay") {
				for _, p := range []string{"documents", "series", "audit"} {
					lag += s.metric(c.t, `strandline_projection_lag_events{projection="`+p+`"}`)
				}
			}
			if status == 200 && lag == 0 {
				break
			}
			if time.Since(began) > 20*time.Second {
				c.t.Errorf("%s: /readyz %d %s, %v events behind", name, status, answer, lag)
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	if n, err := c.bell.client.XLen(c.t.Context(), "strandline:events").Result(); err != nil || n == 0 {
		c.t.Errorf("the stream in Redis holds %d entries, %v", n, err)
	}
}

// TestDrillPlansOfTheKilled kills a process with -9 in the middle of plans over two streams, and does not start it again:
// the other one finishes them, once.
func TestDrillPlansOfTheKilled(t *testing.T) {
	f := newFleet(t)
	c := f.launch("api0", "api1")
	orphans := 0
	for round := 0; orphans == 0 || round < pick(1, 20); round++ {
		if round == 40 {
			t.Fatal("no kill of 40 came in the middle of a plan")
		}
		s := c.member("api0")
		var running sync.WaitGroup
		for i := range 6 {
			running.Go(func() {
				for n := 0; ; n++ {
					if _, _, _, err := s.try(root, "POST", "/researcher", fmt.Sprintf(`{"name":"orphan %d %d %d"}`, round, i, n)); err != nil {
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(150+37*round%100) * time.Millisecond)
		s.kill()
		running.Wait()
		made, done := c.count("api1", "plan.made"), c.count("api1", "plan.done")
		orphans += made - done
		for began := time.Now(); made != done; time.Sleep(100 * time.Millisecond) {
			if time.Since(began) > 30*time.Second {
				t.Fatalf("of %d plans %d are done:\n%s", made, done, c.member("api1").log)
			}
			done = c.count("api1", "plan.done")
		}
		c.relaunch("api0")
	}
	time.Sleep(time.Duration(pick(0, 8000)) * time.Millisecond) // whoever else took one for open
	if made, done, studies := c.count("api0", "plan.made"), c.count("api0", "plan.done"), c.count("api0", "study.added"); made != done || made != studies {
		t.Errorf("%d plans, %d done, %d studies", made, done, studies)
	}
	t.Logf("%d plans that a killed process had left open were finished by another, each once", orphans)
}

// count is how many events of a type there are.
func (c *crew) count(name, typ string) int {
	c.t.Helper()
	n := 0
	for after := ""; ; {
		status, page := c.member(name).as(c.t, root, "GET", "/strandline/v1/events?limit=1000&type="+typ+after, "")
		var found struct {
			Events []struct{ Position string }
			Next   string
		}
		if err := json.Unmarshal([]byte(page), &found); err != nil || status != 200 {
			c.t.Fatalf("GET events: %d %v %.300s", status, err, page)
		}
		n += len(found.Events)
		if found.Next == "" {
			return n
		}
		after = "&after=" + found.Next
	}
}
