package lamp_test

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"strandline/domain/access"
)

// keyed sends a request under an idempotency key.
func (f *forest) keyed(key, method, path, body string) *httptest.ResponseRecorder {
	r := request(root, method, path, body)
	r.Header.Set("Idempotency-Key", key)
	got := httptest.NewRecorder()
	f.handler.ServeHTTP(got, r)
	return got
}

// TestQuietRequestsAreRemembered: a request that found nothing to do is remembered under its idempotency key as one is that
// did something. The same request again is answered the same, whatever has happened since, and changes nothing; another
// request is refused. Each has one record.
func TestQuietRequestsAreRemembered(t *testing.T) {
	f := newForest(t)
	study, p := "/study/"+f.ids["S"], f.ids["P"]
	f.ask(root, "PUT", study, `{"name":"as it is"}`)
	f.ask(root, "PUT", "/type/"+p+"/tag/k/me", `1`)
	f.issue("revoked twice", p, "s")
	f.ask(root, "DELETE", "/type/"+p+"/credential/revoked%20twice", "")
	for _, tt := range []struct{ name, method, path, body, other, since string }{
		{"as it is", "PUT", study, `{"name":"as it is"}`, `{"name":"another"}`, `{"name":"changed since"}`},
		{"nothing named", "PUT", study, `{}`, `{"name":"another"}`, ``},
		{"tag as it is", "PUT", "/type/" + p + "/tag/k/me", `1`, `2`, `3`},
		{"tag cleared that is not there", "PUT", "/type/" + p + "/tag/l/me", `null`, `2`, `3`},
		{"no events", "POST", "/participant/" + p + "/sensor_event", `[]`, `{"sensor":"s"}`, ``},
		{"nothing of a credential", "PUT", "/type/" + f.ids["R"] + "/credential/R", `{}`, `{"description":"d"}`, ``},
		{"revoked already", "DELETE", "/type/" + p + "/credential/revoked%20twice", ``, "/type/" + p + "/credential/another", ``},
		{"no time retracted", "DELETE", "/participant/" + p + "/sensor_event?from=6&to=5", ``, "/participant/" + p + "/sensor_event", ``},
	} {
		before := len(f.recorded())
		first := f.keyed(tt.name, tt.method, tt.path, tt.body)
		last := f.recorded()[len(f.recorded())-1]
		if e, ok := last.Event.(access.Served); first.Code != 200 || !ok || e.Outcome != access.OutcomeQuiet {
			t.Errorf("%s: %d %s, recorded %+v; want a request with nothing to do", tt.name, first.Code, first.Body, last.Event)
			continue
		}
		if tt.since != "" {
			f.ask(root, tt.method, tt.path, tt.since)
			before++
		}
		second := f.keyed(tt.name, tt.method, tt.path, tt.body)
		if second.Code != 200 || second.Body.String() != first.Body.String() {
			t.Errorf("%s: first %s, then %d %s", tt.name, first.Body, second.Code, second.Body)
		}
		path, body := tt.path, tt.other
		if tt.method == "DELETE" { // whose body is not looked at
			path, body = tt.other, ""
		}
		if got := f.keyed(tt.name, tt.method, path, body); got.Code != 422 {
			t.Errorf("%s, another request under its key: %d %s, want 422", tt.name, got.Code, got.Body)
		}
		requests := map[string]bool{}
		for _, r := range f.recorded()[before:] {
			requests[r.Correlation.String()] = true
			if strings.HasPrefix(r.Stream, "idempotency-") && r.Command != "" {
				t.Errorf("%s: %+v", tt.name, r.Envelope)
			}
		}
		if got := len(f.recorded()) - before; got != 3 || len(requests) != 3 {
			t.Errorf("%s: three requests left %d events of %d requests", tt.name, got, len(requests))
		}
	}
	if got := f.ask(root, "GET", study, ""); !strings.Contains(string(got), "changed since") {
		t.Errorf("repeating changed the study: %s", got)
	}
}

// TestDoneThenQuiet: a request that did something, and another one under its key that has nothing to do.
func TestDoneThenQuiet(t *testing.T) {
	f := newForest(t)
	for key, r := range map[string][3]string{
		"a": {"PUT", "/study/" + f.ids["S"], `{"name":"x"}`},
		"b": {"PUT", "/type/" + f.ids["R"] + "/credential/R", `{"description":"d"}`},
	} {
		if got := f.keyed(key, r[0], r[1], r[2]); got.Code != 200 {
			t.Fatalf("%s: %d %s", key, got.Code, got.Body)
		}
		if got := f.keyed(key, r[0], r[1], `{}`); got.Code != 422 {
			t.Errorf("%s, another request that has nothing to do: %d %s, want 422", key, got.Code, got.Body)
		}
	}
	if got := f.keyed("c", "POST", "/participant/"+f.ids["P"]+"/sensor_event", `{"sensor":"s"}`); got.Code != 200 {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	if got := f.keyed("c", "POST", "/participant/"+f.ids["P"]+"/sensor_event", `[]`); got.Code != 422 {
		t.Errorf("no events under the key of one: %d %s, want 422", got.Code, got.Body)
	}
}

// TestQuietAtOnce: of requests that come at once under one key, those with one body are answered, all others refused.
func TestQuietAtOnce(t *testing.T) {
	f := newForest(t)
	path := "/study/" + f.ids["S"]
	f.ask(root, "PUT", path, `{"name":"n","isMessagingEnabled":true}`)
	bodies := []string{`{"name":"n"}`, `{"isMessagingEnabled":true}`}
	before := len(f.recorded())
	var all sync.WaitGroup
	codes := make([]int, 16)
	for i := range codes {
		all.Go(func() { codes[i] = f.keyed("key", "PUT", path, bodies[i%2]).Code })
	}
	all.Wait()
	answered := map[int]bool{}
	for i, code := range codes {
		switch code {
		case 200:
			answered[i%2] = true
		case 422:
		default:
			t.Errorf("request %d: %d", i, code)
		}
	}
	if len(answered) != 1 || len(f.recorded())-before != len(codes) {
		t.Errorf("%v: both bodies were answered, or %d events for %d requests", codes, len(f.recorded())-before, len(codes))
	}
}
