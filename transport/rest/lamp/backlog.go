package lamp

import (
	"sync"

	"strandline/domain"
)

// Bounds of what observations may be ahead of the read model that shows them.
const (
	aheadCommands = 1024 // commands of few items
	fewItems      = 128
)

// backlog holds those who record observations back when the read model falls behind, so that a read never has long to
// wait: each waits for what was recorded some commands before its own. Its own it need not wait for, as a read waits for
// all that had been recorded when it came. A read model applies many events together at little more than the cost of one.
type backlog struct {
	mu   sync.Mutex
	ring [aheadCommands]domain.Position
	next int
}

// behind notes what a command of n items recorded, and returns the position that it is to wait for.
func (b *backlog) behind(at domain.Position, n int) domain.Position {
	if n > fewItems {
		return at
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.ring[b.next]
	b.ring[b.next] = at
	b.next = (b.next + 1) % len(b.ring)
	return before
}
