package attachment

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode/utf8"

	"strandline/domain"
)

// maxName is the length of a key or a target in bytes, at most.
const maxName = 256

// State is what decisions need to remember of one owner's documents: a hash of each, to tell whether a new one differs.
// The zero State is an owner who never had any.
type State struct {
	documents layers
}

// Evolve returns s after e.
func Evolve(s State, e domain.Event) State {
	switch e := e.(type) {
	case Set:
		s.documents = s.documents.set(place{e.Target, e.Key}, sha256.Sum256(e.Value))
	case Cleared:
		s.documents = s.documents.set(place{e.Target, e.Key}, nothing)
	}
	return s
}

// Decide returns what c causes in s.
func Decide(s State, c domain.Command) ([]domain.Event, error) {
	switch c := c.(type) {
	case Attach:
		return attach(s, c)
	case Clear:
		return unset(s, c)
	}
	return nil, fmt.Errorf("%w: attachments cannot %T", domain.ErrInvalid, c)
}

func attach(s State, c Attach) ([]domain.Event, error) {
	if err := check(c.Target, c.Key); err != nil {
		return nil, err
	}
	if len(c.Value) == 0 {
		return nil, fmt.Errorf("%w: an attachment needs a value", domain.ErrInvalid)
	}
	if s.documents.get(place{c.Target, c.Key}) == sha256.Sum256(c.Value) {
		return nil, nil
	}
	return []domain.Event{Set(c)}, nil
}

func unset(s State, c Clear) ([]domain.Event, error) {
	if err := check(c.Target, c.Key); err != nil {
		return nil, err
	}
	if s.documents.get(place{c.Target, c.Key}) == nothing {
		return nil, nil
	}
	return []domain.Event{Cleared(c)}, nil
}

func check(target, key string) error {
	if !isName(target) {
		return fmt.Errorf("%w: a target has 1 to %d bytes of text without slashes", domain.ErrInvalid, maxName)
	}
	if !isName(key) {
		return fmt.Errorf("%w: a key has 1 to %d bytes of text without slashes", domain.ErrInvalid, maxName)
	}
	return nil
}

func isName(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && !strings.Contains(s, "/")
}
