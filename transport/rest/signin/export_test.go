package signin

import (
	"fmt"
	"time"
)

// Cost reads a hash and returns what checking a secret against it costs.
func Cost(text string) (memoryKiB, passes uint32, err error) {
	h, err := parse(text)
	return h.memory, h.passes, err
}

// Forget has so many guesses made at access keys of nobody that the oldest of them is forgotten.
func (c *Checker) Forget() {
	for n := range 2 * mostUnknown {
		c.guesses.pay(attempt{id: fmt.Sprint("nobody", n), from: "203.0.113.1"}, time.Unix(1e9, 0))
	}
}
