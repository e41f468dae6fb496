package main

import (
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"strandline/domain"
)

// How long something may take in silence, and how often progress is shown after that.
const (
	silence  = 2 * time.Second
	interval = time.Second
)

// progress tells people how far something has come and how long it will take, once it has taken two seconds.
type progress struct {
	to   io.Writer
	what string
	live bool // to is a terminal, where progress stays on one line

	first time.Time // at which something happened that has been read

	mu          sync.Mutex
	begun, last time.Time
	shown       bool // a line stands on the terminal that the next one covers
}

func newProgress(to io.Writer, what string) *progress {
	now := time.Now()
	_, live := terminal(to)
	return &progress{to: to, what: what, live: live, begun: now, last: now.Add(silence - interval)}
}

// reached shows the share of the way that has been gone, from 0 to 1, and reckons what remains at the speed so far.
func (p *progress) reached(share float64) {
	if share <= 0 || share > 1 || math.IsNaN(share) {
		return // there is no telling
	}
	taken := time.Since(p.begun)
	p.show(share, time.Duration(float64(taken)*(1-share)/share))
}

// show shows the share of the way that has been gone, from 0 to 1, and how long the rest will take.
func (p *progress) show(share float64, remaining time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.last) >= interval {
		p.last = now
		p.say("%s: %.0f %%, %s to go", p.what, 100*min(share, 1), max(0, remaining).Round(time.Second))
	}
}

// done says how long it took, if anything was shown before.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if taken := time.Since(p.begun); taken >= silence {
		p.say("%s: done in %s", p.what, taken.Round(100*time.Millisecond))
		p.end()
	}
}

// lineWidth is how wide a line of progress is on a terminal, so that it covers the one before it.
const lineWidth = 60

// say shows a line, on a terminal in the place of the one before it.
func (p *progress) say(format string, values ...any) {
	line := fmt.Sprintf(format, values...)
	if p.live {
		fmt.Fprintf(p.to, "\r%-*s", lineWidth, line)
		p.shown = true
		return
	}
	fmt.Fprintln(p.to, line)
}

// end leaves a line that stays on the terminal.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.to)
		p.shown = false
	}
}

// stop ends the showing of what has not been done, or of which nothing needs to be said.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// at shows how far reading is that has come to an event, of those up to the position head; where the server does not
// say that, by the time of the event.
func (p *progress) at(e event, head domain.Position) {
	at, err := domain.ParsePosition(e.Position)
	if err == nil && head.Commit > 0 {
		p.reached(float64(at.Commit) / float64(head.Commit))
		return
	}
	p.since(e.Time)
}

// since shows how far reading is that has come to what happened at a time, of all from the first such time to now.
func (p *progress) since(at time.Time) {
	if p.first.IsZero() {
		p.first = at
	}
	p.reached(float64(at.Sub(p.first)) / float64(p.begun.Sub(p.first)))
}
