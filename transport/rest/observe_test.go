package rest_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"strandline/transport/rest"
)

// watcher is an observer that remembers what it was told.
type watcher struct {
	mu   sync.Mutex
	came int
	left []rest.Seen
}

func (o *watcher) Came() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.came++
}

func (o *watcher) Left(s rest.Seen) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = append(o.left, s)
}

func TestObserver(t *testing.T) {
	for name, tt := range map[string]struct {
		request *http.Request
		answer  func(*rest.Call) (rest.Answer, error)
		want    []rest.Seen
	}{
		"a known route": {httptest.NewRequest("PUT", "/thing/7", nil), func(c *rest.Call) (rest.Answer, error) {
			c.Meta.Details.Route = "/thing/{id}"
			return rest.Answer{Status: 201}, nil
		}, []rest.Seen{{Dialect: "test", Method: "PUT", Route: "/thing/{id}", Status: 201}}},
		"no route, and a word as method": {httptest.NewRequest("CANARY", "/canary", nil), fixed(rest.Answer{}, rest.ErrNoSuchRoute),
			[]rest.Seen{{Dialect: "test", Method: "other", Status: 400}}},
		"a panic":     {httptest.NewRequest("GET", "/", nil), func(*rest.Call) (rest.Answer, error) { panic("oh") }, []rest.Seen{{Dialect: "test", Method: "GET", Status: 400}}},
		"a preflight": {httptest.NewRequest("OPTIONS", "/", nil), nil, nil},
	} {
		var o watcher
		w := &world{T: t, answer: tt.answer}
		w.handler(rest.WithObserver(&o)).ServeHTTP(httptest.NewRecorder(), tt.request)
		if o.came != len(tt.want) || len(o.left) != len(tt.want) {
			t.Errorf("%s: came %d, left %d, want %d", name, o.came, len(o.left), len(tt.want))
			continue
		}
		for i, s := range o.left {
			if s.Request.IsZero() || s.Took <= 0 {
				t.Errorf("%s: seen %+v without request or time", name, s)
			}
			if s.Request, s.Took = tt.want[i].Request, 0; s != tt.want[i] {
				t.Errorf("%s: seen %+v, want %+v", name, s, tt.want[i])
			}
		}
	}
}

// TestHeld looks at the budget while a body is in memory, and after.
func TestHeld(t *testing.T) {
	w := &world{T: t}
	var p *rest.Pipeline
	w.answer = func(c *rest.Call) (rest.Answer, error) {
		if _, err := c.Body(); err != nil {
			return rest.Answer{}, err
		}
		if held, limit, waiting := p.Held(); held < 100_000 || held > limit || waiting != 0 {
			t.Errorf("with a body of 100 kB in memory: held %d of %d, %d waiting", held, limit, waiting)
		}
		return rest.Answer{Status: 200}, nil
	}
	p = rest.NewPipeline(w, w, w, w)
	recorder := httptest.NewRecorder()
	p.Handler(w).ServeHTTP(recorder, httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, 100_000))))
	if held, _, _ := p.Held(); recorder.Code != 200 || held != 0 {
		t.Errorf("status %d, and %d bytes are still held", recorder.Code, held)
	}
}

// TestRequestLine has a line for each request at level debug, and none at info.
func TestRequestLine(t *testing.T) {
	for level, lines := range map[slog.Level]int{slog.LevelDebug: 1, slog.LevelInfo: 0} {
		var log bytes.Buffer
		w := &world{T: t, answer: func(c *rest.Call) (rest.Answer, error) {
			c.Meta.Details.Route = "/thing/{id}"
			return rest.Answer{Status: 200}, nil
		}}
		handler := w.handler(rest.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))))
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/thing/secret?q=secret", nil))
		if got := strings.Count(log.String(), "\n"); got != lines {
			t.Errorf("at level %s: %d lines, want %d", level, got, lines)
		}
		var line struct {
			Route, Method string
			Status        int
		}
		if lines == 1 && (json.Unmarshal(log.Bytes(), &line) != nil || line.Route != "/thing/{id}" || line.Method != "GET" || line.Status != 200) {
			t.Errorf("logged %s", log.String())
		}
		if strings.Contains(log.String(), "secret") {
			t.Errorf("the client's words are in the log: %s", log.String())
		}
	}
}
