package keys

import (
	"fmt"
	"io"
	"sync"

	"strandline/domain"
)

// source deals out random bytes, read in larger pieces.
type source struct {
	mu   sync.Mutex
	from io.Reader
	left []byte
	page [4096]byte
}

func (s *source) draw(dst []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) < len(dst) {
		if _, err := io.ReadFull(s.from, s.page[:]); err != nil {
			return fmt.Errorf("%w: no random numbers: %w", domain.ErrUnavailable, err)
		}
		s.left = s.page[:]
	}
	n := copy(dst, s.left)
	clear(s.left[:n])
	s.left = s.left[n:]
	return nil
}
