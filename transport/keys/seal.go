package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"strconv"

	"strandline/domain"
	"strandline/domain/codec"
)

var (
	_ codec.Sealer = (*Store)(nil)
	_ codec.Opener = (*Store)(nil)
)

// Seal implements codec.Sealer: it appends a random nonce and the sealed bytes to dst.
func (s *Store) Seal(dst []byte, key string, plain, ad []byte) ([]byte, error) {
	aead, err := s.aead(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	start := len(dst)
	dst = append(dst, make([]byte, nonceSize)...)
	if err := s.random.draw(dst[start:]); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return aead.Seal(dst, dst[start:start+nonceSize], plain, ad), nil
}

// Open implements codec.Opener: it appends what Seal sealed to dst. A key that is not there is codec.ErrKeyDestroyed.
func (s *Store) Open(dst []byte, key string, sealed, ad []byte) ([]byte, error) {
	aead, err := s.aead(key)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if len(sealed) < nonceSize+tagSize {
		return nil, fmt.Errorf("open under key %s: %w: %d bytes are too few", key, domain.ErrDamaged, len(sealed))
	}
	plain, err := aead.Open(dst, sealed[:nonceSize], sealed[nonceSize:], ad)
	if err != nil {
		return nil, fmt.Errorf("open under key %s: %w: %w", key, domain.ErrDamaged, err)
	}
	return plain, nil
}

// aead returns the key with this id, ready for use.
func (s *Store) aead(key string) (cipher.AEAD, error) {
	id, err := strconv.ParseUint(key, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key, codec.ErrKeyDestroyed)
	}
	if err := s.fresh(); err != nil {
		return nil, err
	}
	if aead := s.opened.get(id); aead != nil {
		return aead, nil
	}
	aead, err := s.ready(id)
	if errors.Is(err, codec.ErrKeyDestroyed) && s.heard() {
		return s.ready(id)
	}
	return aead, err
}

// ready makes a key ready for use.
func (s *Store) ready(id uint64) (cipher.AEAD, error) {
	s.mu.RLock()
	defer s.mu.RUnlock() // whoever takes a key away drops it from the cache after it has left these maps
	index, ok := s.ids[id]
	if !ok {
		return nil, fmt.Errorf("key %s: %w", name(id), codec.ErrKeyDestroyed)
	}
	raw, err := s.unwrap(s.keys[index])
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(raw)
	if err != nil {
		return nil, err
	}
	s.opened.put(id, aead)
	return aead, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// name is the id of a key as it stands in an envelope.
func name(id uint64) string {
	text := strconv.AppendUint(make([]byte, 0, 16), id, 16)
	return string(text)
}
