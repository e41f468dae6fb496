package tracing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"strandline/commands"
	"strandline/domain"
	"strandline/projections"
	"strandline/transport/rest"
	"strandline/transport/tracing"
)

var _ rest.Tracer = (*tracing.Tracer)(nil)
var _ commands.Observer = (*tracing.Tracer)(nil).Command
var _ projections.Observer = (*tracing.Tracer)(nil).Applied

// span is one as a collector reads it.
type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	Kind                                int
	StartTimeUnixNano, EndTimeUnixNano  string
	Attributes                          []struct {
		Key   string
		Value map[string]any
	}
	Links  []struct{ TraceID, SpanID string }
	Status struct{ Code int }
}

// collector is an OTLP/HTTP receiver.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	spans  []span
	raw    bytes.Buffer
	answer []int // statuses of the first answers, then 200
}

func collect(t *testing.T, answers ...int) *collector {
	c := &collector{answer: answers}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s as %s: %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), err)
		}
		if len(c.answer) > 0 {
			w.WriteHeader(c.answer[0])
			c.answer = c.answer[1:]
			return
		}
		var sent struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Errorf("%v in %s", err, body)
		}
		c.raw.Write(body)
		for _, r := range sent.ResourceSpans {
			for _, s := range r.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// names are the spans by name.
func (c *collector) names() map[string]span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]span{}
	for _, s := range c.spans {
		found[s.Name] = s
	}
	return found
}

func start(t *testing.T, c *collector, share float64, log io.Writer) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(c.URL, share, "1.2.3", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tracer.Shutdown(context.Background()) }) // again, which changes nothing
	return tracer
}

func stop(t *testing.T, tracer *tracing.Tracer) {
	t.Helper()
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// appender is an event store that only takes appends.
type appender struct{ commands.EventStore }

func (appender) Append(context.Context, string, domain.Expected, []domain.Record) (commands.Appended, error) {
	return commands.Appended{Position: domain.Position{Commit: 7, Prepare: 7}}, nil
}

// TestTrace follows a request from its arrival to a projection.
func TestTrace(t *testing.T) {
	c := collect(t, 503) // busy at first
	tracer := start(t, c, 1, io.Discard)
	request := domain.ID(uuid.Must(uuid.NewV7()))
	h := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {"canary=canary"}}
	came := time.Now()
	ctx, response, answered := tracer.Request(t.Context(), h, came, rest.Seen{Request: request, Dialect: "lamp", Method: "POST"})
	_, end := tracer.Step(ctx, "wait")
	inside, done := tracer.Command(ctx, "observation.record")
	if _, err := tracer.Store(appender{}).Append(inside, "observation-U1-canary", domain.Any, make([]domain.Record, 2)); err != nil {
		t.Fatal(err)
	}
	done(errors.New("canary"))
	end()
	answered(rest.Seen{Dialect: "lamp", Method: "POST", Route: "/participant/{id}/sensor_event", Status: 503, Took: 3 * time.Millisecond})
	old := domain.Recorded{Envelope: domain.Envelope{Correlation: domain.ID(uuid.Must(uuid.NewV7())), Time: time.Now().Add(-time.Hour)}}
	ours := domain.Recorded{Envelope: domain.Envelope{Correlation: request, Time: time.Now(), Stream: "observation-canary"}}
	tracer.Applied("series", time.Now(), []domain.Recorded{old, ours, ours, {}})
	stop(t, tracer)

	trace := strings.ReplaceAll(request.String(), "-", "")
	spans := c.names()
	root := spans["POST /participant/{id}/sensor_event"]
	for name, want := range map[string]struct {
		parent string
		kind   int
		status int
	}{
		"POST /participant/{id}/sensor_event": {"", 2, 2},
		"wait":                                {root.SpanID, 1, 0},
		"command observation.record":          {root.SpanID, 1, 2},
		"append":                              {spans["command observation.record"].SpanID, 1, 0},
		"project series":                      {root.SpanID, 5, 0},
	} {
		got := spans[name]
		if got.TraceID != trace || got.ParentSpanID != want.parent || got.Kind != want.kind || got.Status.Code != want.status || len(got.SpanID) != 16 {
			t.Errorf("%s: %+v; want trace %s and %+v", name, got, trace, want)
		}
		if len(got.StartTimeUnixNano) != 19 || got.EndTimeUnixNano < got.StartTimeUnixNano {
			t.Errorf("%s: from %s to %s", name, got.StartTimeUnixNano, got.EndTimeUnixNano)
		}
	}
	if len(c.spans) != 5 {
		t.Errorf("%d spans, want 5: one of a request, and none of what is long ago", len(c.spans))
	}
	if root.SpanID != trace[16:] || response != "00-"+trace+"-"+root.SpanID+"-01" {
		t.Errorf("the request's span is %s, told as %s", root.SpanID, response)
	}
	if len(root.Links) != 1 || root.Links[0].TraceID != "0af7651916cd43dd8448eb211c80319c" || root.Links[0].SpanID != "b7ad6b7169203331" {
		t.Errorf("linked to %v, want the client's span", root.Links)
	}
	if text := c.raw.String(); strings.Contains(text, "canary") || !strings.Contains(text, `{"key":"service.name","value":{"stringValue":"strandline"}}`) ||
		!strings.Contains(text, `{"key":"http.response.status_code","value":{"intValue":"503"}}`) {
		t.Errorf("sent %s", text)
	}
}

// TestShare has all spans of a request agree on whether it is traced, and about as many traced as should be.
func TestShare(t *testing.T) {
	for _, share := range []float64{0, 0.25, 1} {
		c := collect(t)
		tracer := start(t, c, share, io.Discard)
		const requests = 4000
		for range requests {
			request := domain.ID(uuid.Must(uuid.NewV7()))
			_, _, answered := tracer.Request(t.Context(), http.Header{}, time.Now(), rest.Seen{Request: request})
			answered(rest.Seen{Method: "GET"})
			tracer.Applied("series", time.Now(), []domain.Recorded{{Envelope: domain.Envelope{Correlation: request, Time: time.Now()}}})
		}
		stop(t, tracer)
		seen := map[string]int{}
		for _, s := range c.spans {
			seen[s.TraceID]++
		}
		if got := float64(len(seen)) / requests; math.Abs(got-share) > 0.05 {
			t.Errorf("traced %.3f of all requests, want %.2f", got, share)
		}
		for id, n := range seen {
			if n != 2 {
				t.Fatalf("trace %s has %d spans, want that of the request and that of the projection", id, n)
			}
		}
	}
}

// TestNobodyListens has a collector that refuses, and one that is not there: spans are lost, and the log says so once.
func TestNobodyListens(t *testing.T) {
	for name, c := range map[string]*collector{"refuses": collect(t, 400, 400), "is not there": collect(t)} {
		var log bytes.Buffer
		if name == "is not there" {
			c.Close()
		}
		tracer := start(t, c, 1, &log)
		for range 2 {
			_, _, answered := tracer.Request(t.Context(), http.Header{}, time.Now(), rest.Seen{Request: domain.ID(uuid.Must(uuid.NewV7()))})
			answered(rest.Seen{Method: "GET"})
		}
		stop(t, tracer)
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "spans=2") || strings.Contains(log.String(), c.URL) {
			t.Errorf("%s: logged %d lines: %s", name, lines, log.String())
		}
	}
}

func TestWrongEndpoints(t *testing.T) {
	for _, endpoint := range []string{"", "collector:4318", "grpc://127.0.0.1:4317", "http://", "::"} {
		if _, err := tracing.New(endpoint, 1, "1", slog.New(slog.DiscardHandler)); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
	}
	for _, share := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := tracing.New("http://127.0.0.1:4318", share, "1", slog.New(slog.DiscardHandler)); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("share %v: %v", share, err)
		}
	}
}

// TestWhatIsNotTracedIsFree has the parts of a request that is not traced allocate nothing.
func TestWhatIsNotTracedIsFree(t *testing.T) {
	tracer := start(t, collect(t), 0, io.Discard)
	ctx, _, answered := tracer.Request(t.Context(), http.Header{}, time.Now(), rest.Seen{Request: domain.ID(uuid.Must(uuid.NewV7()))})
	defer answered(rest.Seen{})
	store := tracer.Store(appender{})
	n := testing.AllocsPerRun(100, func() {
		_, end := tracer.Step(ctx, "wait")
		end()
		inside, done := tracer.Command(ctx, "observation.record")
		_, err := store.Append(inside, "s", domain.Any, nil)
		done(err)
	})
	if n > 0 {
		t.Errorf("what is not traced allocates %v times", n)
	}
}
