package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/registry"
	"strandline/readmodels"
)

type documentShown struct {
	Kind, ID, Parent, Created, Revised string
	Revision                           uint64
	Body                               json.RawMessage
	Position                           string // where the answer tells nothing else
}

func read[T any](t testing.TB, a answered) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Fatalf("%d %s: %v", a.Code, a.Body, err)
	}
	return v
}

// make adds a document and returns it with its ETag.
func (w *real) make(kind, body string) (documentShown, string) {
	w.Helper()
	a := w.send("admin", "POST", "/documents/"+kind, body)
	if a.Code != 201 {
		w.Fatalf("POST %s: %d %s", body, a.Code, a.Body)
	}
	return read[documentShown](w, a), a.Header.Get("ETag")
}

// TestDocumentsLive adds, shows, revises and removes a document of each kind.
func TestDocumentsLive(t *testing.T) {
	w := newReal(t)
	for _, tt := range []struct{ kind, sent, body, change, changed string }{
		{"researcher", `{"body":{"name":"R"}}`, `{"name":"R"}`, `{"name":"<S>"}`, `{"name":"<S>"}`},
		{"study", `{"parent":"` + researcherID + `","body":{"name":"\u0000"}}`, `{"name":"\u0000"}`, `{"isMessagingEnabled": true}`, `{"isMessagingEnabled":true,"name":"\u0000"}`},
		{"participant", `{"parent":"` + studyID + `"}`, `{}`, ``, `{}`},
		{"activity", `{"parent":"` + studyID + `","body":{"spec":"lamp.survey","settings":{"b":1.50}}}`, `{"settings":{"b":1.50},"spec":"lamp.survey"}`, `{"body":{"settings":[]}}`, `{"settings":[],"spec":"lamp.survey"}`},
		{"sensor", `{"parent":"` + studyID + `","body":{"name":"n"}}`, `{"name":"n"}`, `{"name":"m"}`, `{"name":"m"}`},
		{"activity_spec", `{"id":"of our own/é","body":{"category":null}}`, `{"category":null}`, `{"category":[]}`, `{"category":[]}`},
		{"sensor_spec", `{"id":"x"}`, `{}`, `{"settings_schema":{}}`, `{"settings_schema":{}}`},
	} {
		a := w.send("admin", "POST", "/documents/"+tt.kind, tt.sent)
		made := read[documentShown](t, a)
		path := "/documents/" + tt.kind + "/" + url.PathEscape(made.ID)
		if a.Code != 201 || string(made.Body) != tt.body || made.Kind != tt.kind || a.Header.Get("Location") != "/strandline/v1"+path || a.Header.Get("Strandline-Position") != made.Created {
			t.Errorf("POST %s: %d %v %s", tt.sent, a.Code, a.Header, a.Body)
		}
		if got := w.send("admin", "GET", path, ""); got.Code != 200 || got.Body != a.Body || got.Header.Get("ETag") != a.Header.Get("ETag") {
			t.Errorf("GET %s: %d %s, want %s", path, got.Code, got.Body, a.Body)
		}
		list := read[struct{ Documents []json.RawMessage }](t, w.send("admin", "GET", "/documents/"+tt.kind+"?id="+url.QueryEscape(made.ID), ""))
		if len(list.Documents) != 1 || string(list.Documents[0]) != a.Body {
			t.Errorf("list of %s: %s, want %s", tt.kind, list.Documents, a.Body)
		}
		a = w.send("admin", "PUT", path, tt.change)
		if got := read[documentShown](t, a); a.Code != 200 || string(got.Body) != tt.changed || got.Created != made.Created || got.Parent != made.Parent {
			t.Errorf("PUT %s: %d %s, want %s", tt.change, a.Code, a.Body, tt.changed)
		}
		a = w.send("admin", "DELETE", path, "")
		if at := read[documentShown](t, a).Position; a.Code != 200 || at == "" || a.Header.Get("Strandline-Position") != at {
			t.Errorf("DELETE: %d %s", a.Code, a.Body)
		}
		if a := w.send("admin", "GET", path, ""); a.Code != 404 {
			t.Errorf("GET of what was removed: %d", a.Code)
		}
	}
}

// TestETags compares what was read with what there is.
func TestETags(t *testing.T) {
	w := newReal(t)
	made, first := w.make("activity", `{"parent":"`+studyID+`","body":{"name":"a"}}`)
	path := "/documents/activity/" + made.ID
	get := func(tag string) answered { return w.send("admin", "GET", path, "", "If-None-Match", tag) }
	for tag, want := range map[string]int{first: 304, "W/" + first: 304, `"x", ` + first: 304, "*": 304, `"x"`: 200, "": 200} {
		if a := get(tag); a.Code != want || a.Header.Get("ETag") != first || want == 304 && a.Body != "" {
			t.Errorf("If-None-Match %s: %d %q with ETag %s, want %d", tag, a.Code, a.Body, a.Header.Get("ETag"), want)
		}
	}
	put := func(body, tag string) answered { return w.send("admin", "PUT", path, body, "If-Match", tag) }
	a := put(`{"name":"b"}`, first)
	second := a.Header.Get("ETag")
	if a.Code != 200 || second == "" || second == first {
		t.Fatalf("If-Match %s: %d, ETag %s", first, a.Code, second)
	}
	for tag, want := range map[string]int{first: 412, "W/" + second: 412, `"x"`: 412, `"0"`: 412, "x": 412, strings.Trim(second, `"`): 412, "*": 200, first + "," + second: 200, second: 200} {
		if a := put(`{"name":"b"}`, tag); a.Code != want || want == 412 && read[struct{ Code string }](t, a).Code != "changed" {
			t.Errorf("If-Match %s: %d %s, want %d", tag, a.Code, a.Body, want)
		}
	}
	if a := w.send("admin", "DELETE", path, "", "If-Match", first); a.Code != 412 {
		t.Errorf("DELETE with an old tag: %d", a.Code)
	}
	if a := w.send("admin", "DELETE", path, "", "If-Match", second); a.Code != 200 {
		t.Errorf("DELETE with the present tag: %d", a.Code)
	}
}

func TestDocumentsRefuse(t *testing.T) {
	w := newReal(t)
	w.make("sensor_spec", `{"id":"taken"}`)
	for _, tt := range []struct {
		who, method, path, body string
		status                  int
		code                    string
	}{
		{"", "GET", "/study", "", 401, "credentials-missing"},
		{"admin", "GET", "/nothing", "", 404, "no-such-route"},
		{"admin", "GET", "/study?after=x", "", 400, "invalid"},
		{"admin", "GET", "/study/" + participantID, "", 404, "not-found"},
		{rivalID, "GET", "/study/none", "", 404, "not-found"},
		{rivalID, "GET", "/study/" + studyID, "", 403, "forbidden"},
		{rivalID, "PUT", "/study/" + studyID, "{}", 403, "forbidden"},
		{rivalID, "DELETE", "/study/" + studyID, "", 403, "forbidden"},
		{rivalID, "POST", "/study", `{"parent":"` + researcherID + `"}`, 403, "forbidden"},
		{rivalID, "POST", "/study", `{"parent":"none"}`, 404, "not-found"},
		{rivalID, "POST", "/study", `nonsense`, 400, "invalid"},
		{rivalID, "POST", "/researcher", `{}`, 403, "forbidden"},
		{researcherID, "POST", "/researcher", `{"parent":"` + researcherID + `"}`, 400, "invalid"},
		{"admin", "POST", "/study", `{"body":{}}`, 400, "invalid"},
		{"admin", "POST", "/study", `{"parent":"` + studyID + `"}`, 404, "not-found"},
		{"admin", "POST", "/study", `{"parent":"` + researcherID + `","id":"mine"}`, 400, "invalid"},
		{"admin", "POST", "/study", `{"parent":"` + researcherID + `","body":[]}`, 400, "invalid"},
		{"admin", "POST", "/study", `{"parent":"` + researcherID + `","body":{"colour":"red"}}`, 400, "invalid"},
		{"admin", "POST", "/sensor_spec", `{"id":"taken"}`, 409, "rejected"},
		{"admin", "POST", "/sensor_spec", `{}`, 400, "invalid"},
		{"admin", "PUT", "/study/" + studyID, `{"name":1}`, 400, "invalid"},
		{"admin", "PUT", "/study/" + studyID, `{"name":"a","name":"b"}`, 400, "invalid"},
		{"admin", "PUT", "/sensor_spec/none", `{}`, 404, "not-found"},
	} {
		a := w.send(tt.who, tt.method, "/documents"+tt.path, tt.body)
		if p := read[struct{ Code string }](t, a); a.Code != tt.status || p.Code != tt.code {
			t.Errorf("%s %s %s as %q: %d %s, want %d %s", tt.method, tt.path, tt.body, tt.who, a.Code, a.Body, tt.status, tt.code)
		}
	}
}

// TestListsOfDocuments are those of whom the caller may see, whole in pages of every size, while others come and go.
func TestListsOfDocuments(t *testing.T) {
	w := newReal(t)
	var ids []string
	for i := range 7 {
		made, _ := w.make("sensor", fmt.Sprintf(`{"parent":%q,"body":{"name":"%d"}}`, []string{studyID, otherStudyID}[i%2], i))
		ids = append(ids, made.ID)
	}
	type page struct {
		Documents []documentShown
		Next      string
		End       bool
	}
	walk := func(who, query string, size int, between func()) (seen []string) {
		after := ""
		for {
			p := read[page](t, w.send(who, "GET", fmt.Sprintf("/documents/sensor?limit=%d&after=%s&%s", size, after, query), ""))
			for _, d := range p.Documents {
				seen = append(seen, d.ID)
			}
			if after = p.Next; p.End {
				return seen
			}
			between()
		}
	}
	first := []string{ids[0], ids[2], ids[4], ids[6]}
	for _, tt := range []struct {
		who, query string
		want       []string
	}{
		{"admin", "", ids}, {researcherID, "", ids}, {rivalID, "", nil}, {studyID, "", first}, {participantID, "", first},
		{"admin", "parent=" + studyID, first}, {"admin", "parent=none", nil}, {strangerID, "parent=" + studyID, nil},
		{"admin", "id=" + ids[3] + "&id=" + ids[1], []string{ids[1], ids[3]}}, {strangerID, "id=" + ids[0] + "&id=" + ids[1], []string{ids[1]}},
	} {
		for size := 1; size < 9; size++ {
			if got := walk(tt.who, tt.query, size, nothing); !slices.Equal(got, tt.want) {
				t.Errorf("%s asks for %q in pages of %d: %v, want %v", tt.who, tt.query, size, got, tt.want)
			}
		}
		a := w.send(tt.who, "GET", "/documents/sensor?"+tt.query, "", "Accept", "application/x-ndjson")
		if n := strings.Count(a.Body, "\n"); n != len(tt.want) {
			t.Errorf("%s asks for lines of %q: %d, want %d", tt.who, tt.query, n, len(tt.want))
		}
	}
	step := 0
	seen := walk("admin", "", 1, func() {
		switch step++; step {
		case 1:
			w.do(registry.Remove{Key: ids[0], Kind: registry.Sensor, ID: ids[0]})
		case 2:
			w.do(registry.Remove{Key: ids[5], Kind: registry.Sensor, ID: ids[5]})
			w.make("sensor", `{"parent":"`+studyID+`"}`)
		}
	})
	if len(seen) != 7 || !slices.Equal(seen[:6], []string{ids[0], ids[1], ids[2], ids[3], ids[4], ids[6]}) {
		t.Errorf("while others come and go: %v, want all of %v but the sixth, and a new one", seen, ids)
	}
}

// TestWritesAreRepeatable sends each kind of write again under its key, also when what it was about is gone.
func TestWritesAreRepeatable(t *testing.T) {
	w := newReal(t)
	same := func(method, path, body string) answered {
		t.Helper()
		key := []string{"Idempotency-Key", method + path}
		first := w.send("admin", method, path, body, key...)
		events := w.count()
		again := w.send("admin", method, path, body, key...)
		if first.Code >= 300 || again.Code != first.Code || again.Body != first.Body || w.count() != events {
			t.Errorf("%s %s: %d %s\nagain: %d %s, with %d more events", method, path, first.Code, first.Body, again.Code, again.Body, w.count()-events)
		}
		if other := w.send("admin", method, path, `{"id":"other","parent":"`+studyID+`"}`, key...); other.Code < 400 {
			t.Errorf("%s %s with another body under the same key: %d", method, path, other.Code)
		}
		return first
	}
	made := read[documentShown](t, same("POST", "/documents/activity", `{"parent":"`+studyID+`","body":{"name":"a"}}`))
	path := "/documents/activity/" + made.ID
	same("PUT", path, `{"name":"b"}`)
	same("DELETE", path, "")
	if other := w.send("admin", "DELETE", path, "", "Idempotency-Key", "fresh"); other.Code != 404 {
		t.Errorf("removing what is gone: %d", other.Code)
	}
	same("POST", "/documents/sensor_spec", `{"id":"s"}`)
}

// count is how many events there are that are no access records.
func (w *real) count() (n int) {
	for r, err := range w.store.ReadAll(w.Context(), domain.Position{}, 0, false) {
		w.must(err)
		if !strings.HasPrefix(r.Type, "access.") {
			n++
		}
	}
	return n
}

// TestOfManyWithTheSameETagOneWins sends a hundred changes at once.
func TestOfManyWithTheSameETagOneWins(t *testing.T) {
	w := newReal(t)
	made, tag := w.make("activity", `{"parent":"`+studyID+`"}`)
	codes := make([]int, 100)
	var group sync.WaitGroup
	for i := range codes {
		group.Go(func() {
			codes[i] = w.send("admin", "PUT", "/documents/activity/"+made.ID, fmt.Sprintf(`{"name":"%d"}`, i), "If-Match", tag).Code
		})
	}
	group.Wait()
	slices.Sort(codes)
	if codes[0] != 200 || codes[1] != 412 || codes[99] != 412 {
		t.Errorf("statuses %v, want 200 once and 412", slices.Compact(codes))
	}
}

// TestLateReadModels answers writes with their position where the next read may not see them.
func TestLateReadModels(t *testing.T) {
	t.Parallel() // it waits most of the time
	w := newReal(t)
	made, _ := w.make("activity", `{"parent":"`+studyID+`"}`)
	release := w.hold(w.documents)
	defer release()
	start := time.Now()
	a := w.send("admin", "PUT", "/documents/activity/"+made.ID, `{"name":"late"}`)
	if at := read[documentShown](t, a).Position; a.Code != http.StatusAccepted || at == "" || a.Header.Get("Strandline-Position") != at || time.Since(start) > 4*time.Second {
		t.Errorf("PUT: %d %s after %s, want 202 with a position after two seconds", a.Code, a.Body, time.Since(start))
	}
	release()
	if a = w.send("admin", "GET", "/documents/activity/"+made.ID, ""); !strings.Contains(a.Body, `"late"`) {
		t.Errorf("GET afterwards: %s", a.Body)
	}
}

// hold keeps a read model where it is, until release.
func (w *real) hold(db *readmodels.DB) (release func()) {
	held, let, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = db.Update(w.Context(), db.Checkpoint(), func(*readmodels.Tx) error { close(held); <-let; return nil })
	}()
	<-held
	return sync.OnceFunc(func() { close(let); <-done })
}
