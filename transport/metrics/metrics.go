package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// Bounds of the histograms' buckets, in seconds.
var (
	requestBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	diskBounds    = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}
)

// Metrics counts. It is a rest.Observer and an embedded.Observer, and safe for concurrent use.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	inFlight  prometheus.Gauge
	signins   *prometheus.CounterVec
	appends   prometheus.Histogram
	syncs     prometheus.Histogram
	groups    prometheus.Histogram
}

// New returns the Metrics of a program of the given version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strandline_http_requests_total",
			Help: "Requests answered, by class of status."}, []string{"dialect", "method", "route", "class"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "strandline_http_request_duration_seconds",
			Help: "Time until the answer of a request began to leave.", Buckets: requestBounds}, []string{"dialect", "method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "strandline_http_in_flight",
			Help: "Requests that are being served, streams too."}),
		signins: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strandline_signins_total",
			Help: "Attempts to sign in, by how they ended."}, []string{"outcome"}),
		appends: histogram("strandline_append_duration_seconds", "Time of an append to the log, with its wait for the disk.", diskBounds),
		syncs:   histogram("strandline_fsync_duration_seconds", "Time that the write of a group waited for the disk.", diskBounds),
		groups:  histogram("strandline_log_group_events", "Records that became durable together.", prometheus.ExponentialBuckets(1, 2, 12)),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "strandline_build_info", Help: "The program that runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.durations, m.inFlight, m.signins, m.appends, m.syncs, m.groups, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, outcome := range signin.Outcomes {
		m.signins.WithLabelValues(string(outcome)) // is shown before it happens, so that a rate can begin at 0
	}
	return m
}

func histogram(name, help string, bounds []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds})
}

// Came implements rest.Observer.
func (m *Metrics) Came() { m.inFlight.Inc() }

// Left implements rest.Observer.
func (m *Metrics) Left(s rest.Seen) {
	m.inFlight.Dec()
	m.requests.WithLabelValues(s.Dialect, s.Method, s.Route, class(s.Status)).Inc()
	m.durations.WithLabelValues(s.Dialect, s.Method, s.Route).Observe(s.Took.Seconds())
}

// classes are the classes of status, so that none is spelt at every request.
var classes = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

func class(status int) string {
	if n := status / 100; n > 0 && n < len(classes) {
		return classes[n]
	}
	return classes[0]
}

// SignedIn is told how an attempt to sign in ended.
func (m *Metrics) SignedIn(o signin.Outcome) { m.signins.WithLabelValues(string(o)).Inc() }

// Appended implements embedded.Observer.
func (m *Metrics) Appended(took time.Duration) { m.appends.Observe(took.Seconds()) }

// Synced implements embedded.Observer.
func (m *Metrics) Synced(took time.Duration) { m.syncs.Observe(took.Seconds()) }

// Grouped implements embedded.Observer.
func (m *Metrics) Grouped(records int) { m.groups.Observe(float64(records)) }

// mostScrapes bounds how many are answered at a time.
const mostScrapes = 4

// Handler shows the metrics, with those that read gives.
func (m *Metrics) Handler(read func() Reading) http.Handler {
	now := prometheus.NewRegistry()
	now.MustRegister(gauges{read})
	page := promhttp.HandlerFor(prometheus.Gatherers{m.registry, now}, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: mostScrapes})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "method-not-allowed", "Metrics are only read.", "Send GET.")
			return
		}
		page.ServeHTTP(w, r)
	})
}

// refuse answers with a problem document, as the native API does.
func refuse(w http.ResponseWriter, status int, code, title, remedy string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// Whoever has gone away needs no answer.
	_, _ = w.Write([]byte(`{"status":` + strconv.Itoa(status) + `,"code":"` + code + `","title":"` + title + `","remedy":"` + remedy + `"}` + "\n"))
}
