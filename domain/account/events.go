// Package account decides about credentials: who may sign in, and as what. The stream of a credential is named after
// the keyed hash of its access key, so that the stream itself is the claim on that access key: one live credential to
// a name, and the name free again once the credential is revoked (decision 6).
package account

import "encoding/json"

// Issued says that a credential came to be. Type "credential.issued".
type Issued struct {
	ID          string          `json:"id"`     // HMAC of the access key, hexadecimal
	Origin      string          `json:"origin"` // the object it signs in as; empty is the installation ("root")
	AccessKey   string          `json:"access_key"`
	SecretHash  string          `json:"secret_hash"`           // argon2id in its PHC string form, never the secret
	Description json.RawMessage `json:"description,omitempty"` // as sent
}

// Revised says that the secret or the description changed; what is absent stays. Type "credential.revised".
type Revised struct {
	ID          string          `json:"id"`
	SecretHash  string          `json:"secret_hash,omitempty"`
	Description json.RawMessage `json:"description,omitempty"`
}

// Revoked says that the credential no longer signs anybody in. Type "credential.revoked".
type Revoked struct {
	ID string `json:"id"`
}

func (Issued) EventType() string  { return "credential.issued" }
func (Revised) EventType() string { return "credential.revised" }
func (Revoked) EventType() string { return "credential.revoked" }

// Credential is what the directory knows of a live credential: not revoked, its origin visible.
type Credential struct {
	ID          string // HMAC of the access key
	Origin      string // empty is the installation
	AccessKey   string
	SecretHash  string          // argon2id, PHC string form
	Description json.RawMessage // as sent, nil if none
	Revision    uint64          // of its last event: whoever remembers a verified secret binds it to this
}
