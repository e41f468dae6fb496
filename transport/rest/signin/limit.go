package signin

import (
	"container/list"
	"sync"
	"time"
)

// limiter counts failures by name and lets each name have burst of them, and one more every interval. It remembers a
// bounded number of names; the one that failed longest ago is forgotten first.
type limiter struct {
	mu       sync.Mutex
	burst    int
	interval time.Duration
	most     int
	names    map[string]*list.Element
	failed   list.List // of *failures, the last in front
}

// failures is a bucket that fills by one each interval, kept as the time at which it will be full.
type failures struct {
	name string
	full time.Time
}

func newLimiter(burst int, interval time.Duration, most int) *limiter {
	return &limiter{burst: burst, interval: interval, most: most, names: make(map[string]*list.Element)}
}

// wait is how long name has to wait until it may try; zero if it may now.
func (l *limiter) wait(name string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	place, ok := l.names[name]
	if !ok {
		return 0
	}
	f := place.Value.(*failures)
	if most := now.Add(l.longest()); f.full.After(most) {
		f.full = most // the clock was put back
	}
	return max(0, f.full.Sub(now)-time.Duration(l.burst-1)*l.interval)
}

// longest is how far ahead a bucket may be full: what as many failures come to as anybody has in one go, and then some.
func (l *limiter) longest() time.Duration { return time.Duration(2*l.burst)*l.interval + 2*time.Second }

// fail counts a failure of name.
func (l *limiter) fail(name string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	place, ok := l.names[name]
	if !ok {
		place = l.failed.PushFront(&failures{name: name})
		l.names[name] = place
	}
	f := place.Value.(*failures)
	if f.full.Before(now) {
		f.full = now
	}
	f.full = f.full.Add(l.interval)
	l.failed.MoveToFront(place)
	if l.failed.Len() > l.most {
		oldest := l.failed.Back()
		delete(l.names, oldest.Value.(*failures).name)
		l.failed.Remove(oldest)
	}
}
