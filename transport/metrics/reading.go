package metrics

import "github.com/prometheus/client_golang/prometheus"

// Reading is what is read when the metrics are asked for.
type Reading struct {
	LogPosition              uint64
	LogBytes                 int64
	LogQueued, LogQueueLimit int
	LogPending               float64 // seconds that the write which is under way has taken so far
	BodyBytes, BodyLimit     int64
	BodyWaiting              int
	Projections              []Projection
	FeedBackfills            int64
	DiskFree                 uint64
	DiskRunway               float64 // seconds, infinite where nothing is being written
}

// Projection is how a projection is doing.
type Projection struct {
	Name       string
	LagEvents  uint64
	LagSeconds float64
	Parked     int
	Stalled    bool
}

// gauges shows a Reading.
type gauges struct{ read func() Reading }

// what is the description of a gauge.
func what(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("strandline_"+name, help, labels, nil)
}

var (
	logPosition   = what("log_position", "Position of the last durable event.")
	logBytes      = what("log_bytes", "Bytes that the log takes on the disk.")
	logQueued     = what("log_queue_bytes", "Bytes of records that wait to be written.")
	logQueueLimit = what("log_queue_bytes_limit", "Bytes of records that may wait to be written.")
	logPending    = what("log_write_pending_seconds", "How long the write that is under way has taken so far.")
	bodyBytes     = what("body_bytes", "Bytes of request bodies in memory.")
	bodyLimit     = what("body_bytes_limit", "Bytes of request bodies that may be in memory.")
	bodyWaiting   = what("body_waiting", "Requests whose body waits for room in memory.")
	diskFree      = what("disk_free_bytes", "Room on the disk of the data folder.")
	diskRunway    = what("disk_runway_seconds", "How long that room will do at the recent rate.")
	lagEvents     = what("projection_lag_events", "Events that a projection is behind the log.", "projection")
	lagSeconds    = what("projection_lag_seconds", "Seconds that a projection is behind the log.", "projection")
	parked        = what("projection_parked", "Events that a projection could not apply.", "projection")
	stalled       = what("projection_stalled", "1 while a projection cannot go on.", "projection")
	feedBackfills = what("feed_backfills_total", "Gaps of a feed that were filled from the log.")
)

// Describe implements prometheus.Collector.
func (gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logPosition, logBytes, logQueued, logQueueLimit, logPending, bodyBytes, bodyLimit,
		bodyWaiting, diskFree, diskRunway, lagEvents, lagSeconds, parked, stalled, feedBackfills} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	r := g.read()
	show := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	show(logPosition, float64(r.LogPosition))
	show(logBytes, float64(r.LogBytes))
	show(logQueued, float64(r.LogQueued))
	show(logQueueLimit, float64(r.LogQueueLimit))
	show(logPending, r.LogPending)
	show(bodyBytes, float64(r.BodyBytes))
	show(bodyLimit, float64(r.BodyLimit))
	show(bodyWaiting, float64(r.BodyWaiting))
	show(diskFree, float64(r.DiskFree))
	show(diskRunway, r.DiskRunway)
	to <- prometheus.MustNewConstMetric(feedBackfills, prometheus.CounterValue, float64(r.FeedBackfills))
	for _, p := range r.Projections {
		show(lagEvents, float64(p.LagEvents), p.Name)
		show(lagSeconds, p.LagSeconds, p.Name)
		show(parked, float64(p.Parked), p.Name)
		show(stalled, binary(p.Stalled), p.Name)
	}
}

func binary(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
