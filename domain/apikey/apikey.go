package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"strandline/domain"
)

// Refusals.
var (
	ErrExists = fmt.Errorf("%w: there is or was another API key with this id", domain.ErrRejected)
	ErrNone   = fmt.Errorf("%w: no such API key", domain.ErrNotFound)
)

// Bounds: the length of a name in bytes, and the end of time in JavaScript and most other places, in ms since 1970.
const (
	maxName = 256
	maxTime = 8_640_000_000_000_000
)

// State is what decisions need to remember of one key. The zero State is a key that nobody has issued.
type State struct {
	Issued  Issued
	Revoked bool
}

// Evolve returns s after e.
func Evolve(s State, e domain.Event) State {
	switch e := e.(type) {
	case Issued:
		s.Issued = e
	case Revoked:
		s.Revoked = true
	}
	return s
}

// Decide returns what c causes in s.
func Decide(s State, c domain.Command) ([]domain.Event, error) {
	switch c := c.(type) {
	case Issue:
		return issue(s, c)
	case Revoke:
		return revoke(s, c)
	}
	return nil, fmt.Errorf("%w: an API key cannot %T", domain.ErrInvalid, c)
}

// issue is quiet where the same key has been issued already and is not revoked.
func issue(s State, c Issue) ([]domain.Event, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	switch {
	case s.Issued == Issued(c) && !s.Revoked:
		return nil, nil
	case s.Issued.ID != "":
		return nil, ErrExists
	}
	return []domain.Event{Issued(c)}, nil
}

// revoke is quiet where the key is revoked already.
func revoke(s State, c Revoke) ([]domain.Event, error) {
	if s.Issued.ID == "" || s.Issued.Origin != c.Origin {
		return nil, ErrNone
	}
	if s.Revoked {
		return nil, nil
	}
	return []domain.Event{Revoked(c)}, nil
}

func (c Issue) check() error {
	if c.ID == "" {
		return fmt.Errorf("%w: an API key needs an id", domain.ErrInvalid)
	}
	if sum, err := hex.DecodeString(c.SecretHash); err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("%w: the secret of an API key is stored as its SHA-256 only", domain.ErrInvalid)
	}
	if len(c.Name) > maxName || !utf8.ValidString(c.Name) {
		return fmt.Errorf("%w: the name of an API key is text of at most %d bytes", domain.ErrInvalid, maxName)
	}
	if c.From < 0 || c.To < 0 || c.From > maxTime || c.To > maxTime || c.To != 0 && c.From >= c.To {
		return fmt.Errorf("%w: an API key holds from a time after 1970 to a later one", domain.ErrInvalid)
	}
	return nil
}
