package keys

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// hasher makes keyed hashes, reusing their state.
type hasher struct{ states *sync.Pool }

func newHasher(key []byte) hasher {
	return hasher{&sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// Hash implements commands.Keys.
func (s *Store) Hash(purpose, text string) (sum [32]byte) {
	state := s.names.states.Get().(hash.Hash)
	defer s.names.states.Put(state)
	state.Reset()
	input := make([]byte, 0, 256)
	input = append(input, byte(len(purpose)))
	input = append(input, purpose...)
	input = append(input, text...)
	state.Write(input)
	state.Sum(sum[:0])
	return sum
}
