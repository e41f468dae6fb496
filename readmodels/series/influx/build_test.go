package influx_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels"
	"strandline/readmodels/series"
	"strandline/readmodels/series/influx"
	"strandline/readmodels/series/influx/influxtest"
)

func at(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }

func sample(position uint64, ms int64, value string) domain.Recorded {
	return domain.Recorded{Position: at(position), Event: observation.Recorded{Subject: "U1", Channel: observation.LAMPSensor,
		Items: []observation.Item{{Time: &ms, Series: "gps", Value: []byte(value)}}}}
}

// history are some events that all kinds of times occur in.
func history(n int) (events []domain.Recorded) {
	for i := range n {
		events = append(events, sample(uint64(i+1), int64(i%7)*1_700_000_000_000, fmt.Sprint(i)))
	}
	return events
}

// testRebuild builds beside what serves, in other batches, and switches over: readers see the same all the time, and what
// served before is gone once nobody follows it any more.
func testRebuild(t *testing.T, s *influxtest.Server) {
	w := newWorld(t, s)
	events := history(60)
	w.Apply(t, events)
	before := w.Dump(t)
	beside, err := w.store.Beside(t.Context(), "origin")
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if err := beside.Write(t.Context(), readmodels.RemoteBatch{Events: events[i : i+1], UpTo: events[i].Position}); err != nil {
			t.Fatal(err)
		}
	}
	q := series.Query{Subject: "U1", Channel: observation.LAMPSensor}
	var seen []string
	for s, err := range w.store.Each(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, string(s.Value)); len(seen) == 20 {
			if err := beside.Serve(t.Context()); err != nil { // in the middle of a reading
				t.Fatal(err)
			}
		}
	}
	if len(seen) != len(events) {
		t.Errorf("a reading during the switch has %d samples, want %d", len(seen), len(events))
	}
	w.serve(beside)
	if after := w.Dump(t); after != before {
		t.Errorf("the rebuilt dump is\n%s\nwant\n%s", after, before)
	}
	w.pass(t)
	if got := w.build.Checkpoint(); got != at(60) {
		t.Errorf("after a restart, what serves is at %s", got)
	}
	other := influx.New(w.config, w.generation, time.Now) // a process that has not opened it
	defer other.Close()
	left, err := other.Beside(t.Context(), "origin")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Dump(t); got != before {
		t.Errorf("beside a build that another process begins, the dump is\n%s\nwant\n%s", got, before)
	}
	if err := left.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Query(t, "SHOW MEASUREMENTS ON strandline"); !strings.Contains(got, `_b3"`) || strings.Contains(got, "_b1") {
		t.Errorf("measurements that are left: %s", got)
	}
	w.open(t, "another origin")
	if got := w.build.Checkpoint(); !got.IsZero() {
		t.Errorf("a build of another origin is at %s", got)
	}
}

// testParked keeps events that cannot be applied, once each, over a restart.
func testParked(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	w := newWorld(t, s)
	var want []readmodels.Parked
	for _, p := range []domain.Position{at(1), {Commit: 9, Prepare: 7}, {Commit: 9, Prepare: 8}} {
		want = append(want, readmodels.Parked{Position: p, Stream: `ext-"a b",=\`, Type: "é.happened", Reason: "it cannot be \"opened\""})
	}
	batch := readmodels.RemoteBatch{Parked: want, UpTo: at(9)}
	w.losing.Store(true)
	if err := w.build.Write(t.Context(), batch); err == nil {
		t.Fatal("a write without its checkpoint has succeeded")
	}
	w.losing.Store(false)
	if got, err := w.build.Parked(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("before the checkpoint there are parked %v, %v", got, err)
	}
	if err := w.build.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	w.Restart(t)
	if got, err := w.build.Parked(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("parked are %v, %v; want %v", got, err, want)
	}
}

// testPoison leaves nothing of an event that cannot be written, however large it is.
func testPoison(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	w := newWorld(t, s)
	beyond, near := int64(observation.MaxTime+1), int64(1_700_000_000_000)
	items := make([]observation.Item, 12_000)
	for i := range items {
		items[i] = observation.Item{Time: &near, Series: "gps", Value: []byte("1")}
	}
	items[len(items)-1].Time = &beyond
	poison := domain.Recorded{Position: at(1), Event: observation.Recorded{Subject: "U1", Channel: observation.LAMPSensor, Items: items}}
	err := w.build.Write(t.Context(), readmodels.RemoteBatch{Events: []domain.Recorded{poison}, UpTo: at(1)})
	if err == nil || errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("a time that cannot be stored: %v", err)
	}
	w.Apply(t, []domain.Recorded{sample(2, near, "2")})
	if got := w.Dump(t); strings.Count(got, "\n") != 1 {
		t.Errorf("the dump is %.500s", got)
	}
}

// testRefusals tells what the server refuses because of how it is set up from what no server takes.
func testRefusals(t *testing.T, s *influxtest.Server) {
	t.Parallel()
	s.Query(t, "CREATE DATABASE short WITH DURATION 1h NAME autogen")
	for bucket, remedy := range map[string]string{"short/autogen": "infinite duration", "none/autogen": "make the bucket"} {
		config, err := influx.ParseConfig("http://" + s.Address + "?bucket=" + url.QueryEscape(bucket))
		if err != nil {
			t.Fatal(err)
		}
		store := influx.New(config, "generation", time.Now)
		defer store.Close()
		build, err := store.Open(t.Context(), "origin")
		if err == nil {
			err = build.Write(t.Context(), readmodels.RemoteBatch{Events: []domain.Recorded{sample(1, 1_700_000_000_000, "1")}, UpTo: at(1)})
		}
		if !errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v, want a remedy: %s", bucket, err, remedy)
		}
	}
}

// testAway tells, soon, that the server is not there: also one that takes connections and says nothing.
func testAway(t *testing.T, s *influxtest.Server) {
	w := newWorldAt(t, s, "http://"+s.Address)
	w.Apply(t, history(3))
	s.Halt()
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	if err := w.write(ctx, []domain.Recorded{sample(4, 4, "4")}); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("writing to a server that is silent: %v", err)
	}
	s.Resume()
	s.Kill(t)
	if err := w.write(t.Context(), []domain.Recorded{sample(4, 4, "4")}); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("writing to a server that is away: %v", err)
	}
	for _, err := range w.store.Each(t.Context(), series.Query{Subject: "U1", Channel: observation.LAMPSensor}) {
		if !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("reading from a server that is away: %v", err)
		}
	}
	if err := latestOf(t, w.store); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("the latest from a server that is away: %v", err)
	}
	s.Go(t)
	w.Apply(t, []domain.Recorded{sample(4, 4, "4")})
	if got := w.Dump(t); strings.Count(got, "\n") != 4 {
		t.Errorf("after kill -9 of the server, the dump is\n%s", got)
	}
}

// testToken is let in with the token, for all that is asked, and says what is wrong without; it repeats no token.
func testToken(t *testing.T, s *influxtest.Server) {
	s.Guard(t, "keeper", "pass-word")
	config := parsed(t, "http://"+s.Address, s)
	for _, wrong := range []string{"", "keeper:wrong-word", "pass-word"} {
		config.Token = wrong
		store := influx.New(config, "guarded", time.Now)
		_, err := store.Open(t.Context(), "origin")
		if !errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), "give a token") || strings.Contains(err.Error(), "-word") {
			t.Errorf("with the token %q: %v", wrong, err)
		}
		store.Close()
	}
	config.Token = "keeper:pass-word"
	w := &world{generation: "guarded", config: config}
	w.open(t, "origin")
	defer w.store.Close()
	w.Apply(t, append(history(10), domain.Recorded{Position: at(11), Event: observation.Retracted{Subject: "U1", Channel: observation.LAMPSensor, Series: "gps", From: new(int64)}}))
	if got := w.Dump(t); got != "" {
		t.Errorf("after a retraction: %s", got)
	}
	looking := influx.New(config, "guarded", time.Now)
	defer looking.Close()
	if got, err := looking.Look(t.Context()); got != at(11) || err != nil {
		t.Errorf("who looks sees %s, %v", got, err)
	}
	beside, err := w.store.Beside(t.Context(), "origin")
	if err == nil {
		err = beside.Serve(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}

// TestDeletePredicate looks at what a server of version 2 is asked for; no such server is at hand.
func TestDeletePredicate(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Token secret" {
			t.Errorf("%s without the token", r.URL)
		}
		switch r.URL.Path {
		case "/ping":
			w.Header().Set("X-Influxdb-Version", "v2.7.11")
		case "/api/v2/delete":
			var b struct{ Start, Stop, Predicate string }
			if err := json.Unmarshal(body, &b); err != nil {
				t.Error(err)
			}
			mu.Lock()
			asked = append(asked, fmt.Sprint(r.URL.Query().Get("org"), " ", r.URL.Query().Get("bucket"), " ", b.Start, " ", b.Stop, " ", b.Predicate))
			mu.Unlock()
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer fake.Close()
	store := influx.New(influx.Config{URL: fake.URL, Org: "o", Bucket: "b", Token: "secret"}, "generation", time.Now)
	defer store.Close()
	build, err := store.Beside(t.Context(), "origin")
	if err != nil {
		t.Fatal(err)
	}
	asked = nil
	from, to := int64(1000), int64(2000)
	err = build.Write(t.Context(), readmodels.RemoteBatch{UpTo: at(2), Events: []domain.Recorded{sample(1, 1500, "1"), {Position: at(2),
		Event: observation.Retracted{Subject: `U"1`, Channel: observation.LAMPSensor, Series: "a b", From: &from, To: &to}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `o b 1970-01-01T00:00:01Z 1970-01-01T00:00:01.999999999Z _measurement="` + buildName + `" AND channel="lamp.sensor" AND subject="U%221" AND series="a%20b"`
	if len(asked) != 1 || asked[0] != want {
		t.Errorf("asked for\n%s\nwant\n%s", strings.Join(asked, "\n"), want)
	}
}

// buildName is that of the first build of the generation "generation".
const buildName = "strandline_series_v1_e661f4c9_b3"

func TestParseConfig(t *testing.T) {
	for text, want := range map[string]influx.Config{
		"http://127.0.0.1:8086?org=o&bucket=b":               {URL: "http://127.0.0.1:8086", Org: "o", Bucket: "b"},
		"https://influx.example.org/sub?bucket=db%2Fautogen": {URL: "https://influx.example.org/sub", Bucket: "db/autogen"},
		"http://127.0.0.1:8086":                              {},
		"http://127.0.0.1:8086?bucket=b&token=secret":        {},
		"http://u:secret@127.0.0.1:8086?bucket=b":            {},
		"http://127.0.0.1:8086?bucket=%22)%20|%3E%20drop":    {},
		"http://127.0.0.1:8086?bucket=%24%7Bx%7D":            {},
		"http://127.0.0.1:8086?bucket=a%0Ab":                 {},
		"udp://127.0.0.1:8089?bucket=b":                      {},
		"127.0.0.1:8086":                                     {},
		"http://127.0.0.1:8086?bucket=b;x":                   {},
	} {
		got, err := influx.ParseConfig(text)
		if got != want || (err != nil) != (want == influx.Config{}) {
			t.Errorf("ParseConfig(%s) = %+v, %v", text, got, err)
		}
		if err != nil && (!errors.Is(err, domain.ErrInvalid) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("ParseConfig(%s): %v", text, err)
		}
	}
}
