package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/observation"
	"strandline/domain/registry"
	"strandline/transport/rest"
	"strandline/transport/rest/api"
)

var request = domain.ID{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15, 16}

// some fills a world with forty events, one a second from noon on, in four streams, of four actors, two subjects, two
// types and two requests. The nth event is at position w.positions[n].
func some(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for n := range 40 {
		w.now = noon.Add(time.Duration(n) * time.Second)
		env := domain.Envelope{Stream: fmt.Sprint("things-", n%4), Actor: fmt.Sprint("a", n/10), Subject: fmt.Sprint("s", n%2)}
		if n%5 == 0 {
			env.Correlation = request
		}
		var e domain.Event = added("anna")
		if n%3 == 0 {
			e = registry.Removed{Kind: registry.Study, ID: "anna"}
		}
		w.happenIn(t, env, e)
	}
	return w
}

// filters are queries, and which of the forty events they select.
var filters = []struct {
	query string
	want  func(n int) bool
}{
	{"", func(int) bool { return true }},
	{"stream=things-2", func(n int) bool { return n%4 == 2 }},
	{"stream=things-9", func(int) bool { return false }},
	{"type=study.removed", func(n int) bool { return n%3 == 0 }},
	{"type=study.*", func(n int) bool { return n%3 == 0 }},
	{"type=*", func(int) bool { return true }},
	{"type=*.removed", func(int) bool { return false }},
	{"type=study.removed,researcher.added", func(int) bool { return true }},
	{"type=study.&type=researcher.a*", func(n int) bool { return n%3 != 0 }},
	{"subject=s1", func(n int) bool { return n%2 == 1 }},
	{"actor=a2", func(n int) bool { return n/10 == 2 }},
	{"correlation=" + request.String(), func(n int) bool { return n%5 == 0 }},
	{"from=2026-05-06T12:00:07Z", func(n int) bool { return n >= 7 }},
	{"from=2026-05-06T12:00:06.5Z&to=2026-05-06T12:00:11Z", func(n int) bool { return n >= 7 && n < 11 }},
	{"from=2026-05-06T14:00:07+02:00", func(n int) bool { return n >= 7 }},
	{"from=2026-05-06T14:00:07%2B02:00", func(n int) bool { return n >= 7 }},
	{fmt.Sprint("to=", noon.Add(3*time.Second).UnixMilli()), func(n int) bool { return n < 3 }},
	{"from=2026-05-06&to=2026-05-07", func(int) bool { return true }},
	{"from=2026-05-07", func(int) bool { return false }},
	{"to=2026-05-06", func(int) bool { return false }},
	{"to=-1", func(int) bool { return false }},
	{"stream=things-1&from=2026-05-06T12:00:07Z&to=2026-05-06T12:00:30Z", func(n int) bool { return n%4 == 1 && n >= 7 && n < 30 }},
	{"actor=a1&subject=s0&type=study.removed", func(n int) bool { return n/10 == 1 && n%6 == 0 }},
}

// TestFilters asks for pages and for lines, and begins at every position.
func TestFilters(t *testing.T) {
	w := some(t)
	for _, tt := range filters {
		for from := -1; from < 40; from += 7 {
			after, want := "", []string{}
			if from >= 0 {
				after = w.positions[from].String()
			}
			for n, p := range w.positions {
				if n > from && tt.want(n) {
					want = append(want, p.String())
				}
			}
			query := "?" + tt.query + "&after=" + after
			if p := w.page(t, query, "root"); !slices.Equal(places(p.Events), want) || !p.End {
				t.Errorf("page %s: %v, end %v; want %v", query, places(p.Events), p.End, want)
			}
			if got := places(w.lines(t, query, "root")); !slices.Equal(got, want) {
				t.Errorf("lines %s: %v; want %v", query, got, want)
			}
		}
	}
}

// TestFilteredPagesNeverSkipOrRepeat reads each selection in pages of every size, until it is told that this is all.
func TestFilteredPagesNeverSkipOrRepeat(t *testing.T) {
	w := some(t)
	for _, tt := range filters {
		want := []string{}
		for n, p := range w.positions {
			if tt.want(n) {
				want = append(want, p.String())
			}
		}
		for _, size := range []int{1, 3, 40} {
			got, next := []string{}, ""
			for range 50 {
				p := w.page(t, fmt.Sprintf("?%s&limit=%d&after=%s", tt.query, size, next), "root")
				got, next = append(got, places(p.Events)...), p.Next
				if p.End {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d: %v; want %v", tt.query, size, got, want)
			}
		}
	}
}

func places(events []shown) []string {
	all := []string{}
	for _, e := range events {
		all = append(all, e.Position)
	}
	return all
}

// lines asks for all events of a query, as lines.
func (w *world) lines(t *testing.T, query, who string) (all []shown) {
	t.Helper()
	answer, body := w.send(t, "GET", "/events"+query, who, "", "Accept", "application/x-ndjson")
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("GET /events%s: %d %s", query, answer.StatusCode, body)
	}
	for line := range strings.Lines(body) {
		var e shown
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// TestTheEndOfAPage is said where there was nothing more, and only there.
func TestTheEndOfAPage(t *testing.T) {
	w := some(t)
	for _, tt := range []struct {
		query string
		end   bool
		next  string
	}{
		{"?limit=39", false, w.positions[38].String()},
		{"?limit=40", true, w.positions[39].String()},
		{"?limit=41", true, w.positions[39].String()},
		{"?stream=things-0&limit=10", false, w.positions[36].String()},
		{"?stream=things-0&limit=11", true, w.positions[39].String()},
		{"?actor=nobody", true, ""},
		{"?after=" + w.positions[39].String(), true, ""},
		{"?after=ffffffffffffffff", true, ""},
		{"?after=ffffffffffffffff&from=2026-05-06&stream=things-1", true, ""},
		{"?to=2026-05-06T12:00:10Z", true, w.positions[9].String()},
	} {
		if p := w.page(t, tt.query, "root"); p.End != tt.end || p.Next != tt.next {
			t.Errorf("%s: end %v, next %q; want %v, %s", tt.query, p.End, p.Next, tt.end, tt.next)
		}
	}
}

// TestReadsTellUpToWhere they know what happened.
func TestReadsTellUpToWhere(t *testing.T) {
	w := some(t)
	for _, path := range []string{"/events?limit=1", "/streams/things-1", "/events?follow=true"} {
		if answer, _ := w.send(t, "HEAD", path, "root", ""); answer.Header.Get("Strandline-Position") != w.positions[39].String() {
			t.Errorf("%s tells of %q, want %s", path, answer.Header.Get("Strandline-Position"), w.positions[39])
		}
	}
}

// TestARareSelectionEndsItsPageEarly and is found by going on.
func TestARareSelectionEndsItsPageEarly(t *testing.T) {
	w := newWorld(t)
	w.door.SetScan(1000)
	records := make([]domain.Record, 0, 100)
	for n := range 1050 {
		id := domain.ID{byte(n), byte(n >> 8), byte(n >> 16)}
		records = append(records, domain.Record{Envelope: domain.Envelope{ID: id, Type: "study.added", Version: 1, ContentType: domain.JSON}, Data: []byte(`{}`)})
		if len(records) == 100 || n == 1049 {
			if _, err := w.Append(t.Context(), "many", domain.Any, records); err != nil {
				t.Fatal(err)
			}
			records = records[:0:0]
		}
	}
	w.happenIn(t, domain.Envelope{Stream: "rare", Actor: "needle"}, added("anna"))
	p := w.page(t, "?actor=needle", "root")
	if len(p.Events) != 0 || p.End {
		t.Errorf("the first page has %d events, end %v; want none, and no end", len(p.Events), p.End)
	}
	if p = w.page(t, "?actor=needle&after="+p.Next, "root"); len(p.Events) != 1 || !p.End {
		t.Errorf("the second page has %d events, end %v; want one, and the end", len(p.Events), p.End)
	}
	if p = w.page(t, "?stream=rare", "root"); len(p.Events) != 1 || !p.End {
		t.Errorf("the page of its stream has %d events, end %v; want one, and the end", len(p.Events), p.End)
	}
}

// TestWhatCannotBeOpened is shown without data, to those who may open what it is about.
func TestWhatCannotBeOpened(t *testing.T) {
	w := newWorld(t)
	recorded := observation.Recorded{Subject: "anna", Channel: "c"}
	for _, key := range []string{"", "gone", "broken"} {
		w.happenIn(t, domain.Envelope{Stream: "o" + key, Actor: "root", Subject: "anna", Key: key}, recorded)
	}
	for who, want := range map[string]int{"root": 3, "anna": 3, "ben": 0} {
		p := w.page(t, "", who)
		if len(p.Events) != want {
			t.Errorf("%s sees %+v, want %d events", who, p.Events, want)
		}
		for i, e := range p.Events {
			if e.Sealed != (i > 0) || (e.Data == nil) != (i > 0) || e.Sentence == "" {
				t.Errorf("event %d: %+v", i, e)
			}
		}
	}
}

// TestStreams reads a stream from both ends.
func TestStreams(t *testing.T) {
	w := some(t)
	for _, tt := range []struct {
		query string
		want  []uint64
		next  string
		end   bool
	}{
		{"", []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "10", true},
		{"?limit=3", []uint64{0, 1, 2}, "3", false},
		{"?from=3&limit=7", []uint64{3, 4, 5, 6, 7, 8, 9}, "10", true},
		{"?from=10", []uint64{}, "", true},
		{"?from=400", []uint64{}, "", true},
		{"?direction=backwards&limit=2", []uint64{9, 8}, "7", false},
		{"?direction=backwards&from=1", []uint64{1, 0}, "", true},
		{"?direction=backwards&from=1&limit=1", []uint64{1}, "0", false},
		{"?direction=forwards&from=9", []uint64{9}, "10", true},
	} {
		status, body := w.ask(t, "GET", "/streams/things-1"+tt.query, "root")
		var p struct {
			Events []shown
			Next   json.Number
			End    bool
		}
		if err := json.Unmarshal([]byte(body), &p); status != 200 || err != nil {
			t.Fatalf("%s: %d %s, %v", tt.query, status, body, err)
		}
		got := []uint64{}
		for _, e := range p.Events {
			got = append(got, e.Revision)
		}
		if !slices.Equal(got, tt.want) || p.Next.String() != tt.next || p.End != tt.end {
			t.Errorf("%s: %v, next %s, end %v; want %v, %s, %v", tt.query, got, p.Next, p.End, tt.want, tt.next, tt.end)
		}
	}
	if _, body := w.send(t, "GET", "/streams/things-1?direction=backwards&limit=4", "root", "", "Accept", "application/x-ndjson"); strings.Count(body, "\n") != 4 ||
		!strings.Contains(body, `"revision":9`) || !strings.Contains(body, `"revision":6`) {
		t.Errorf("lines: %s", body)
	}
}

// TestStreamsAreForThoseWhoMayOpenThem gives the same answer for a stream that nobody wrote.
func TestStreamsAreForThoseWhoMayOpenThem(t *testing.T) {
	w := newWorld(t)
	name := "odd/näme with 100% #?"
	w.happenIn(t, domain.Envelope{Stream: name, Actor: "root"}, added("ben"))
	w.happenIn(t, domain.Envelope{Stream: name, Actor: "root"}, added("anna"))
	path := "/streams/" + url.PathEscape(name)
	for _, tt := range []struct {
		path, who string
		status    int
	}{
		{path, "root", 200}, {path, "anna", 200}, {path, "ben", 404},
		{"/streams/nothing", "root", 404}, {"/streams/%ff", "root", 404}, {"/streams/" + strings.Repeat("x", 5000), "root", 404},
		{path + "?from=1&direction=backwards", "ben", 404},
	} {
		if status, body := w.ask(t, "GET", tt.path, tt.who); status != tt.status {
			t.Errorf("%.80s as %s: %d %s, want %d", tt.path, tt.who, status, body, tt.status)
		}
	}
	_, hidden := w.ask(t, "GET", path, "ben")
	_, absent := w.ask(t, "GET", "/streams/nothing", "ben")
	if a, b := withoutInstance(t, hidden), withoutInstance(t, absent); a != b {
		t.Errorf("a hidden stream answers %s, one that is not there %s", a, b)
	}
}

func withoutInstance(t *testing.T, problem string) string {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(problem), &p); err != nil {
		t.Fatal(err)
	}
	delete(p, "instance")
	return fmt.Sprint(p)
}

// TestAFollowerHears nothing but what it selected, and a sign of life when that is nothing.
func TestAFollowerHears(t *testing.T) {
	w := newWorld(t)
	w.door.SetPulse(20 * time.Millisecond)
	w.happenIn(t, domain.Envelope{Stream: "x", Actor: "a"}, added("anna"))
	lines, _ := w.open(t, "?follow=true&actor=b&stream=x", "root")
	beats := 0
	for beats < 2 && lines.Scan() {
		if lines.Text() != "" {
			t.Fatalf("heard %s", lines.Text())
		}
		beats++
	}
	w.happenIn(t, domain.Envelope{Stream: "y", Actor: "b"}, added("anna"))
	w.happenIn(t, domain.Envelope{Stream: "x", Actor: "b"}, added("anna"))
	if e := hear(t, lines); e.Position != w.positions[2].String() {
		t.Errorf("heard %+v, want the event at %s", e, w.positions[2])
	}
}

// hear is the next line that is no sign of life.
func hear(t *testing.T, lines *bufio.Scanner) (e shown) {
	t.Helper()
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) > 0 {
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			return e
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
	return e
}

// TestASilentFollowerIsAskedWhoItIs at every sign of life: where nothing happens, nothing else would end it.
func TestASilentFollowerIsAskedWhoItIs(t *testing.T) {
	w := newWorld(t)
	w.door.SetPulse(20 * time.Millisecond)
	lines, _ := w.open(t, "?follow=true", "anna")
	w.mu.Lock()
	w.gone = true
	w.mu.Unlock()
	if e := hear(t, lines); e.Error == "" {
		t.Errorf("heard %+v, want that the credential is unknown", e)
	}
	w.waitFor(t, access.Ended{})
}

// TestAFollowerEndsAtItsTime when something is recorded after it.
func TestAFollowerEndsAtItsTime(t *testing.T) {
	w := newWorld(t)
	lines, _ := w.open(t, "?follow=true&from=2026-05-06T12:00:01Z&to=2026-05-06T12:00:02Z", "root")
	for n := range 3 {
		w.now = noon.Add(time.Duration(n) * time.Second)
		w.happen(t, added("anna"))
	}
	if e := hear(t, lines); e.Position != w.positions[1].String() {
		t.Errorf("heard %+v, want the event at %s", e, w.positions[1])
	}
	if lines.Scan() {
		t.Errorf("heard %s after the end", lines.Text())
	}
}

// TestOnlySoManyLinesAtATime turns others away, and lets them in when there is room.
func TestOnlySoManyLinesAtATime(t *testing.T) {
	t.Parallel() // it waits most of the time
	w := newWorld(t)
	w.door.SetPulse(20 * time.Millisecond)
	free := func() {}
	for range api.MostStreams {
		lines, body := w.open(t, "?follow=true", "root")
		lines.Scan() // a sign of life
		free = func() { body.Close() }
	}
	if lines, _ := w.open(t, "", "root"); hear(t, lines).Error == "" {
		t.Error("one more than there is room for was let in")
	}
	free()
	for range 100 {
		if len(w.lines(t, "", "root")) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("nobody was let in after one had gone")
}

// TestLongHistoriesAreAskedWhoTheyAreFor: a credential that is revoked and a role that is withdrawn bite in the middle of an
// answer, whose rows were all for the caller when it began.
func TestLongHistoriesAreAskedWhoTheyAreFor(t *testing.T) {
	const events, until, instant = 2000, 500, 1024
	for name, end := range map[string]func(*world){
		"revoked":   func(w *world) { w.gone = true },
		"withdrawn": func(w *world) { w.shut = true },
	} {
		w := newWorld(t)
		w.door.SetTrust(0)
		for range events {
			w.happen(t, added("anna"))
		}
		decoded := 0
		w.decoding = func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if decoded++; decoded == until {
				end(w)
			}
		}
		lines, _ := w.open(t, "", "anna")
		rows, last := 0, shown{}
		for ; lines.Scan(); rows++ {
			if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
				t.Fatal(err)
			}
		}
		if rows < until || rows > until+instant || last.Error == "" {
			t.Errorf("%s after %d of %d rows: %d were shown, the last %+v; want that it ends soon with an error", name, until, events, rows, last)
		}
	}
}

// TestAFollowerOutlivesTheTimeouts that a server has for requests which come to an end, and those for single writes.
func TestAFollowerOutlivesTheTimeouts(t *testing.T) {
	t.Parallel() // it waits most of the time
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			w := newWorldOver(t, nil, func(s *httptest.Server) {
				s.EnableHTTP2 = protocol == "HTTP/2.0"
				s.Config.ReadTimeout, s.Config.WriteTimeout, s.Config.IdleTimeout = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
			}, rest.WithSlowest(100*time.Millisecond, 32<<10))
			w.door.SetPulse(300 * time.Millisecond)
			lines, _ := w.open(t, "?follow=true", "root")
			for begin := time.Now(); time.Since(begin) < time.Second; {
				if !lines.Scan() {
					t.Fatalf("the stream ended after %s: %v", time.Since(begin), lines.Err())
				}
			}
			w.happen(t, added("anna"))
			if e := hear(t, lines); e.Position != w.positions[0].String() {
				t.Errorf("heard %+v, want the event at %s", e, w.positions[0])
			}
		})
	}
}

// endless is a log of so many events that are made up while they are read.
type endless struct {
	api.Log
	events uint64
	stream string // that all of them are in
}

func (l endless) Head(context.Context) (domain.Position, error) {
	return domain.Position{Commit: l.events, Prepare: l.events}, nil
}

func (l endless) ReadAll(ctx context.Context, from domain.Position, limit int, _ commands.Direction) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		data := []byte(`{"kind":"study","id":"anna"}`)
		for n := max(from.Commit, 1); n <= l.events; n++ {
			if ctx.Err() != nil {
				yield(domain.Record{}, ctx.Err())
				return
			}
			r := domain.Record{Position: domain.Position{Commit: n, Prepare: n}, Data: data, Envelope: domain.Envelope{
				ID: domain.ID{byte(n)}, Type: "study.removed", Version: 1, Stream: l.stream, Actor: "root", Time: noon, ContentType: domain.JSON,
			}}
			if limit--; !yield(r, nil) || limit == 0 {
				return
			}
		}
	}
}

// TestLinesTakeConstantMemory reads twenty megabytes of history, and looks at the memory in use on the way.
func TestLinesTakeConstantMemory(t *testing.T) {
	const events = 10_000
	w := newWorldOver(t, endless{events: events, stream: strings.Repeat("long", 500)}, func(*httptest.Server) {})
	lines, _ := w.open(t, "", "root")
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, read, size := inUse(), uint64(0), 0, 0
	for ; lines.Scan(); read++ {
		if size += len(lines.Bytes()); read%2_000 == 1_000 {
			most = max(most, inUse())
		}
	}
	if read != events || size < 20<<20 {
		t.Fatalf("read %d lines of together %d bytes, want %d of more than 20 MiB", read, size, events)
	}
	if most > before+4<<20 {
		t.Errorf("%d KiB more in use than before", (most-before)>>10)
	}
}

// TestAHistoryThatTheServerCutsOff says so: nobody is to take it for the whole.
func TestAHistoryThatTheServerCutsOff(t *testing.T) {
	w := newWorldOver(t, endless{events: 1 << 40, stream: "s"}, func(*httptest.Server) {})
	lines, _ := w.open(t, "", "root")
	lines.Scan()
	w.door.Stop()
	var last struct{ Code string }
	for lines.Scan() {
		last.Code = ""
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			t.Fatal(err)
		}
	}
	if last.Code != "unavailable" || lines.Err() != nil {
		t.Errorf("the last line has the code %q, %v; want unavailable", last.Code, lines.Err())
	}
}

// TestEventsHaveAllTheirMembers, also those that there is nothing to say in.
func TestEventsHaveAllTheirMembers(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	_, body := w.ask(t, "GET", "/events", "root")
	var page struct{ Events []map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Events) != 1 {
		t.Fatalf("%v in %s", err, body)
	}
	for _, name := range []string{"position", "stream", "revision", "id", "type", "version", "time", "actor", "credential", "api_key", "subject",
		"correlation", "causation", "command", "data", "sentence"} {
		if _, ok := page.Events[0][name]; !ok {
			t.Errorf("%s is missing in %s", name, body)
		}
	}
}
