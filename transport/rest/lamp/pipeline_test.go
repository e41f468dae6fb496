package lamp_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/observation"
	"strandline/transport/rest/lamp"
)

// TestPositions follows Strandline-Position from a write to a read that demands it.
func TestPositions(t *testing.T) {
	f := newForest(t)
	path := "/participant/" + f.ids["P"] + "/sensor_event"
	written := f.send(root, "POST", path, `{"sensor":"s"}`).Header().Get("Strandline-Position")
	position, err := domain.ParsePosition(written)
	f.must(err)
	read := func(demanded string) *httptest.ResponseRecorder {
		r := request(root, "GET", path, "")
		r.Header.Set("Strandline-Min-Position", demanded)
		got := httptest.NewRecorder()
		f.handler.ServeHTTP(got, r)
		return got
	}
	got := read(written)
	at, err := domain.ParsePosition(got.Header().Get("Strandline-Position"))
	if got.Code != 200 || err != nil || at.Before(position) {
		t.Errorf("read at %s: %d as of %s, %v", written, got.Code, at, err)
	}
	if got := read("ffffffff"); got.Code != 412 {
		t.Errorf("read beyond the head: %d %s", got.Code, got.Body)
	}
	if got := read("tomorrow"); got.Code != 400 {
		t.Errorf("read at no position: %d %s", got.Code, got.Body)
	}
	for _, r := range f.recorded()[len(f.recorded())-2:] {
		if r.Actor != "root" || r.Request.Route != "/participant/{id}/sensor_event" {
			t.Errorf("%s by %s on %q is on the record, want it to be root's on its route", r.Event, r.Actor, r.Request.Route)
		}
	}
}

// TestRecords looks at what requests leave behind: commands their events, all others one access event.
func TestRecords(t *testing.T) {
	f := newForest(t)
	f.issue("p", f.ids["P"], "s")
	before := len(f.recorded())
	for _, tt := range []struct {
		credentials, method, path, body string
		event                           domain.Event
		actor, route, object            string
	}{
		{"p:s", "GET", "/participant/me/activity", "", access.Served{Rows: 1}, f.ids["P"], "/participant/{id}/activity", f.ids["P"]},
		{"p:s", "GET", "/type/" + f.ids["X"] + "/tag/k", "", access.Refused{Code: "403.security-context-out-of-scope"}, f.ids["P"], "/{kind}/{id}/tag/{key}", f.ids["X"]},
		{"p:s", "POST", "/participant/me/sensor_event", "[]", access.Served{Outcome: access.OutcomeQuiet}, f.ids["P"], "/participant/{id}/sensor_event", f.ids["P"]},
		{"p:s", "POST", "/participant/me/sensor_event", `{"sensor":"s"}`, observation.Recorded{}, f.ids["P"], "/participant/{id}/sensor_event", f.ids["P"]},
		{root, "GET", "/researcher", "", access.Served{Rows: 3}, "root", "/researcher", ""},
		{root, "GET", "/nowhere", "", access.Refused{Code: "404.api-endpoint-unimplemented"}, "anonymous", "", ""},
		{"", "GET", "/researcher", "", access.Refused{Code: "401.missing-credentials"}, "anonymous", "/researcher", ""},
		{root, "GET", "/", "", access.Served{}, "anonymous", "/", ""},
	} {
		f.send(tt.credentials, tt.method, tt.path, tt.body)
		since := f.recorded()[before:]
		before += len(since)
		if len(since) != 1 {
			t.Errorf("%s %s left %d events", tt.method, tt.path, len(since))
			continue
		}
		e := since[0]
		if e.Actor != tt.actor || e.Request.Route != tt.route || e.Request.Object != tt.object || e.Dialect != "lamp" {
			t.Errorf("%s %s left %+v with %+v", tt.method, tt.path, e.Envelope, e.Request)
		}
		if e.Event.EventType() != tt.event.EventType() || strings.HasPrefix(e.Type, "access") && e.Event != tt.event {
			t.Errorf("%s %s left %+v, want %+v", tt.method, tt.path, e.Event, tt.event)
		}
	}
}

// TestAttemptedKeyIsHidden makes sure that an access key tried in vain is kept as a keyed hash only (decision 10).
func TestAttemptedKeyIsHidden(t *testing.T) {
	w := newWorld(t)
	w.send("stranger@example.org:x", "GET", "/researcher", "")
	all := w.recorded()
	refused, ok := all[len(all)-1].Event.(access.Refused)
	if !ok || len(refused.Attempted) != 64 || strings.Contains(refused.Attempted, "stranger") {
		t.Errorf("recorded %+v", all[len(all)-1].Event)
	}
}

// TestLongList shows more events than leave at once: opened and ended are on the record.
func TestLongList(t *testing.T) {
	f := newForest(t)
	path := "/participant/" + f.ids["P"] + "/sensor_event"
	f.ask(root, "POST", path, `[{"sensor":"s","timestamp":1},{"sensor":"s","timestamp":2}]`)
	if got := f.ask(root, "GET", path+"?limit=0", ""); string(got) != `[{"timestamp":2,"sensor":"s","data":{}},{"timestamp":1,"sensor":"s","data":{}}]` {
		t.Errorf("listed %s", got)
	}
	all := f.recorded()
	opened, ended := all[len(all)-2], all[len(all)-1]
	if opened.Event != (access.Served{}) || ended.Event != (access.Ended{Rows: 2}) || opened.Correlation != ended.Correlation {
		t.Errorf("recorded %+v and %+v", opened.Event, ended.Event)
	}
}

// TestOpenAPI reads the document at the root and finds every route in it (contract, section 8.3).
func TestOpenAPI(t *testing.T) {
	var document struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Security    *[]any
		}
		Components struct {
			SecuritySchemes map[string]struct{ Type, Scheme string }
		}
	}
	got := newWorld(t).send("", "GET", "/", "")
	if err := json.Unmarshal(got.Body.Bytes(), &document); err != nil || got.Code != 200 {
		t.Fatalf("%d, %v", got.Code, err)
	}
	if !strings.HasPrefix(document.OpenAPI, "3.") || document.Components.SecuritySchemes["Authorization"].Scheme != "basic" {
		t.Errorf("document of version %s with schemes %v", document.OpenAPI, document.Components.SecuritySchemes)
	}
	for _, r := range lamp.Routes() {
		operation, ok := document.Paths[r.Path][strings.ToLower(r.Method)]
		if !ok || r.Open != (operation.Security != nil) {
			t.Errorf("%s %s is described as %+v", r.Method, r.Path, operation)
		}
	}
}
