package main

import (
	"context"
	"io/fs"
	"math"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"strandline/projections"
	"strandline/transport/metrics"
)

// vitals are how a node is doing, for probes and metrics. What a disk can hold up is looked at beside those who ask.
type vitals struct {
	node   *node
	disk   *glance[room]
	parked *glance[map[string]int]
}

func newVitals(n *node, dir string) *vitals {
	measured := &surveyor{dir: dir, log: n.log}
	v := &vitals{n, &glance[room]{find: measured.survey}, &glance[map[string]int]{find: n.countParked}}
	v.disk.begin() // growth is measured from the start
	return v
}

// scrapeTime is how long metrics wait for what a disk holds up, before they show what was there last.
const scrapeTime = 200 * time.Millisecond

// reading is what the metrics show.
func (v *vitals) reading() metrics.Reading {
	disk, _ := v.disk.look(scrapeTime)
	parked, _ := v.parked.look(scrapeTime)
	r := metrics.Reading{
		LogBytes: v.node.log.Bytes(), LogPending: v.node.log.Pending().Seconds(),
		DiskFree: disk.free, DiskRunway: disk.runway,
	}
	r.LogQueued, r.LogQueueLimit = v.node.log.Queued()
	if v.node.pipeline != nil {
		r.BodyBytes, r.BodyLimit, r.BodyWaiting = v.node.pipeline.Held()
	}
	ctx, stop := context.WithTimeout(context.Background(), scrapeTime)
	defer stop()
	// Both fail only once the store is closed, or away, and then there is nothing to show.
	head, _ := v.node.log.Head(ctx)
	lags, _ := v.node.lags(ctx)
	r.LogPosition, r.FeedBackfills = head.Commit, v.node.redis.backfills()
	for _, s := range lags {
		r.Projections = append(r.Projections, metrics.Projection{Name: s.Name, LagEvents: s.Behind,
			LagSeconds: s.Lag.Seconds(), Parked: parked[s.Name], Stalled: s.Stalled != ""})
	}
	return r
}

// lags are those of the projections at work here. It fails where the event store does not answer.
func (n *node) lags(ctx context.Context) ([]projections.Status, error) {
	if n.runner == nil {
		_, err := n.log.Head(ctx)
		return nil, err
	}
	return n.runner.Lags(ctx, time.Now())
}

// countParked counts the events that could not be applied, by projection.
func (n *node) countParked() map[string]int {
	counts := map[string]int{}
	for _, m := range n.models {
		// A read model that cannot be read has stalled, which is told elsewhere.
		counts[m.Name()], _ = m.CountParked(context.Background())
	}
	return counts
}

// glance finds something out that may take as long as a disk likes: nobody has to wait for it, and only one looks at a time.
type glance[T any] struct {
	find func() T

	mu     sync.Mutex
	latest T
	at     time.Time
	under  chan struct{} // closed when the look that is under way has been taken, nil while none is
}

// glanceAge is how old what was found may be.
const glanceAge = time.Second

// look returns what there is to find. If that takes longer than patience, it is what was found last, and not fresh.
func (g *glance[T]) look(patience time.Duration) (found T, fresh bool) {
	if under := g.begin(); under != nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-under:
		case <-timer.C:
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.latest, g.under == nil
}

// expire has the next look find out anew.
func (g *glance[T]) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = time.Time{}
}

// begin sees to it that somebody looks, unless somebody just has: then it is nil.
func (g *glance[T]) begin() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.under == nil && (g.at.IsZero() || time.Since(g.at) >= glanceAge) {
		g.under = make(chan struct{})
		go g.take(g.under)
	}
	return g.under
}

func (g *glance[T]) take(done chan struct{}) {
	defer close(done)
	found := g.find()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.latest, g.at, g.under = found, time.Now(), nil
}

// room is what a disk has left for the data folder.
type room struct {
	free    uint64        // bytes
	runway  float64       // seconds until they are used up at the recent rate, infinite where nothing is being written
	watched time.Duration // how long that rate has been watched
	err     error
}

// surveyor measures what is left and how fast it goes. Only one goroutine at a time may use it.
type surveyor struct {
	dir  string
	log  interface{ Bytes() int64 }
	seen []mark
}

// mark is how large the data folder was at a time.
type mark struct {
	at    time.Time
	bytes int64
}

// What recent is: marks are kept for an hour, one every ten seconds.
const (
	recent    = time.Hour
	markEvery = 10 * time.Second
)

func (s *surveyor) survey() room {
	var stat unix.Statfs_t
	if err := unix.Statfs(s.dir, &stat); err != nil {
		return room{runway: math.Inf(1), err: err}
	}
	r := room{free: stat.Bavail * uint64(stat.Bsize)}
	s.note(mark{time.Now(), s.log.Bytes() + size(filepath.Join(s.dir, "keys")) + size(filepath.Join(s.dir, "readmodels"))})
	r.runway, r.watched = s.runway(r.free)
	return r
}

// note keeps a mark, and forgets those that are not recent any more.
func (s *surveyor) note(m mark) {
	for len(s.seen) > 1 && m.at.Sub(s.seen[0].at) > recent {
		s.seen = append(s.seen[:0], s.seen[1:]...)
	}
	if n := len(s.seen); n > 1 && m.at.Sub(s.seen[n-2].at) < markEvery {
		s.seen[n-1] = m
		return
	}
	s.seen = append(s.seen, m)
}

// runway is how many seconds of growth there is room for, and how long the growth has been watched.
func (s *surveyor) runway(free uint64) (seconds float64, watched time.Duration) {
	first, last := s.seen[0], s.seen[len(s.seen)-1]
	watched = last.at.Sub(first.at)
	grown := last.bytes - first.bytes
	if grown <= 0 {
		return math.Inf(1), watched
	}
	return float64(free) * watched.Seconds() / float64(grown), watched
}

// size is how much the files below a folder take. Those that go away meanwhile take nothing.
func size(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
