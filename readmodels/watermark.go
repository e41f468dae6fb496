package readmodels

import (
	"container/heap"
	"context"
	"fmt"
	"sync"

	"strandline/domain"
)

// ErrStalled is what a wait for a read model ends with that cannot go on, such as when its disk is full.
var ErrStalled = fmt.Errorf("%w: the read model has stalled", domain.ErrUnavailable)

// Watermark is the position up to which a read model has applied the log. Any number of goroutines may wait for it;
// an advance wakes only those whose position it reaches. The zero Watermark is at the start and ready to use.
type Watermark struct {
	mu      sync.Mutex
	at      domain.Position
	stalled error
	waiting waiters
	wanted  chan struct{} // closed by the next wait; nil if nobody has asked
}

// At is the present position.
func (w *Watermark) At() domain.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// Stalled is the reason for which the read model cannot go on at present, nil if it can.
func (w *Watermark) Stalled() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stalled
}

// Set moves the watermark, which ends a stall. It may go back, when a read model begins anew.
func (w *Watermark) Set(at domain.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.stalled = at, nil
	for len(w.waiting) > 0 && !at.Before(w.waiting[0].position) {
		heap.Pop(&w.waiting).(*waiter).finish(nil)
	}
}

// Wanted returns a channel that is closed while somebody waits, or else once somebody begins to.
func (w *Watermark) Wanted() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted == nil {
		w.wanted = make(chan struct{})
	}
	wanted := w.wanted
	if len(w.waiting) > 0 {
		w.want()
	}
	return wanted
}

// want tells whoever has asked that somebody waits.
func (w *Watermark) want() {
	if w.wanted != nil {
		close(w.wanted)
		w.wanted = nil
	}
}

// Stall ends all waits, present and coming, with ErrStalled and the reason, until the next Set.
func (w *Watermark) Stall(reason error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stalled = fmt.Errorf("%w: %w", ErrStalled, reason)
	for len(w.waiting) > 0 {
		heap.Pop(&w.waiting).(*waiter).finish(w.stalled)
	}
}

// Wait returns once the watermark is at position or beyond; with ErrStalled when that cannot be expected, and with the
// context's error at its end.
func (w *Watermark) Wait(ctx context.Context, position domain.Position) error {
	one := w.add(position)
	if one == nil {
		return nil
	}
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		w.leave(one)
		return ctx.Err()
	}
}

// add begins a wait; nil if there is nothing to wait for.
func (w *Watermark) add(position domain.Position) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.at.Before(position) {
		return nil
	}
	one := &waiter{position: position, done: make(chan error, 1)}
	if w.stalled != nil {
		one.finish(w.stalled)
		return one
	}
	heap.Push(&w.waiting, one)
	w.want()
	return one
}

func (w *Watermark) leave(one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one.index >= 0 {
		heap.Remove(&w.waiting, one.index)
	}
}

// waiter is one Wait. Its index is its place in the heap, -1 once it is out of it.
type waiter struct {
	position domain.Position
	done     chan error
	index    int
}

func (w *waiter) finish(err error) {
	w.index = -1
	w.done <- err
}

// waiters is a heap (container/heap), the lowest position first.
type waiters []*waiter

func (h waiters) Len() int           { return len(h) }
func (h waiters) Less(i, j int) bool { return h[i].position.Before(h[j].position) }
func (h waiters) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *waiters) Push(x any) {
	one := x.(*waiter)
	one.index = len(*h)
	*h = append(*h, one)
}

func (h *waiters) Pop() any {
	last := len(*h) - 1
	one := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	one.index = -1
	return one
}
