package embedded

import "sync"

// signal wakes those who wait for something to happen.
type signal struct {
	mu      sync.Mutex
	waiting chan struct{} // nil if nobody waits
}

// next returns a channel that is closed when it happens next.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = make(chan struct{})
	}
	return s.waiting
}

// happened wakes all who wait.
func (s *signal) happened() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}
