package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"
)

// Sizes of buffers: what a read starts with, what is a small body, whose buffer is kept for the next one, and up to what
// size that of an answer is. Further what is a heavy body, and how much is read at once.
const (
	firstRead  = 4 << 10
	smallBody  = 64 << 10
	keptBuffer = 256 << 10
	heavyBody  = 1 << 20   // from where on the work that a body makes is felt by others
	mostRead   = 256 << 10 // at once, so that others get their turn
)

// reader reads bodies into memory: bounded one by one and together, and not for ever. Small bodies, and the beginnings of
// all, have room of their own, so that nobody's small body waits for large ones. Of a large body all the room that it may
// come to need is claimed at once, when its beginning is there: several that each hold a part of what they need would wait
// for each other.
type reader struct {
	limit int64         // bytes of one body
	least int64         // bytes a second that a client must reach after grace
	grace time.Duration // time that a body of any size has
	small *budget       // for bodies up to smallBody
	large *budget       // for others
	heavy *budget       // bodies from heavyBody on that are worked on at once
	pool  sync.Pool     // of *[]byte, for small bodies
	spare spare         // for others
	pace  *pace         // of others
}

// held is a body in memory. Release it once nothing points into it.
type held struct {
	from   *reader
	buffer *[]byte
	small  int64 // bytes claimed
	large  int64
	heavy  int64 // 1 while it may be worked on
}

func (h *held) release() {
	if h.from == nil {
		return
	}
	if cap(*h.buffer) <= smallBody {
		h.from.pool.Put(h.buffer)
	} else {
		h.from.spare.put(*h.buffer)
	}
	h.from.small.put(h.small)
	h.from.large.put(h.large)
	h.from.heavy.put(h.heavy)
	*h = held{}
}

// read reads all of r's body into h. What has been read counts against the budgets until h is released.
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
	if err != nil || h.large < heavyBody {
		return body, err
	}
	if err := b.heavy.take(ctx, 1); err != nil {
		return nil, err
	}
	h.heavy = 1
	return body, nil
}

// heavyAtOnce is how many heavy bodies are worked on at once: half of the processors are left to others.
func heavyAtOnce() int64 { return int64(max(1, runtime.GOMAXPROCS(0)/2)) }

func (b *reader) borrow() *[]byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return buffer
	}
	buffer := make([]byte, 0, firstRead)
	return &buffer
}

// fill reads until the end of the body, the limit, or the first error; grown is told of sizes that have been reached.
func (b *reader) fill(ctx context.Context, r *http.Request, h *held, grown func(int64)) ([]byte, error) {
	buffer, told := (*h.buffer)[:0], int64(firstRead)
	if err := b.claim(ctx, h, int64(cap(buffer)), r.ContentLength); err != nil {
		return nil, err
	}
	for {
		n, err := r.Body.Read(buffer[len(buffer):min(cap(buffer), len(buffer)+mostRead)])
		buffer = buffer[:len(buffer)+n]
		*h.buffer = buffer
		if h.large > 0 {
			b.pace.keep(ctx, n)
		}
		if size := int64(len(buffer)); size >= 2*told {
			grown(size)
			told = size
		}
		switch {
		case int64(len(buffer)) > b.limit:
			return nil, ErrTooLarge
		case err == io.EOF:
			return buffer, nil
		case err != nil:
			return nil, readError(err)
		case len(buffer) == cap(buffer):
			size := b.larger(buffer, r.ContentLength)
			if err := b.claim(ctx, h, size, r.ContentLength); err != nil {
				return nil, err
			}
			buffer = b.grow(buffer, size)
			*h.buffer = buffer
		}
	}
}

// claim claims room for a buffer of a size, which may be there already. What becomes large gives its small room back.
func (b *reader) claim(ctx context.Context, h *held, size, announced int64) error {
	if h.large > 0 {
		return nil
	}
	if size <= smallBody {
		more := max(0, size-h.small)
		err := b.small.take(ctx, more)
		if err == nil {
			h.small += more
		}
		return err
	}
	most := b.limit + 1
	if announced >= 0 {
		most = max(announced+1, size)
	}
	if err := b.large.take(ctx, most); err != nil {
		return err
	}
	b.small.put(h.small)
	h.small, h.large = 0, most
	return nil
}

// larger is the size of the next buffer: what the client has announced where its beginning is there, else twice as much,
// so that an announcement alone claims no memory.
func (b *reader) larger(buffer []byte, announced int64) int64 {
	size := min(2*int64(cap(buffer)), b.limit+1)
	if announced > int64(len(buffer)) && (announced < size || size > smallBody) {
		size = announced + 1 // one more, so that the end is seen without growing again
	}
	return max(size, int64(len(buffer))+1)
}

// grow moves what has been read into a buffer of a size that has been claimed.
func (b *reader) grow(buffer []byte, size int64) []byte {
	if size <= smallBody {
		return append(make([]byte, 0, size), buffer...)
	}
	grown := append(b.spare.take(size), buffer...)
	if cap(buffer) > smallBody {
		b.spare.put(buffer)
	}
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
