package rest

import (
	"container/list"
	"context"
	"math"
	"sync"
	"time"
)

// budget bounds how many bytes of something are held in memory over all requests. Whoever wants more than is free waits
// in turn, for a limited time.
type budget struct {
	mu      sync.Mutex
	free    int64
	total   int64
	patient time.Duration // how long to wait in turn, at most; at least half of it
	queue   list.List     // of *claim, the oldest in front
	queued  uint64        // claims that have ever waited
}

type claim struct {
	bytes   int64
	granted chan struct{}
}

func newBudget(bytes int64, patient time.Duration) *budget {
	return &budget{free: bytes, total: bytes, patient: patient}
}

// take claims bytes; it fails with *BusyError after the queue's deadline, or when ctx ends.
func (b *budget) take(ctx context.Context, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	b.mu.Lock()
	if b.queue.Len() == 0 && b.free >= bytes {
		b.free -= bytes
		b.mu.Unlock()
		return nil
	}
	c := &claim{bytes, make(chan struct{})}
	place := b.queue.PushBack(c)
	patience := b.patience()
	b.mu.Unlock()
	return b.wait(ctx, place, c, patience)
}

// patience is another one for each claim: those who came all at once do not go, and come back, all at once too. The
// fractions of the multiples of the golden section lie evenly between 0 and 1, in whatever stretch of them.
func (b *budget) patience() time.Duration {
	b.queued++
	_, part := math.Modf(float64(b.queued) * math.Phi)
	return time.Duration(float64(b.patient) * (1 + part) / 2)
}

func (b *budget) wait(ctx context.Context, place *list.Element, c *claim, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.granted:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return b.leave(place, c)
}

// leave gives up a place in the queue, unless it was granted at the last moment.
func (b *budget) leave(place *list.Element, c *claim) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	default:
	}
	b.queue.Remove(place)
	b.grant()
	return &BusyError{With: "large requests", After: time.Second}
}

// put gives bytes back.
func (b *budget) put(bytes int64) {
	if bytes == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += bytes
	b.grant()
}

// grant lets in whoever is first in the queue, as long as there is room.
func (b *budget) grant() {
	for front := b.queue.Front(); front != nil; front = b.queue.Front() {
		c := front.Value.(*claim)
		if c.bytes > b.free {
			return
		}
		b.free -= c.bytes
		b.queue.Remove(front)
		close(c.granted)
	}
}

// held is how many bytes are claimed, and how many claims wait.
func (b *budget) held() (bytes int64, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total - b.free, b.queue.Len()
}
