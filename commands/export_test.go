package commands

// Remembered is the size of the states that b remembers, as it reckons.
func (b *Bus) Remembered() int {
	b.lines.mu.Lock()
	defer b.lines.mu.Unlock()
	return b.lines.size
}
