package couch

import "time"

// SetClock has the Store take the time from a function.
func (s *Store) SetClock(now func() time.Time) { s.now = now }
