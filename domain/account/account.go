package account

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"strandline/domain"
)

// Refusals.
var (
	ErrInUse = fmt.Errorf("%w: another credential has this access key", domain.ErrRejected)
	ErrNone  = fmt.Errorf("%w: no such credential", domain.ErrNotFound)
)

// maxAccessKey is the length of an access key in bytes, at most.
const maxAccessKey = 256

// State is what decisions need to remember of the credential under one access key. The zero State is an access key that
// nobody ever had.
type State struct {
	Issued      bool   // there is or was a credential
	Live        bool   // it is not revoked
	Origin      string // of the latest
	Secret      [sha256.Size]byte
	Description [sha256.Size]byte
}

// Evolve returns s after e.
func Evolve(s State, e domain.Event) State {
	switch e := e.(type) {
	case Issued:
		return State{
			Issued:      true,
			Live:        true,
			Origin:      e.Origin,
			Secret:      sha256.Sum256([]byte(e.SecretHash)),
			Description: sha256.Sum256(e.Description),
		}
	case Revised:
		if e.SecretHash != "" {
			s.Secret = sha256.Sum256([]byte(e.SecretHash))
		}
		if e.Description != nil {
			s.Description = sha256.Sum256(e.Description)
		}
	case Revoked:
		s.Live = false
	}
	return s
}

// Decide returns what c causes in s.
func Decide(s State, c domain.Command) ([]domain.Event, error) {
	switch c := c.(type) {
	case Issue:
		return issue(s, c)
	case Revise:
		return revise(s, c)
	case Revoke:
		return revoke(s, c)
	}
	return nil, fmt.Errorf("%w: a credential cannot %T", domain.ErrInvalid, c)
}

func issue(s State, c Issue) ([]domain.Event, error) {
	if c.ID == "" || c.AccessKey == "" || len(c.AccessKey) > maxAccessKey || !utf8.ValidString(c.AccessKey) {
		return nil, fmt.Errorf("%w: an access key has 1 to %d bytes of text", domain.ErrInvalid, maxAccessKey)
	}
	if c.SecretHash == "" {
		return nil, fmt.Errorf("%w: a credential needs a secret", domain.ErrInvalid)
	}
	if err := check(c.SecretHash, c.Description); err != nil {
		return nil, err
	}
	if s.Live && (c.Gone == "" || c.Gone != s.Origin) {
		return nil, ErrInUse
	}
	return []domain.Event{Issued{
		ID:          c.ID,
		Origin:      c.Origin,
		AccessKey:   c.AccessKey,
		SecretHash:  c.SecretHash,
		Description: c.Description,
	}}, nil
}

func revise(s State, c Revise) ([]domain.Event, error) {
	if !s.Live || s.Origin != c.Origin {
		return nil, ErrNone
	}
	if err := check(c.SecretHash, c.Description); err != nil {
		return nil, err
	}
	e := Revised{ID: c.ID}
	if sha256.Sum256([]byte(c.SecretHash)) != s.Secret {
		e.SecretHash = c.SecretHash
	}
	if sha256.Sum256(c.Description) != s.Description {
		e.Description = c.Description
	}
	if e.SecretHash == "" && e.Description == nil {
		return nil, nil
	}
	return []domain.Event{e}, nil
}

// revoke is quiet where the latest credential of that origin is revoked already.
func revoke(s State, c Revoke) ([]domain.Event, error) {
	if !s.Issued || s.Origin != c.Origin {
		return nil, ErrNone
	}
	if !s.Live {
		return nil, nil
	}
	return []domain.Event{Revoked{ID: c.ID}}, nil
}

// check refuses a secret in clear and a description that is neither text nor null. What is empty is not given.
func check(secretHash string, description json.RawMessage) error {
	if secretHash != "" && !strings.HasPrefix(secretHash, "$argon2id$") {
		return fmt.Errorf("%w: a secret is stored as its argon2id hash only", domain.ErrInvalid)
	}
	if len(description) > 0 && description[0] != '"' && string(description) != "null" {
		return fmt.Errorf("%w: a description is text or null", domain.ErrInvalid)
	}
	return nil
}
