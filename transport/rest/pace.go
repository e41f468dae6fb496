package rest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// considerate is how many bytes of large bodies are read in a second for every two processors, while others are served
// too: so much that what is done with them leaves nine tenths of the time to others.
const considerate = 16 << 20

// others is for how long after a request without a large body there is somebody to be considerate of.
const others = time.Second

// pace bounds how fast large bodies come in, all together, while others ask for something small: a client that is nearby
// can send as much as a processor can take, and the others would wait for their turn. A single body now and then is read
// as fast as it comes, and so are all as long as nobody else is there.
type pace struct {
	rate  int64        // bytes a second
	burst int64        // bytes that are free after a rest
	small atomic.Int64 // when somebody has asked for something small, in nanoseconds since 1970

	mu   sync.Mutex
	paid time.Time // when the rate has caught up with what has been read
}

func newPace(burst int64) *pace {
	return &pace{rate: considerate * heavyAtOnce(), burst: burst}
}

// somebody notes a request without a large body.
func (p *pace) somebody(now time.Time) { p.small.Store(now.UnixNano()) }

// keep waits until the rate allows for n bytes that have been read, or ctx ends.
func (p *pace) keep(ctx context.Context, n int) {
	wait := p.count(int64(n), time.Now())
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// count adds bytes to what has been read, and tells for how long that is too much.
func (p *pace) count(bytes int64, now time.Time) time.Duration {
	if now.UnixNano()-p.small.Load() > int64(others) {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if rested := now.Add(-p.span(p.burst)); p.paid.Before(rested) {
		p.paid = rested
	}
	p.paid = p.paid.Add(p.span(bytes))
	return p.paid.Sub(now)
}

// span is how long so many bytes take.
func (p *pace) span(bytes int64) time.Duration {
	return time.Duration(float64(bytes) / float64(p.rate) * float64(time.Second))
}
