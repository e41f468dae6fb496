package signin

import (
	"fmt"
	"time"

	"golang.org/x/crypto/argon2"
)

// Cheap is Hash at the least cost there is, for tests of what is decided and not of how long it takes.
func Cheap(secret string) string {
	salt := make([]byte, saltBytes)
	return phc{8, 1, 1, salt, argon2.IDKey([]byte(secret), salt, 1, 8, 1, sumBytes)}.String()
}

// Cheaply has the secrets of unknown access keys hashed at that cost.
func Cheaply() Option {
	nobody := phc{8, 1, 1, make([]byte, saltBytes), make([]byte, sumBytes)}.String()
	return func(c *Checker) { c.nobody = nobody }
}

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
