package main_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// withArgs gives the server more flags.
func withArgs(args ...string) serveOption {
	return func(c *exec.Cmd) { c.Args = append(c.Args, args...) }
}

// metric is the value of a line of /metrics, which must be there.
func (s *server) metric(t *testing.T, line string) float64 {
	t.Helper()
	status, page := s.as(t, "", "GET", "/metrics", "")
	if status != 200 {
		t.Fatalf("GET /metrics: %d %s", status, page)
	}
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + ` (\S+)$`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("/metrics has no %s:\n%s", line, page)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestMetrics looks at them before and after a write and a read, and has none of the looks on the record.
func TestMetrics(t *testing.T) {
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 1)
	before := s.metric(t, "strandline_log_position")
	for range 3 {
		s.metric(t, "strandline_http_in_flight")
	}
	if after := s.metric(t, "strandline_log_position"); after != before {
		t.Errorf("looking at the metrics took the log from %v to %v", before, after)
	}
	if status, answer := s.as(t, root, "POST", "/participant/"+made.participants[0]+"/sensor_event", `{"timestamp":1,"sensor":"lamp.steps","data":{}}`); status != 200 {
		t.Fatal(status, answer)
	}
	s.as(t, "", "GET", "/nowhere/at/all", "")
	s.as(t, "nobody:guess", "GET", "/researcher", "")
	for line, want := range map[string]float64{
		`strandline_http_requests_total{class="2xx",dialect="lamp",method="POST",route="/participant/{id}/sensor_event"}`:     1,
		`strandline_http_request_duration_seconds_count{dialect="lamp",method="POST",route="/participant/{id}/sensor_event"}`: 1,
		`strandline_http_requests_total{class="4xx",dialect="lamp",method="GET",route=""}`:                                    1,
		`strandline_signins_total{outcome="refused"}`:                                                                         1,
		`strandline_log_position`:                               before + 3,
		`strandline_projection_parked{projection="series"}`:     0,
		`strandline_projection_lag_events{projection="series"}`: 0,
		`strandline_feed_backfills_total`:                       0,
	} {
		if strings.Contains(line, "lag_events") { // the read models are free to take a moment
			for begin := time.Now(); s.metric(t, line) != want && time.Since(begin) < 10*time.Second; {
				time.Sleep(10 * time.Millisecond)
			}
		}
		if got := s.metric(t, line); got != want {
			t.Errorf("%s is %v, want %v", line, got, want)
		}
	}
	for _, line := range []string{"strandline_append_duration_seconds_count", "strandline_fsync_duration_seconds_count",
		"strandline_log_group_events_count", "strandline_log_bytes", "strandline_disk_free_bytes", "strandline_disk_runway_seconds",
		"strandline_log_queue_bytes_limit", "strandline_body_bytes_limit", "process_resident_memory_bytes"} {
		if s.metric(t, line) <= 0 {
			t.Errorf("%s is not above 0", line)
		}
	}
	if resp, err := http.Get(s.url + "/metrics/elsewhere"); err != nil || resp.StatusCode != 404 {
		t.Errorf("a path below /metrics: %v, %v, want LAMP's 404", resp, err)
	}
}

// TestMetricsElsewhere has the metrics on an address of their own, and behind a proxy nowhere else.
func TestMetricsElsewhere(t *testing.T) {
	s := startNode(t, t.TempDir(), withArgs("--metrics-listen", "127.0.0.1:0"))
	if status, answer := s.as(t, root, "GET", "/metrics", "", "X-Forwarded-For", "192.0.2.1"); status != 403 || !strings.Contains(answer, "--metrics-listen") {
		t.Errorf("through a proxy: %d %s, want 403 and the remedy", status, answer)
	}
	s.stop(t)
	var line struct{ Msg, URL string }
	for text := range strings.Lines(s.log.String()) {
		if strings.Contains(text, "metrics are served") {
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !strings.HasPrefix(line.URL, "http://127.0.0.1:") {
		t.Fatalf("where the metrics are is not in the log:\n%s", s.log)
	}
	startNode(t, s.data, withArgs("--metrics-listen", strings.TrimSuffix(strings.TrimPrefix(line.URL, "http://"), "/metrics")))
	for path, want := range map[string]int{"/metrics": 200, "/livez": 200, "/readyz": 200, "/researcher": 404, "/strandline/v1/events": 404} {
		resp, err := http.Get(strings.TrimSuffix(line.URL, "/metrics") + path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("GET %s where operators listen: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// TestReadyz answers HEAD too, and says so when a disk is nearly full.
func TestReadyz(t *testing.T) {
	s := startNode(t, mountTiny(t, 512<<20))
	status, answer := s.as(t, "", "GET", "/readyz", "")
	var ready struct {
		Ready    bool
		Warnings []struct{ Part, Reason string }
	}
	if err := json.Unmarshal([]byte(answer), &ready); status != 200 || err != nil || !ready.Ready || len(ready.Warnings) != 1 || ready.Warnings[0].Part != "disk" {
		t.Errorf("with less than 512 MB left: %d %s, want ready with a warning", status, answer)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if status, answer := s.as(t, "", "HEAD", path, ""); status != 200 || answer != "" {
			t.Errorf("HEAD %s: %d %q", path, status, answer)
		}
	}
}
