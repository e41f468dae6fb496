package account

import "encoding/json"

// Issue brings a credential into being. ID is the HMAC of the access key.
type Issue struct {
	ID          string
	Origin      string
	AccessKey   string
	SecretHash  string
	Description json.RawMessage
	Gone        string // an origin that has been removed: the name is free if that is its present holder, but not if it is another
}

// Revise changes the secret, the description or both; what is empty stays. Origin is where the caller believes the
// credential belongs.
type Revise struct {
	ID          string
	Origin      string
	SecretHash  string
	Description json.RawMessage
}

// Revoke ends a credential. Origin is where the caller believes it belongs.
type Revoke struct {
	ID     string
	Origin string
}

func (c Issue) Stream() string     { return "account-" + c.ID }
func (c Revise) Stream() string    { return "account-" + c.ID }
func (c Revoke) Stream() string    { return "account-" + c.ID }
func (Issue) CommandName() string  { return "credential.issue" }
func (Revise) CommandName() string { return "credential.revise" }
func (Revoke) CommandName() string { return "credential.revoke" }
