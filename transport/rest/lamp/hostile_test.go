package lamp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"strandline/domain/access"
	"strandline/domain/observation"
	"strandline/transport/rest"
)

// brokenBodies are bodies that no route takes (decision 1).
var brokenBodies = map[string]string{
	"cut off":              `{"name":"x`,
	"not JSON":             `name=x`,
	"two values":           `{} {}`,
	"deeper than 64":       strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65),
	"ten thousand deep":    strings.Repeat("[", 10_000),
	"invalid UTF-8":        "{\"name\":\"\xff\"}",
	"half a character":     "{\"name\":\"\xc3\"}",
	"raw control byte":     "{\"name\":\"a\nb\"}",
	"raw NUL":              "{\"name\":\"a\x00b\"}",
	"byte order mark":      "\ufeff{}",
	"name twice":           `{"name":"a","name":"b"}`,
	"name twice, escaped":  `{"name":"a","\u006eame":"b"}`,
	"bad escape":           `{"name":"\x"}`,
	"bad number":           `{"name":01}`,
	"NaN":                  `NaN`,
	"only space":           "  \n ",
	"trailing comma":       `[1,]`,
	"single quotes":        `{'name':'x'}`,
	"binary":               string([]byte{0x1f, 0x8b, 8, 0, 0, 0}),
	"half a surrogate key": `{"\ud800":1,"\ud800":2}`,
}

// wrongTypes are values of a type that a route which reads the name of its member does not take.
var wrongTypes = map[string][]string{
	"POST /researcher":                     {`{"name":7}`, `{"name":{}}`, `[]`, `"x"`, `7`, `true`, `null`},
	"PUT /researcher/{R}":                  {`{"name":[]}`, `"x"`, `null`},
	"POST /researcher/{R}/study":           {`{"name":false}`, `{"isMessagingEnabled":1}`, `[]`},
	"PUT /study/{S}":                       {`{"name":7}`, `[]`},
	"POST /study/{S}/activity":             {`{"name":7}`, `{"spec":[]}`, `{"schedule":"daily"}`, `{"schedule":[7]}`, `{"category":"x"}`, `7`},
	"PUT /activity/{A}":                    {`{"name":7}`, `{"schedule":{}}`, `{"category":{}}`, `null`},
	"POST /study/{S}/sensor":               {`{"name":7}`, `{"spec":7}`, `[]`},
	"PUT /sensor/{N}":                      {`{"spec":7}`, `7`},
	"POST /activity_spec":                  {`{"name":7}`, `{}`, `{"name":""}`, `{"name":"x","static_data":7}`, `{"name":"x","description":7}`, `[]`},
	"PUT /activity_spec/a.spec":            {`{"executable":7}`, `{"category":"x"}`, `7`},
	"POST /sensor_spec":                    {`{"name":"x","settings_schema":"y"}`, `{"name":null}`},
	"PUT /sensor_spec/a.spec":              {`{"settings_schema":7}`},
	"POST /participant/{P}/sensor_event":   {`{"sensor":7}`, `{}`, `7`, `null`, `"x"`, `[[]]`, `[null]`, `{"sensor":"s","timestamp":{}}`, `{"sensor":"s","timestamp":1e400}`, `{"sensor":"s","timestamp":99999999999999999999}`},
	"POST /participant/{P}/activity_event": {`{"activity":null}`, `{"activity":"a","duration":[]}`, `{"activity":"a","temporal_slices":7}`, `{"activity":"a","timestamp":"then"}`, `true`},
	"POST /researcher/{R}/sensor_event":    {`{"sensor":{}}`},
}

// TestBrokenBodies sends every broken body to every route that takes one: 400.bad-request, and nothing is stored.
func TestBrokenBodies(t *testing.T) {
	f := newForest(t)
	before, asked := len(f.recorded()), 0
	refused := func(what, method, path, body string) {
		asked++
		path = strings.NewReplacer("{R}", f.ids["R"], "{S}", f.ids["S"], "{P}", f.ids["P"], "{A}", f.ids["A"], "{N}", f.ids["N"]).Replace(path)
		if got := f.send(root, method, path, body); got.Body.String() != `{"error":"400.bad-request"}` || got.Code != 400 {
			t.Errorf("%s to %s %s: %d %s", what, method, path, got.Code, got.Body)
		}
	}
	for route := range wrongTypes {
		method, path, _ := strings.Cut(route, " ")
		for what, body := range brokenBodies {
			refused(what, method, path, body)
		}
		for _, body := range wrongTypes[route] {
			refused(body, method, path, body)
		}
	}
	for what, body := range brokenBodies {
		refused(what, "PUT", "/type/{P}/attachment/k/me", body)
		refused(what, "POST", "/type/{P}/credential", body)
		refused(what, "POST", "/study/{S}/participant", body)
	}
	f.onlyRefusals(before, asked)
}

// onlyRefusals fails unless everything recorded since is one refusal for each request.
func (f *forest) onlyRefusals(before, asked int) {
	f.Helper()
	since := f.recorded()[before:]
	if len(since) != asked {
		f.Errorf("%d requests left %d events", asked, len(since))
	}
	for _, e := range since {
		if _, ok := e.Event.(access.Refused); !ok {
			f.Errorf("stored %s by %s", e.Event.EventType(), e.Request.Route)
		}
	}
}

// TestWeirdPaths asks for paths that no client makes. None is served, none is an error of the server.
func TestWeirdPaths(t *testing.T) {
	f := newForest(t)
	ids := []string{strings.Repeat("x", 3000), strings.Repeat("%2F", 50_000), strings.Repeat("x", 100_000), "%00", "%2F", "%2f..%2f", "..", ".", "%ff%fe", "a%20b", "%E2%80%AE", "'", "%22", "*", "undefined", "NaN", "U000000000",
		"%25", "+", ";", ":", "@", "$", "ünïcode"}
	before, asked := len(f.recorded()), 0
	for _, o := range operations {
		if !strings.Contains(o.path, "{id}") {
			continue
		}
		for _, id := range ids {
			path := strings.NewReplacer("{id}", id, "{kind}", "type", "{access_key}", "x", "{key}", "k", "{index}", "0", "{target}", "me").Replace(o.path)
			asked++
			got := f.send(root, o.method, path, `{}`)
			if got.Code != 404 || !strings.Contains(got.Body.String(), `"404.`) {
				t.Errorf("%s %.60s: %d %s", o.method, path, got.Code, got.Body)
			}
		}
	}
	f.onlyRefusals(before, asked)
}

// TestWeirdParts puts weird words where keys, targets and access keys stand.
func TestWeirdParts(t *testing.T) {
	f := newForest(t)
	long := strings.Repeat("k", 300)
	for _, tt := range []struct{ method, path, body, want string }{
		{"PUT", "/attachment/" + long + "/me", `1`, `400.bad-request`},
		{"PUT", "/attachment/k/" + long, `1`, `400.bad-request`},
		{"PUT", "/attachment/a%2Fb/me", `1`, `400.bad-request`},
		{"PUT", "/attachment/%ff/me", `1`, `400.bad-request`},
		{"GET", "/attachment/%ff", ``, `404.object-not-found`},
		{"GET", "/attachment/" + long, ``, `404.object-not-found`},
		{"GET", "/attachment/%00", ``, `404.object-not-found`},
		{"DELETE", "/credential/%00", ``, `404.no-such-credentials`},
		{"DELETE", "/credential/" + long, ``, `404.no-such-credentials`},
		{"PUT", "/credential/%ff", `{}`, `404.no-such-credentials`},
		{"POST", "/credential", `{"access_key":"` + long + `","secret_key":"x"}`, `400.bad-request`},
		{"POST", "/credential", `{"access_key":"x","secret_key":"` + strings.Repeat("x", 2000) + `"}`, `400.malformed-credential-object`},
	} {
		got := f.send(root, tt.method, "/type/"+f.ids["P"]+tt.path, tt.body)
		if !strings.Contains(got.Body.String(), tt.want) {
			t.Errorf("%s %.40s: %d %s, want %s", tt.method, tt.path, got.Code, got.Body, tt.want)
		}
	}
	f.ask(root, "PUT", "/type/"+f.ids["P"]+"/attachment/%00%E2%80%AE/me", `1`)
	if got := f.ask(root, "GET", "/type/"+f.ids["P"]+"/attachment/%00%E2%80%AE", ""); string(got) != "1" {
		t.Errorf("a tag under a strange key is %s", got)
	}
}

// TestWeirdQueries asks for events with parameters that make no sense. None is an error of the server.
func TestWeirdQueries(t *testing.T) {
	f := newForest(t)
	path := "/participant/" + f.ids["P"] + "/sensor_event"
	f.ask(root, "POST", path, `[{"sensor":"s","timestamp":8640000000000000},{"sensor":"s","timestamp":-8640000000000000}]`)
	for _, query := range []string{
		"limit=-0", "limit=-1e308", "limit=%00", "limit=1&limit=2", "from=-1e308&to=1e308", "from=9223372036854775808", "to=-9223372036854775809",
		"origin=" + strings.Repeat("s", 5000), "origin=%ff", "origin=%00", "from=", "a=%zz", "from=0x10", "to=1_0", "from=NaN", "limit=Infinity", "&&&=", ";",
	} {
		for _, method := range []string{"GET", "DELETE"} {
			if got := f.send(root, method, path+"?"+query, ""); got.Code >= 500 {
				t.Errorf("%s %.60s: %d %s", method, query, got.Code, got.Body)
			}
		}
	}
}

// TestBrokenQueries asks for events with a query that cannot be read: nothing is shown, and above all nothing deleted.
func TestBrokenQueries(t *testing.T) {
	f := newForest(t)
	path := "/participant/" + f.ids["P"] + "/sensor_event"
	f.ask(root, "POST", path, `{"sensor":"s","timestamp":1}`)
	for _, query := range []string{"origin=a%", "from=%zz", "origin=a;to=0"} {
		for _, method := range []string{"GET", "DELETE"} {
			if got := f.send(root, method, path+"?"+query, ""); got.Code != 400 {
				t.Errorf("%s %s: %d %s", method, query, got.Code, got.Body)
			}
		}
	}
	if got := f.ask(root, "GET", path, ""); !strings.Contains(string(got), `"s"`) {
		t.Errorf("left are %s", got)
	}
}

// TestTooMany sends more events at once than one fact may hold.
func TestTooMany(t *testing.T) {
	f := newForest(t)
	path := "/participant/" + f.ids["P"] + "/sensor_event"
	many := "[" + strings.Repeat(`{"sensor":"s"},`, observation.MaxItems) + `{"sensor":"s"}]`
	if got := f.send(root, "POST", path, many); got.Code != 413 {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

// TestTooLarge sends more than a body may have: 413, and nothing is stored.
func TestTooLarge(t *testing.T) {
	w := newWorld(t, rest.WithBodyLimit(100_000))
	before := len(w.recorded())
	got := w.send(root, "POST", "/researcher", `{"name":"`+strings.Repeat("x", 100_000)+`"}`)
	if got.Code != 413 || got.Body.String() != `{"error":"413.payload-too-large"}` {
		t.Errorf("answered %d %.100s", got.Code, got.Body)
	}
	if since := w.recorded()[before:]; len(since) != 1 || since[0].Event != (access.Refused{Code: "413.payload-too-large"}) {
		t.Errorf("recorded %+v", since)
	}
}

// TestManyMembers sends an object with very many members, and a batch with very many events.
func TestManyMembers(t *testing.T) {
	f := newForest(t)
	var members, events strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&members, `,"m%d":%d`, i, i)
		fmt.Fprintf(&events, `,{"sensor":"s%d","timestamp":%d}`, i%7, i)
	}
	start := time.Now()
	path := "/type/" + f.ids["P"] + "/attachment/large"
	f.ask(root, "PUT", path+"/me", `{"a":0`+members.String()+`}`)
	if got := f.ask(root, "GET", path+"/m99999", ""); string(got) != "99999" {
		t.Errorf("the last member is %s", got)
	}
	path = "/participant/" + f.ids["P"] + "/sensor_event"
	f.ask(root, "POST", path, "["+events.String()[1:]+"]")
	var all []json.RawMessage
	f.must(json.Unmarshal(f.ask(root, "GET", path+"?limit=0", ""), &all))
	if len(all) != 100_000 {
		t.Errorf("%d events, want 100,000", len(all))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestReadYourWrites writes and reads at once, from many sides: each read sees what was answered before.
func TestReadYourWrites(t *testing.T) {
	f := newForest(t)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			participant := f.make("/study/"+f.ids["S"]+"/participant", `{}`)
			for i := range 40 {
				f.writeAndRead(fmt.Sprintf("%d-%d", g, i), participant, i)
			}
		})
	}
	all.Wait()
}

func (f *forest) writeAndRead(name, participant string, i int) {
	base := "/participant/" + participant
	f.ask(root, "PUT", base+"/tag/k/me", `"`+name+`"`)
	if got := f.ask(root, "GET", base+"/tag/k", ""); string(got) != `"`+name+`"` {
		f.Errorf("tag %s reads as %s", name, got)
	}
	f.ask(root, "POST", base+"/sensor_event", fmt.Sprintf(`{"sensor":"s","timestamp":%d,"data":%q}`, i, name))
	if got := f.ask(root, "GET", base+"/sensor_event?limit=1", ""); !strings.Contains(string(got), name) {
		f.Errorf("event %s reads as %s", name, got)
	}
	activity := f.make("/study/"+f.ids["S2"]+"/activity", `{"name":"`+name+`"}`)
	if got := f.ask(root, "GET", "/activity/"+activity, ""); !strings.Contains(string(got), name) {
		f.Errorf("activity %s reads as %s", name, got)
	}
}

// TestIdempotency sends a creation twice under one key: one object. The same key with another body is refused.
func TestIdempotency(t *testing.T) {
	f := newForest(t)
	send := func(key, path, body string) *httptest.ResponseRecorder {
		r := request(root, "POST", path, body)
		r.Header.Set("Idempotency-Key", key)
		got := httptest.NewRecorder()
		f.handler.ServeHTTP(got, r)
		return got
	}
	for i, tt := range []struct{ path, body, other string }{
		{"/researcher", `{"name":"once"}`, `{"name":"twice"}`},
		{"/researcher/" + f.ids["R"] + "/study", `{"name":"once"}`, `{"name":"twice"}`},
		{"/study/" + f.ids["S"] + "/participant", `{}`, `[]`},
		{"/study/" + f.ids["S"] + "/activity", `{"name":"once"}`, `{"name":"twice"}`},
		{"/participant/" + f.ids["P"] + "/sensor_event", `{"sensor":"once"}`, `{"sensor":"twice"}`},
		{"/activity_spec", `{"name":"once"}`, `{"name":"once","description":"x"}`},
	} {
		key := fmt.Sprint("key ", i)
		first, second := send(key, tt.path, tt.body), send(key, tt.path, tt.body)
		if first.Code != 200 || first.Body.String() != second.Body.String() {
			t.Errorf("%s: %s, then %s", tt.path, first.Body, second.Body)
		}
		if got := send(key, tt.path, tt.other); got.Code != 422 {
			t.Errorf("%s with another body: %d %s", tt.path, got.Code, got.Body)
		}
	}
	empty := send("key", "/study/"+f.ids["S"]+"/participant", "")
	other := send("key", "/study/"+f.ids["S2"]+"/participant", "")
	if empty.Code != 200 || other.Code == 200 && other.Body.String() == empty.Body.String() {
		t.Errorf("one key on two studies: %s, %s", empty.Body, other.Body)
	}
	var events []any
	f.must(json.Unmarshal(f.ask(root, "GET", "/participant/"+f.ids["P"]+"/sensor_event", ""), &events))
	if len(events) != 1 {
		t.Errorf("%d events, want 1", len(events))
	}
}

// TestRepeatedAfterRemoval repeats requests under their idempotency keys when what they are about has been removed since:
// the same answer, and no second effect. Another body is told so, another key finds nothing.
func TestRepeatedAfterRemoval(t *testing.T) {
	f := newForest(t)
	send := func(key, method, path, body string) *httptest.ResponseRecorder {
		r := request(root, method, path, body)
		r.Header.Set("Idempotency-Key", key)
		got := httptest.NewRecorder()
		f.handler.ServeHTTP(got, r)
		return got
	}
	participant, activity, study := "/participant/"+f.ids["P"], "/activity/"+f.ids["A"], "/study/"+f.ids["S"]
	login := "/type/" + f.ids["P"] + "/credential"
	requests := []struct{ method, path, body, other string }{ // none stands in the way of one further down
		{"POST", login, `{"access_key":"k","secret_key":"s"}`, `{"access_key":"k","secret_key":"t"}`},
		{"PUT", login + "/k", `{"secret_key":"t"}`, `{"secret_key":"u"}`},
		{"DELETE", login + "/k", ``, ``},
		{"POST", participant + "/sensor_event", `{"sensor":"s"}`, `{"sensor":"t"}`},
		{"DELETE", participant + "/sensor_event?to=5", ``, ``},
		{"PUT", "/type/" + f.ids["P"] + "/tag/k/me", `1`, `2`},
		{"PUT", "/type/" + f.ids["P"] + "/tag/k/me", `null`, `2`},
		{"PUT", activity, `{"schedule":[{}]}`, `{"name":"x"}`},
		{"PUT", "/activity_spec/a.spec", `{"description":"x"}`, `{"description":"y"}`},
		{"DELETE", "/activity_spec/a.spec", ``, ``},
		{"DELETE", activity, ``, ``},
		{"POST", study + "/participant", `{}`, `[]`},
		{"POST", study + "/activity", `{}`, `{"name":"x"}`},
		{"DELETE", participant, ``, ``},
		{"PUT", study, `{"name":"x"}`, `{"name":"y"}`},
		{"DELETE", study, ``, ``},
	}
	answers := make([]string, len(requests))
	for i, r := range requests {
		got := send(fmt.Sprint(i), r.method, r.path, r.body)
		if answers[i] = got.Body.String(); got.Code != 200 {
			t.Fatalf("%s %s: %d %s", r.method, r.path, got.Code, got.Body)
		}
	}
	changes := f.changes()
	for i, r := range requests {
		if got := send(fmt.Sprint(i), r.method, r.path, r.body); got.Body.String() != answers[i] || got.Code != 200 {
			t.Errorf("%s %s again: %d %s, first %s", r.method, r.path, got.Code, got.Body, answers[i])
		}
		if r.other != "" {
			if got := send(fmt.Sprint(i), r.method, r.path, r.other); got.Code != 422 {
				t.Errorf("%s %s with another body: %d %s", r.method, r.path, got.Code, got.Body)
			}
		}
		if got := send(fmt.Sprint("other ", i), r.method, r.path, r.body); got.Code != 404 {
			t.Errorf("%s %s with another key: %d %s", r.method, r.path, got.Code, got.Body)
		}
	}
	if n := f.changes(); n != changes {
		t.Errorf("%d events, before the repetitions %d", n, changes)
	}
}

// changes counts the events that are no record of an access.
func (w *world) changes() (n int) {
	for _, r := range w.recorded() {
		if !strings.HasPrefix(r.Type, "access.") {
			n++
		}
	}
	return n
}

// TestOneAccessKey has many objects ask for one access key at once, first a new one and then one whose holder has been
// removed: one of them gets it.
func TestOneAccessKey(t *testing.T) {
	f := newForest(t)
	for _, body := range []string{`{"access_key":"wanted","secret_key":"s"}`, `{"access_key":"gone","secret_key":"s"}`} {
		var won atomic.Int64
		var group sync.WaitGroup
		for _, name := range []string{"R", "T", "S", "P", "Q", "X", "A", "N"} {
			group.Go(func() {
				if f.send(root, "POST", "/type/"+f.ids[name]+"/credential", body).Code == 200 {
					won.Add(1)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%s: %d got it, want one", body, won.Load())
		}
	}
}

// TestLargeValues stores values that are larger than one event (decision 4), and batches that are.
func TestLargeValues(t *testing.T) {
	f := newForest(t)
	image := `"` + strings.Repeat("data:image/png;base64,", 150_000) + `"`
	f.ask(root, "PUT", "/type/"+f.ids["P"]+"/tag/image/me", image)
	if got := f.ask(root, "GET", "/type/"+f.ids["P"]+"/tag/image", ""); string(got) != image {
		t.Errorf("a tag of %d bytes reads as %d", len(image), len(got))
	}
	activity := f.make("/study/"+f.ids["S"]+"/activity", `{"settings":`+image+`}`)
	if got := f.ask(root, "GET", "/activity/"+activity, ""); !strings.Contains(string(got), image) {
		t.Errorf("settings of %d bytes read as %d", len(image), len(got))
	}
	path := "/participant/" + f.ids["P"] + "/activity_event"
	f.ask(root, "POST", path, `[{"activity":"a","timestamp":2,"static_data":`+image+`},{"activity":"a","timestamp":1}]`)
	if got := f.ask(root, "GET", path+"?limit=1", ""); !strings.Contains(string(got), image) {
		t.Errorf("an event of %d bytes reads as %d", len(image), len(got))
	}
}

// TestWrongPasswords measures over HTTP how much slower callers who are known become while others try passwords as
// fast as they can (decision 22). With and without them take turns, and the best round of each counts, because the
// machine has other work too.
func TestWrongPasswords(t *testing.T) {
	if slowed {
		t.Skip("it measures times")
	}
	f := newForest(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	path := server.URL + "/participant/" + f.ids["P"]
	known := func() time.Duration {
		start := time.Now()
		for range 500 {
			if status := f.status(path, f.callers["P"]); status != 200 {
				t.Errorf("a known caller is answered %d", status)
			}
		}
		return time.Since(start) / 500
	}
	alone, beside, guesses := time.Hour, time.Hour, atomic.Int64{}
	known()
	for round := 0; round < 4 || round < 20 && beside > 2*alone; round++ {
		alone = min(alone, known())
		stop := f.guess(path, &guesses)
		beside = min(beside, known())
		stop()
	}
	t.Logf("a known caller waits %v alone, %v beside 8 who made %d guesses", alone, beside, guesses.Load())
	if beside > 2*alone {
		t.Errorf("a known caller waits %v beside guessers, %v alone", beside, alone)
	}
}

// status makes a request over HTTP and returns the status of its answer, 0 if there is none.
func (f *forest) status(url, credentials string) int {
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		f.Error(err)
		return 0
	}
	r.Header.Set("Authorization", "Basic "+credentials)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		f.Error(err)
		return 0
	}
	defer answer.Body.Close()
	if _, err = io.Copy(io.Discard, answer.Body); err != nil {
		f.Error(err)
	}
	return answer.StatusCode
}

// guess lets eight clients try passwords, until the returned function is called.
func (f *forest) guess(url string, guesses *atomic.Int64) func() {
	var guessers sync.WaitGroup
	var stopped atomic.Bool
	for range 8 {
		guessers.Go(func() {
			for !stopped.Load() {
				if status := f.status(url, fmt.Sprint("P:wrong ", guesses.Add(1))); status != 403 && status != 503 {
					f.Errorf("a guess is answered %d", status)
				}
			}
		})
	}
	return func() { stopped.Store(true); guessers.Wait() }
}
