package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// Sizes of buffers: what a read starts with, and what is worth keeping for the next request.
const (
	firstRead  = 4 << 10
	keptBuffer = 256 << 10
)

// reader reads bodies into memory: bounded one by one and together, and not for ever.
type reader struct {
	limit  int64         // bytes of one body
	least  int64         // bytes a second that a client must reach after grace
	grace  time.Duration // time that a body of any size has
	budget *budget
	pool   sync.Pool // of *[]byte
}

// held is a body in memory. Release it once nothing points into it.
type held struct {
	from   *reader
	buffer *[]byte
	taken  int64
}

func (h *held) release() {
	if h.from == nil {
		return
	}
	h.from.budget.put(h.taken)
	if cap(*h.buffer) <= keptBuffer {
		h.from.pool.Put(h.buffer)
	}
	*h = held{}
}

// read reads all of r's body into h. What has been read counts against the budget until h is released.
func (b *reader) read(ctx context.Context, w http.ResponseWriter, r *http.Request, h *held) ([]byte, error) {
	if r.ContentLength > b.limit {
		return nil, ErrTooLarge
	}
	h.from, h.buffer = b, b.borrow()
	control := http.NewResponseController(w)
	start := time.Now()
	// A server without deadlines (a test recorder) has no slow clients either, so the error says nothing.
	_ = control.SetReadDeadline(start.Add(b.grace))
	body, err := b.fill(ctx, r, h, func(size int64) {
		_ = control.SetReadDeadline(start.Add(b.grace + time.Duration(size/b.least)*time.Second))
	})
	_ = control.SetReadDeadline(time.Time{})
	return body, err
}

func (b *reader) borrow() *[]byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return buffer
	}
	buffer := make([]byte, 0, firstRead)
	return &buffer
}

// fill reads until the end of the body, the limit, or the first error; grown is told of each larger size.
func (b *reader) fill(ctx context.Context, r *http.Request, h *held, grown func(int64)) ([]byte, error) {
	buffer := (*h.buffer)[:0]
	for {
		if int64(cap(buffer)) > h.taken {
			if err := b.budget.take(ctx, int64(cap(buffer))-h.taken); err != nil {
				return nil, err
			}
			h.taken = int64(cap(buffer))
			grown(h.taken)
		}
		n, err := r.Body.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		*h.buffer = buffer
		switch {
		case int64(len(buffer)) > b.limit:
			return nil, ErrTooLarge
		case err == io.EOF:
			return buffer, nil
		case err != nil:
			return nil, readError(err)
		case len(buffer) == cap(buffer):
			buffer = b.larger(buffer, r.ContentLength)
		}
	}
}

// larger makes room: for what the client has announced where that is near, else for twice as much, so that an
// announcement alone claims no memory.
func (b *reader) larger(buffer []byte, announced int64) []byte {
	size := min(2*int64(cap(buffer)), b.limit+1)
	if announced > int64(len(buffer)) && announced < size {
		size = announced + 1 // one more, so that the end is seen without growing again
	}
	grown := make([]byte, len(buffer), max(size, int64(len(buffer))+1))
	copy(grown, buffer)
	return grown
}

func readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrTooSlow
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return ErrTooLarge
	}
	return ErrBroken
}
