package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDrillAudit holds the log against a count of what was asked: every answered request has exactly one record, be it
// good, refused, unauthenticated or malformed, and no record is of a request that nobody sent. The server is killed
// again and again just after an answer; a request whose answer was cut off may be on the record or not.
func TestDrillAudit(t *testing.T) {
	rounds, perRound := pick(4, 40), pick(300, 1000)
	data := t.TempDir()
	s := startNode(t, data)
	made := newStudy(t, s, 4)
	counted := &counter{answered: map[string]int{}}
	before := len(recorded(t, s))
	for round := range rounds {
		counted.run(s, made, perRound, round < rounds-1)
		if round < rounds-1 {
			<-s.exited
			s = startNode(t, data)
		}
	}
	records := recorded(t, s)[before:]
	missing, extra, double := counted.compare(records)
	t.Logf("%d requests answered, %d cut off by %d kills: %d missing from the record, %d extra, %d recorded twice",
		len(counted.answered), counted.cut, rounds-1, missing, extra, double)
	if missing != 0 || extra != 0 || double != 0 || len(counted.answered) < rounds*perRound/2 {
		t.Error("want none missing, none extra, none twice")
	}
}

// counter counts what the clients got to see.
type counter struct {
	mu       sync.Mutex
	answered map[string]int // by request id, the status
	cut      int
}

// run sends a mix of requests over eight connections. With kill the server is killed just after an answer.
func (c *counter) run(s *server, made study, requests int, kill bool) {
	var group sync.WaitGroup
	fatal := -1
	if kill {
		fatal = requests/2 + rand.IntN(requests/2)
	}
	for w := range 8 {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for n := w; n < requests; n += 8 {
				if !c.one(s, client, made, n) {
					return
				}
				if n == fatal {
					_ = s.cmd.Process.Kill()
				}
			}
		})
	}
	group.Wait()
	if kill {
		_ = s.cmd.Process.Kill() // if another worker came to its end before
	}
}

// one sends the n-th request of the mix; false if no answer came.
func (c *counter) one(s *server, client *http.Client, made study, n int) bool {
	r := mix(made, n)
	_, _, header, err := s.send(client, r.who, r.method, r.path, r.body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.cut++
		return false
	}
	c.answered[header.Get("Strandline-Request")]++
	return true
}

// asked is a request of the mix.
type asked struct{ who, method, path, body string }

// mix is good, refused, unauthenticated and malformed requests, by turns.
func mix(made study, n int) asked {
	p := made.participants[n%len(made.participants)]
	events := "/participant/" + p + "/sensor_event"
	all := []asked{
		{root, "POST", events, reading(int64(n))},
		{root, "GET", events + "?limit=5", ""},
		{root, "POST", events, `{"timestamp":`},
		{root, "POST", events, "[]"},
		{root, "GET", "/participant/U0000000000/sensor_event", ""},
		{root, "GET", "/nowhere/at/all", ""},
		{root, "GET", "/type/me/parent", ""},
		{"", "GET", "/researcher", ""},
		{"nobody:nothing", "GET", "/researcher", ""},
		{root, "PUT", "/type/" + p + "/attachment/drill/me", fmt.Sprint(n / 20)},
		{root, "GET", "/type/" + p + "/attachment/drill", ""},
		{root, "GET", "/type/" + p + "/attachment/none", ""},
		{root, "POST", "/study/" + made.id + "/sensor", `{"name":"` + fmt.Sprint(n) + `"}`},
		{root, "PUT", "/study/" + made.id, `{"name":"` + strings.Repeat("x", n%3) + `"}`},
		{root, "DELETE", "/activity/doesnotexist0000000", ""},
		{root, "GET", "/strandline/v1/events?limit=3", ""},
		{root, "GET", "/strandline/v1/nothing", ""},
		{"", "GET", "/", ""},
		{root, "POST", "/researcher", `{"name":"audit"}`},
	}
	return all[n%len(all)]
}

// logged is an event as the native API lists it.
type logged struct {
	Position    string
	Type        string
	Correlation string
	Actor       string
	Data        json.RawMessage
	Sentence    string
}

// recorded is the whole log, read as root. The reading itself is not yet in it.
func recorded(t testing.TB, s *server) (events []logged) {
	t.Helper()
	status, text := s.as(t, root, "GET", "/strandline/v1/events", "", "Accept", "application/x-ndjson")
	if status != 200 {
		t.Fatalf("the log: %d %s", status, text)
	}
	for line := range strings.Lines(text) {
		var e logged
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// compare counts answered requests without a record, records of requests that nobody sent beyond those cut off, and
// requests with more than one record: events of a command, or else one access event.
func (c *counter) compare(events []logged) (missing, extra, double int) {
	access, changes := map[string]int{}, map[string]int{}
	for _, e := range events {
		switch {
		case e.Type == "access.ended":
		case strings.HasPrefix(e.Type, "access."):
			access[e.Correlation]++
		default:
			changes[e.Correlation]++
		}
	}
	unanswered := 0
	for id, n := range access {
		if n > 1 || changes[id] > 0 {
			double++
		}
	}
	for _, records := range []map[string]int{access, changes} {
		for id := range records {
			if c.answered[id] == 0 {
				unanswered++
			}
		}
	}
	for id := range c.answered {
		if access[id] == 0 && changes[id] == 0 {
			missing++
		}
	}
	// The log was read as well: by the reading that counted what there was before, which had not ended then.
	return missing, max(0, unanswered-c.cut-1), double
}

// TestDrillStop ends a server while requests are under way: what was answered is kept, and the exit code is 0.
func TestDrillStop(t *testing.T) {
	data := t.TempDir()
	s := startNode(t, data)
	made := newStudy(t, s, 4)
	var promises promises
	var group sync.WaitGroup
	for i, p := range made.participants {
		group.Go(func() { promises.load(s, i, p) })
	}
	time.Sleep(300 * time.Millisecond)
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0\n%s", code, s.log)
	}
	group.Wait()
	s = startNode(t, data)
	promises.checkPlans(t, s)
	promises.checkAll(t, s, made)
	t.Logf("%d events answered before the stop, all found", promises.count())
}
