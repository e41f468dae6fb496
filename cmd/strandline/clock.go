package main

import (
	"context"
	"log/slog"
	"time"
)

// jumpWorthTelling is by how much a clock may be put forward or back without a word: time servers do more smoothly what
// they do every day.
const jumpWorthTelling = 2 * time.Second

// clockWatch tells when somebody puts the machine's clock. Times on the record never go back, whatever the clock does;
// but after a jump ahead they stand still once the clock has been put right.
type clockWatch struct {
	wall    func() time.Time
	elapsed func() time.Duration // on a clock that nobody can put
	log     *slog.Logger

	lastWall    time.Time
	lastElapsed time.Duration
}

func newClockWatch(wall func() time.Time, log *slog.Logger) *clockWatch {
	begin := time.Now()
	w := &clockWatch{wall: wall, elapsed: func() time.Duration { return time.Since(begin) }, log: log}
	w.look()
	return w
}

// watch looks every ten seconds until ctx ends.
func (w *clockWatch) watch(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look()
		case <-ctx.Done():
			return
		}
	}
}

// look compares how long it has been on both clocks, and tells of each jump once.
func (w *clockWatch) look() {
	wall, elapsed := w.wall().Round(0), w.elapsed() // without the reading that nobody can put
	before := w.lastWall.Add(elapsed - w.lastElapsed)
	first := w.lastWall.IsZero()
	w.lastWall, w.lastElapsed = wall, elapsed
	switch jump := wall.Sub(before); {
	case first || jump.Abs() < jumpWorthTelling:
	case jump > 0:
		w.log.Warn("the clock was put forward: check it now, since times on the record never go back", "by", jump.Round(time.Second).String())
	default:
		w.log.Warn("the clock was put back: until it has caught up, all events get the time of the last one", "by", (-jump).Round(time.Second).String())
	}
}
