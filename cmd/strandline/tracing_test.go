package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// collector takes OpenTelemetry traces.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	text  strings.Builder
	spans []traceSpan
}

type traceSpan struct{ TraceID, SpanID, ParentSpanID, Name string }

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var sent struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []traceSpan } }
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &sent)
		}
		if err != nil {
			t.Errorf("traces: %v in %s", err, body)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.text.Write(body)
		for _, resource := range sent.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of is the spans of a trace by name.
func (c *collector) of(trace string) map[string]traceSpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]traceSpan{}
	for _, s := range c.spans {
		if s.TraceID == trace {
			found[s.Name] = s
		}
	}
	return found
}

// TestTraces follows a write from the request to the projections, by the id of the request alone.
func TestTraces(t *testing.T) {
	c := newCollector(t)
	s := startNode(t, t.TempDir(), withArgs("--otlp-endpoint", c.URL))
	made := newStudy(t, s, 1)
	status, answer, header, err := s.try(root, "POST", "/participant/"+made.participants[0]+"/sensor_event", reading(1))
	if err != nil || status != 200 {
		t.Fatal(status, answer, err)
	}
	trace := strings.ReplaceAll(header.Get("Strandline-Request"), "-", "")
	if got := header.Get("Traceresponse"); !strings.HasPrefix(got, "00-"+trace+"-") {
		t.Errorf("the answer is of trace %s and says %q", trace, got)
	}
	parents := map[string]string{ // of each span
		"POST /participant/{id}/sensor_event": "", "sign in": "POST /participant/{id}/sensor_event",
		"wait": "POST /participant/{id}/sensor_event", "command observation.record": "POST /participant/{id}/sensor_event",
		"append": "command observation.record", "project series": "POST /participant/{id}/sensor_event",
		"project audit": "POST /participant/{id}/sensor_event", "project directory": "POST /participant/{id}/sensor_event",
		"project documents": "POST /participant/{id}/sensor_event",
	}
	for begin := time.Now(); len(c.of(trace)) < len(parents) && time.Since(begin) < 20*time.Second; {
		time.Sleep(50 * time.Millisecond)
	}
	spans := c.of(trace)
	for name, parent := range parents {
		if got, ok := spans[name]; !ok || got.ParentSpanID != spans[parent].SpanID {
			t.Errorf("span %s: %+v (there: %v), want it below %q", name, got, ok, parent)
		}
	}
	if len(spans) != len(parents) {
		t.Errorf("%d kinds of spans, want %d: %v", len(spans), len(parents), spans)
	}
}

// TestNoTraces has a server without a collector say nothing of traces, and one with a senseless one refuse to start.
func TestNoTraces(t *testing.T) {
	s := startNode(t, t.TempDir())
	if _, _, header, err := s.try(root, "GET", "/researcher", ""); err != nil || header.Get("Traceresponse") != "" {
		t.Errorf("answered %v, %v", header, err)
	}
	for _, args := range [][]string{{"--otlp-endpoint", "127.0.0.1:4318"}, {"--otlp-endpoint", "http://127.0.0.1:4318", "--otlp-share", "2"}} {
		if _, messages, code := command(t, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, args...)...); code != 2 {
			t.Errorf("serve %v: exit code %d, %s", args, code, messages)
		}
	}
}
