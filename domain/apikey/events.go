// Package apikey decides about API keys: secrets that programs sign in with, drawn by the server. There is one stream
// for each key.
//
// A key is a principal of its own, so that roles can be granted to it, and acts for the object that it was issued for.
// Its secret is 256 random bits: nobody can guess them from their hash, so that a plain SHA-256 is as good as a slow
// hash and takes a microsecond. The secret itself is shown once, by the door that draws it, and is in no event.
package apikey

import (
	"time"

	"strandline/domain"
)

// Issued says that an API key came to be. It signs in during [From, To) where they are not 0. Type "api_key.issued".
type Issued struct {
	ID         string `json:"id"`
	Origin     string `json:"origin"`         // the object it signs in as; empty is the installation ("root")
	SecretHash string `json:"secret_hash"`    // SHA-256 of the secret, hexadecimal
	Name       string `json:"name,omitempty"` // what people call it
	From       int64  `json:"from,omitempty"` // ms since 1970, 0 is since ever
	To         int64  `json:"to,omitempty"`   // ms since 1970, 0 is for ever
}

// Revoked says that a key no longer signs anybody in. Type "api_key.revoked".
type Revoked struct {
	ID     string `json:"id"`
	Origin string `json:"origin"`
}

func (Issued) EventType() string  { return "api_key.issued" }
func (Revoked) EventType() string { return "api_key.revoked" }

// Issue brings a key into being, Revoke ends one. IDs are drawn by the caller.
type (
	Issue  Issued
	Revoke Revoked
)

func (c Issue) Stream() string     { return "apikey-" + c.ID }
func (c Revoke) Stream() string    { return "apikey-" + c.ID }
func (Issue) CommandName() string  { return "api_key.issue" }
func (Revoke) CommandName() string { return "api_key.revoke" }

// Key is what the directory knows of a key.
type Key struct {
	Issued
	Revoked  bool
	Position domain.Position // at which it was issued
	Time     time.Time       // when
	By       string          // who issued it
}

// HoldsAt tells whether the key signs in at a time, unless it is revoked.
func (k Issued) HoldsAt(now time.Time) bool {
	ms := now.UnixMilli()
	return ms >= k.From && (k.To == 0 || ms < k.To)
}
