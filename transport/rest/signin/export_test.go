package signin

// Cost reads a hash and returns what checking a secret against it costs.
func Cost(text string) (memoryKiB, passes uint32, err error) {
	h, err := parse(text)
	return h.memory, h.passes, err
}
