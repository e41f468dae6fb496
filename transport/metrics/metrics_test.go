package metrics_test

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"strandline/transport/eventstore/embedded"
	"strandline/transport/metrics"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

var (
	_ rest.Observer     = (*metrics.Metrics)(nil)
	_ embedded.Observer = (*metrics.Metrics)(nil)
)

// reading is one with a different number in every field.
func reading() metrics.Reading {
	return metrics.Reading{
		LogPosition: 101, LogBytes: 102, LogQueued: 103, LogQueueLimit: 104, LogPending: 105, BodyBytes: 106, BodyLimit: 107,
		BodyWaiting: 108, FeedBackfills: 112, DiskFree: 109, DiskRunway: math.Inf(1),
		Projections: []metrics.Projection{{Name: "series", LagEvents: 110, LagSeconds: 1.5, Parked: 111, Stalled: true}},
	}
}

func page(t *testing.T, m *metrics.Metrics, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler(reading).ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if w.Code != 200 || err != nil {
		t.Fatalf("GET /metrics: %d, %v, %s", w.Code, err, text)
	}
	return string(text)
}

func TestPage(t *testing.T) {
	m := metrics.New("1.2.3")
	m.Came()
	m.Came()
	m.Left(rest.Seen{Dialect: "lamp", Method: "GET", Route: "/study/{id}", Status: 200, Took: 3 * time.Millisecond})
	m.SignedIn(signin.Refused)
	m.Appended(200 * time.Microsecond)
	m.Synced(100 * time.Microsecond)
	m.Grouped(3)
	text := page(t, m, "")
	for _, line := range []string{
		`strandline_http_requests_total{class="2xx",dialect="lamp",method="GET",route="/study/{id}"} 1`,
		`strandline_http_request_duration_seconds_bucket{dialect="lamp",method="GET",route="/study/{id}",le="0.005"} 1`,
		`strandline_http_request_duration_seconds_bucket{dialect="lamp",method="GET",route="/study/{id}",le="0.0025"} 0`,
		`strandline_http_in_flight 1`,
		`strandline_signins_total{outcome="refused"} 1`,
		`strandline_signins_total{outcome="accepted"} 0`,
		`strandline_append_duration_seconds_count 1`,
		`strandline_fsync_duration_seconds_bucket{le="0.0001"} 1`,
		`strandline_log_group_events_sum 3`,
		`strandline_log_position 101`,
		`strandline_log_bytes 102`,
		`strandline_log_queue_bytes 103`,
		`strandline_log_queue_bytes_limit 104`,
		`strandline_log_write_pending_seconds 105`,
		`strandline_body_bytes 106`,
		`strandline_body_bytes_limit 107`,
		`strandline_body_waiting 108`,
		`strandline_disk_free_bytes 109`,
		`strandline_disk_runway_seconds +Inf`,
		`strandline_projection_lag_events{projection="series"} 110`,
		`strandline_projection_lag_seconds{projection="series"} 1.5`,
		`strandline_projection_parked{projection="series"} 111`,
		`strandline_projection_stalled{projection="series"} 1`,
		`strandline_feed_backfills_total 112`,
		`strandline_build_info{goversion="` + runtime.Version() + `",version="1.2.3"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the page has no line %s", line)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("the page has no %s", name)
		}
	}
	if open := page(t, m, "application/openmetrics-text; version=1.0.0"); !strings.HasSuffix(open, "# EOF\n") {
		t.Error("OpenMetrics was asked for, and did not come")
	}
}

// TestLocal has the metrics shown to this machine and to nobody else, be they behind a proxy on this machine.
func TestLocal(t *testing.T) {
	shown := metrics.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
	for _, tt := range []struct {
		address, header string
		status          int
	}{
		{"127.0.0.1:4711", "", 200}, {"[::1]:4711", "", 200}, {"127.9.9.9:1", "", 200},
		{"192.0.2.1:4711", "", 403}, {"[2001:db8::1]:4711", "", 403}, {"", "", 403},
		{"127.0.0.1:4711", "X-Forwarded-For", 403}, {"127.0.0.1:4711", "Forwarded", 403}, {"127.0.0.1:4711", "X-Real-IP", 403},
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr = tt.address
		if tt.header != "" {
			r.Header.Set(tt.header, "127.0.0.1")
		}
		w := httptest.NewRecorder()
		if shown.ServeHTTP(w, r); w.Code != tt.status {
			t.Errorf("from %q with %q: %d, want %d", tt.address, tt.header, w.Code, tt.status)
		}
	}
}

func TestOnlyRead(t *testing.T) {
	for method, status := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "DELETE": 405} {
		w := httptest.NewRecorder()
		metrics.New("1").Handler(reading).ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
		if w.Code != status {
			t.Errorf("%s: %d, want %d", method, w.Code, status)
		}
	}
}

// TestCountingIsCheap has what is counted at every request and append allocate nothing.
func TestCountingIsCheap(t *testing.T) {
	m := metrics.New("1")
	seen := rest.Seen{Dialect: "lamp", Method: "GET", Route: "/study/{id}", Status: 200, Took: time.Millisecond}
	n := testing.AllocsPerRun(1000, func() {
		m.Came()
		m.Left(seen)
		m.SignedIn(signin.Accepted)
		m.Appended(time.Millisecond)
		m.Synced(time.Millisecond)
		m.Grouped(7)
	})
	if n > 0 {
		t.Errorf("counting a request and an append allocates %v times", n)
	}
}

func BenchmarkCounting(b *testing.B) {
	m := metrics.New("1")
	seen := rest.Seen{Dialect: "lamp", Method: "GET", Route: "/study/{id}", Status: 200, Took: time.Millisecond}
	b.Run("request", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Came()
			m.Left(seen)
		}
	})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Appended(time.Millisecond)
		}
	})
}
