package main

import (
	"fmt"
	"io"
	"sync"
	"time"
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

	mu          sync.Mutex
	begun, last time.Time
}

func newProgress(to io.Writer, what string) *progress {
	now := time.Now()
	return &progress{to: to, what: what, begun: now, last: now.Add(silence - interval)}
}

// reached shows the share of the way that has been gone, from 0 to 1, and reckons what remains at the speed so far.
func (p *progress) reached(share float64) {
	if share <= 0 {
		return
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
		fmt.Fprintf(p.to, "%s: %.0f %%, %s to go\n", p.what, 100*min(share, 1), max(0, remaining).Round(time.Second))
	}
}

// done says how long it took, if anything was shown before.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if taken := time.Since(p.begun); taken >= silence {
		fmt.Fprintf(p.to, "%s: done in %s\n", p.what, taken.Round(100*time.Millisecond))
	}
}
