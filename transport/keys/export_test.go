package keys

// Waiting is how many keys wait to be written.
func (s *Store) Waiting() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.next == nil {
		return 0
	}
	return len(s.next.entries)
}
