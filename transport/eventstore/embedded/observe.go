package embedded

import (
	"time"

	"strandline/commands"
)

// Observer is told how the log fares, by the goroutines that do its work: it must be quick and must not block.
type Observer interface {
	// Appended is told how long an append has taken, whichever way it ended.
	Appended(took time.Duration)
	// Synced is told how long a write of a group waited for the disk.
	Synced(took time.Duration)
	// Grouped is told how many records have become durable together.
	Grouped(records int)
}

// Queued is how many bytes of records wait to be written, and how many may.
func (s *Store) Queued() (bytes, limit int) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.filling.bytes, s.queue.limit
}

// Pending is how long the write that is under way has taken so far, 0 if none is. It grows while the disk hangs.
func (s *Store) Pending() time.Duration {
	since := s.writing.Load()
	if since == 0 {
		return 0
	}
	return max(0, time.Since(time.Unix(0, since)))
}

// Bytes is how much the log takes on the disk: full segments count whole, the active one up to its last group.
func (s *Store) Bytes() int64 {
	full := max(0, s.segments.count()-1)
	return int64(full)*s.opt.SegmentSize + s.extent.Load()
}

// Full tells whether the disk had no room for what was to be appended last. With room again, the next append succeeds.
func (s *Store) Full() bool { return s.full.Load() }

// count is how many segments there are.
func (c *catalogue) count() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.list)
}

// answered tells the observer of an append that came at the given time, and passes on what came of it.
func (s *Store) answered(came time.Time, a commands.Appended, err error) (commands.Appended, error) {
	if s.opt.Observer != nil {
		s.opt.Observer.Appended(time.Since(came))
	}
	return a, err
}

// arrival is the present, where an observer wants to know.
func (s *Store) arrival() (now time.Time) {
	if s.opt.Observer != nil {
		now = time.Now()
	}
	return now
}
