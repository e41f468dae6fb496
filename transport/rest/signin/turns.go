package signin

import (
	"container/list"
	"context"
	"sync"
	"time"

	"strandline/transport/rest"
)

// turns bounds how many hashes are computed at once, and how many callers wait for it and how long. Those who are
// expected, because their secret was right before or their source is known, go before others and have room of their own.
type turns struct {
	patience time.Duration
	most     int // that may wait, of either kind

	mu       sync.Mutex
	free     int
	expected list.List // of chan struct{}, the longest waiting in front
	others   list.List
}

// enter waits for a turn. Give it back with leave.
func (t *turns) enter(ctx context.Context, expected bool) error {
	queue := &t.others
	if expected {
		queue = &t.expected
	}
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	if queue.Len() >= t.most {
		t.mu.Unlock()
		return errTooMany()
	}
	turn := make(chan struct{})
	place := queue.PushBack(turn)
	t.mu.Unlock()
	return t.wait(ctx, queue, place, turn)
}

func (t *turns) wait(ctx context.Context, queue *list.List, place *list.Element, turn chan struct{}) error {
	timer := time.NewTimer(t.patience)
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-turn: // at the last moment
		return nil
	default:
	}
	queue.Remove(place)
	return errTooMany()
}

// leave gives the turn to the next.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, queue := range []*list.List{&t.expected, &t.others} {
		if next := queue.Front(); next != nil {
			close(queue.Remove(next).(chan struct{}))
			return
		}
	}
	t.free++
}

func errTooMany() error { return &rest.BusyError{With: "sign-ins", After: time.Second} }
