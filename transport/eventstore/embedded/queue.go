package embedded

import (
	"context"
	"sync"
)

// queue collects requests into batches. A batch becomes one group.
type queue struct {
	limit  int           // bytes of a batch
	ready  chan struct{} // holds a token while the committer has something to look at
	enough chan struct{} // holds a token once as much has queued as was asked for

	mu      sync.Mutex
	filling *batch
	want    int // requests that would be enough; 0: nobody has asked
	refused error
}

// batch is a set of requests that are answered together.
type batch struct {
	requests []*request
	bytes    int
	taken    chan struct{} // closed when the committer takes the batch
	done     chan struct{} // closed when its requests are answered
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, ready: make(chan struct{}, 1), enough: make(chan struct{}, 1), filling: newBatch(0)}
}

func newBatch(expected int) *batch {
	return &batch{requests: make([]*request, 0, expected), taken: make(chan struct{}), done: make(chan struct{})}
}

// add queues r and returns when it has been answered, or with an error if it has not.
func (q *queue) add(ctx context.Context, r *request) error {
	for {
		b, queued, err := q.offer(r)
		if err != nil {
			return err
		}
		if queued {
			return wait(ctx, b.done)
		}
		if err := wait(ctx, b.taken); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, for_ <-chan struct{}) error {
	select {
	case <-for_:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// offer puts r into the batch that is being filled, unless that is full.
func (q *queue) offer(r *request) (b *batch, queued bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b = q.filling
	if q.refused != nil {
		return nil, false, q.refused
	}
	if len(b.requests) > 0 && b.bytes+len(r.bytes) > q.limit {
		return b, false, nil
	}
	b.requests = append(b.requests, r)
	b.bytes += len(r.bytes)
	if len(b.requests) == 1 {
		signalOnce(q.ready)
	}
	if q.want > 0 && q.has(q.want) {
		q.want = 0
		signalOnce(q.enough)
	}
	return b, true, nil
}

func signalOnce(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// has tells whether so many requests have queued, or so much that no more may fit.
func (q *queue) has(requests int) bool {
	return len(q.filling.requests) >= requests || q.filling.bytes > q.limit*3/4
}

// ask returns a channel that gets a token when so many requests have queued; it is nil if they have already.
func (q *queue) ask(requests int) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.has(requests) {
		return nil
	}
	select {
	case <-q.enough: // from an earlier question
	default:
	}
	q.want = requests
	return q.enough
}

// take returns the batch that was being filled and begins another.
func (q *queue) take() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.filling
	q.want = 0
	q.filling = newBatch(len(b.requests))
	close(b.taken)
	return b
}

// refuse lets all later requests fail with err. What is queued stays so.
func (q *queue) refuse(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refused == nil {
		q.refused = err
	}
}
