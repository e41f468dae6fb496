package rest

import (
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// quiet is how long no large buffer has been given back before those that are kept go back to the system.
const quiet = time.Second

// spare keeps large buffers from one body to the next: a new one each time would have to be cleared, and would bring a
// collection of garbage about, both at the expense of everybody else. None is kept for longer than large bodies come.
type spare struct {
	most int64 // bytes kept

	mu      sync.Mutex
	buffers [][]byte
	bytes   int64
	end     *time.Timer
}

// take returns an empty buffer for so many bytes: the smallest of those kept that will do, else a new one.
func (s *spare) take(size int64) []byte {
	if kept := s.find(size); kept != nil {
		return kept
	}
	return make([]byte, 0, size)
}

func (s *spare) find(size int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.buffers, func(a, b []byte) int { return cap(a) - cap(b) })
	at := slices.IndexFunc(s.buffers, func(b []byte) bool { return int64(cap(b)) >= size })
	if at < 0 {
		return nil
	}
	kept := s.buffers[at]
	s.buffers = slices.Delete(s.buffers, at, at+1)
	s.bytes -= int64(cap(kept))
	return kept[:0]
}

// put keeps a buffer that nothing points into, in the place of others if need be.
func (s *spare) put(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(cap(b))
	if size > s.most {
		return
	}
	if s.bytes+size > s.most {
		s.buffers, s.bytes = nil, 0
	}
	s.buffers, s.bytes = append(s.buffers, b), s.bytes+size
	if s.end == nil {
		s.end = time.AfterFunc(quiet, s.drop)
		return
	}
	s.end.Reset(quiet)
}

// drop gives all that is kept back to the system.
func (s *spare) drop() {
	s.mu.Lock()
	kept := s.bytes
	s.buffers, s.bytes = nil, 0
	s.mu.Unlock()
	if kept > 0 {
		debug.FreeOSMemory()
	}
}
