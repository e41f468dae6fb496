package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestHostileQueries are refused with words that do not repeat what was sent, and never break anything.
func TestHostileQueries(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	for _, tt := range []struct{ query, detail string }{
		{"limit=0", "limit is a whole number from 1"},
		{"limit=-1", "limit is a whole number from 1"},
		{"limit=many", "limit is a whole number from 1"},
		{"limit=99999999999999999999", "limit is a whole number from 1"},
		{"limit=1&limit=2", "limit is given twice"},
		{"limit=1;after=2", "part 1 of the query is not percent-encoded UTF-8"},
		{"after=where", "after is not a position that this server gave"},
		{"after=" + strings.Repeat("f", 17), "after is not a position that this server gave"},
		{"follow=maybe", "follow is true or false"},
		{"limit=1&%zz=1", "part 2 of the query is not percent-encoded UTF-8"},
		{"after=%ff", "part 1 of the query is not percent-encoded UTF-8"},
		{"lmit=1", "part 1 of the query is no parameter of this route, which are"},
		{"lmit=1", "did you mean limit?"},
		{"FOLLOW=true", "did you mean follow?"},
		{"canary-zebra=1", "part 1 of the query is no parameter of this route"},
		{"after=" + strings.Repeat("a", 1025), "after is longer than 1024 bytes"},
		{"after=" + strings.Repeat("a", 64<<10), "the query is longer than 8192 bytes"},
		{strings.Repeat("&", 64<<10), "the query is longer than 8192 bytes"},
	} {
		status, body := w.ask(t, "GET", "/events?"+tt.query, "root")
		var p struct{ Detail, Code string }
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 400 || p.Code != "invalid" || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%.60s: %d %s; want 400 and %q", tt.query, status, body, tt.detail)
		}
		if _, text, _ := strings.Cut(tt.query, "="); len(text) > 3 && strings.Contains(body, text) || strings.Contains(body, "zebra") {
			t.Errorf("%.60s: the answer repeats what was sent: %s", tt.query, body)
		}
	}
	for _, query := range []string{"", "&&", "limit=", "limit=1&&after=", "limit=1000000", "after=0&limit=7", url.Values{"follow": {"false"}}.Encode()} {
		if status, body := w.ask(t, "GET", "/events?"+query, "root"); status != 200 {
			t.Errorf("%s: %d %s, want 200", query, status, body)
		}
	}
}

// TestTimesOfAnyAge are read as far as those of observations go, which is as far as JavaScript's do.
func TestTimesOfAnyAge(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	for _, tt := range []struct {
		query  string
		events int // 0 for a bad request, -1 for none
	}{
		{"from=0001-01-01", 1},
		{"from=-8640000000000000", 1},
		{"from=-8640000000000001", 0},
		{"from=8640000000000000", -1},
		{"from=8640000000000001", 0},
		{"to=0001-01-01T00:00:00Z", -1},
		{"to=9999-12-31T23:59:59.999999999Z", 1},
		{"to=8640000000000000", 1},
		{"to=99999999999999999999", 0},
		{"to=9223372036854775807", 0},
		{"to=-9223372036854775808", 0},
		{"to=10000-01-01", 0},
	} {
		status, body := w.ask(t, "GET", "/events?limit=1&"+tt.query, "root")
		var p struct{ Events []any }
		if err := json.Unmarshal([]byte(body), &p); err != nil || (status == 200) != (tt.events != 0) || len(p.Events) != max(tt.events, 0) {
			t.Errorf("%s: %d %s; want %d events", tt.query, status, body, tt.events)
		}
	}
}

// TestWhatIsWrongWithABody is said in words of JSON, not of the program.
func TestWhatIsWrongWithABody(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	for body, detail := range map[string]string{
		"":                        "the body is missing",
		"[]":                      "the body is something else than an object",
		`"x"`:                     "the body is something else than an object",
		`7`:                       "the body is something else than an object",
		`null`:                    "the body is something else than an object",
		`{"name":5}`:              "the body has something else in its member name than a text",
		`{"name":{}}`:             "the body has something else in its member name than a text",
		`{"to":"soon"}`:           "the body has a time that is not written as RFC 3339 has it (2026-05-06T12:00:00Z)",
		`{"to":1893456000000}`:    "the body has a time that is not written as RFC 3339 has it (2026-05-06T12:00:00Z)",
		`{"to":"2030-01-01"}`:     "the body has a time that is not written as RFC 3339 has it (2026-05-06T12:00:00Z)",
		`{"neme":"x"}`:            "the body has a member that this route does not know",
		`{"name":"x"`:             "it ends where a comma or the end of an object is expected",
		`{"name":"x"}{}`:          "after the value",
		`{"name":"x","name":"y"}`: "a name occurs twice in one object",
	} {
		status, answer := w.sent(t, "POST", "/api-keys", "root", body)
		var p struct{ Detail, Code string }
		if err := json.Unmarshal([]byte(answer), &p); err != nil || status != 400 || p.Code != "invalid" || !strings.Contains(p.Detail, detail) {
			t.Errorf("%s: %d %s; want 400 and %q", body, status, answer, detail)
		}
	}
}

// sent sends a body of JSON.
func (w *world) sent(t *testing.T, method, path, who, body string) (int, string) {
	t.Helper()
	answer, text := w.send(t, method, path, who, body, "Content-Type", "application/json")
	return answer.StatusCode, text
}

// send sends a request with headers (names and values in turn) and returns the answer.
func (w *world) send(t *testing.T, method, path, who, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		r.SetBasicAuth(who, "secret")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return w.do(t, r)
}

// TestWhatIsAnswered follows the method and the header Accept.
func TestWhatIsAnswered(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	for _, tt := range []struct {
		method, path, accept string
		status               int
		media                string
	}{
		{"GET", "/events", "", 200, "application/json; charset=utf-8"},
		{"GET", "/events", "*/*", 200, "application/json; charset=utf-8"},
		{"GET", "/events", "text/html, application/*;q=0.5", 200, "application/json; charset=utf-8"},
		{"GET", "/events", "application/x-ndjson", 200, "application/x-ndjson"},
		{"GET", "/events", "application/json;q=0.1, application/x-ndjson", 200, "application/x-ndjson"},
		{"GET", "/events", "application/x-ndjson;q=0, */*", 200, "application/json; charset=utf-8"},
		{"GET", "/events", "text/html", 406, "application/problem+json"},
		{"GET", "/events", ";;,", 406, "application/problem+json"},
		{"GET", "/projections", "application/x-ndjson", 406, "application/problem+json"},
		{"HEAD", "/events", "", 200, "application/json; charset=utf-8"},
		{"HEAD", "/events?follow=true", "", 200, "application/x-ndjson"},
		{"HEAD", "/nothing", "", 404, "application/problem+json"},
		{"DELETE", "/events", "", 405, "application/problem+json"},
		{"BREW", "/events", "", 405, "application/problem+json"},
		{"GET", "/projections/series/rebuild", "", 405, "application/problem+json"},
	} {
		answer, body := w.send(t, tt.method, tt.path, "root", "", "Accept", tt.accept)
		if answer.StatusCode != tt.status || answer.Header.Get("Content-Type") != tt.media {
			t.Errorf("%s %s, %q: %d %s, want %d %s", tt.method, tt.path, tt.accept,
				answer.StatusCode, answer.Header.Get("Content-Type"), tt.status, tt.media)
		}
		if (tt.method == "HEAD") != (body == "") {
			t.Errorf("%s %s answers %q", tt.method, tt.path, body)
		}
		if allow := answer.Header.Get("Allow"); tt.status == 405 && allow != "GET, HEAD" && allow != "POST" {
			t.Errorf("%s %s allows %q", tt.method, tt.path, allow)
		}
	}
}
