package lamp

import (
	"encoding/json"
	"strings"

	"strandline/domain/account"
	"strandline/domain/rawjson"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// listCredentials lists the credentials of the named object. Secrets never leave the server (contract, section 3.6).
func listCredentials(c *call) (rest.Answer, error) {
	c.ReadFrom(c.Arrival)
	body := append(c.Buffer(), `{"data":[`...)
	found := c.Directory.CredentialsOf(c.id)
	for i := range found {
		body = appendCredential(separate(body, i), &found[i])
	}
	return answer(append(body, ']', '}'), len(found)), nil
}

func appendCredential(dst []byte, held *account.Credential) []byte {
	dst = append(dst, `{"origin":`...)
	if held.Origin == "" {
		dst = append(dst, `null`...)
	} else {
		dst = rawjson.AppendString(dst, held.Origin)
	}
	dst = append(dst, `,"access_key":`...)
	dst = rawjson.AppendString(dst, held.AccessKey)
	dst = append(dst, `,"secret_key":null,"description":`...)
	if held.Description == nil {
		dst = append(dst, `null`...)
	}
	dst = append(dst, held.Description...)
	return append(dst, '}')
}

// credential is the body of a request about one. Absent strings are empty.
type credential struct {
	origin      []byte // raw, nil if absent
	accessKey   string
	secret      string
	description json.RawMessage
}

// readCredential reads the body of a request. Members of the wrong type are errBadCredential; null stands for absent,
// but for the description, where it is a value.
func readCredential(body []byte) (read credential, err error) {
	if body[0] != '{' {
		return credential{}, errBadCredential
	}
	for name, raw := range rawjson.Members(body) {
		ok := true
		switch name {
		case "origin":
			read.origin = raw
		case "access_key":
			read.accessKey, ok = optional(raw)
		case "secret_key":
			read.secret, ok = optional(raw)
		case "description":
			read.description, ok = raw, isNull(raw) || isString(raw)
		}
		if !ok {
			return credential{}, errBadCredential
		}
	}
	return read, nil
}

// longestSecret bounds what is hashed, in bytes.
const longestSecret = 1024

// optional is the text of a string or null.
func optional(raw []byte) (string, bool) {
	if isNull(raw) {
		return "", true
	}
	text, ok := rawjson.String(raw)
	return text, ok && len(text) <= longestSecret
}

// isFor tells whether the credential's origin is the object that the path names (contract, section 5.7).
func (read *credential) isFor(id string) bool {
	if read.origin == nil || isNull(read.origin) {
		return true
	}
	origin, ok := rawjson.String(read.origin)
	return ok && (origin == me || origin == id || origin == null && id == "")
}

// createCredential makes a credential that signs in as the named object. An access key with a colon could not sign in.
func createCredential(c *call) (rest.Answer, error) {
	body, err := c.json()
	if err != nil {
		return rest.Answer{}, err
	}
	read, err := readCredential(body)
	if err != nil {
		return rest.Answer{}, err
	}
	if !read.isFor(c.id) || read.secret == "" || read.accessKey == "" || strings.Contains(read.accessKey, ":") {
		return rest.Answer{}, errBadCredential
	}
	id := signin.CredentialID(c.Keys, read.accessKey)
	hash, err := c.SignIn.Hash(c.Context(), read.secret)
	if err != nil {
		return rest.Answer{}, err
	}
	return c.do(account.Issue{ID: id, Origin: c.id, AccessKey: read.accessKey, SecretHash: hash,
		Description: read.description, Gone: c.goneHolder(id)}, c.Directory)
}

// goneHolder is the origin of the latest credential with an id, if that has been removed.
func (c *call) goneHolder(id string) string {
	origin := c.Directory.Holder(id)
	if _, ok := c.Directory.Object(origin); ok {
		return ""
	}
	return origin
}

// updateCredential changes the secret, the description or both. A bare string is a new secret.
func updateCredential(c *call) (rest.Answer, error) {
	id, err := c.ownCredential()
	if err != nil {
		return rest.Answer{}, err
	}
	body, err := c.json()
	if err != nil {
		return rest.Answer{}, err
	}
	read, err := readUpdate(body)
	if err != nil {
		return rest.Answer{}, err
	}
	change := account.Revise{ID: id, Origin: c.id, Description: read.description}
	if read.secret != "" {
		if change.SecretHash, err = c.SignIn.Hash(c.Context(), read.secret); err != nil {
			return rest.Answer{}, err
		}
	}
	return c.do(change, c.Directory)
}

func readUpdate(body []byte) (credential, error) {
	if !isString(body) {
		return readCredential(body)
	}
	secret, ok := optional(body)
	if !ok || secret == "" {
		return credential{}, errBadCredential
	}
	return credential{secret: secret}, nil
}

// removeCredential ends a credential. One that has ended already is no error.
func removeCredential(c *call) (rest.Answer, error) {
	id := signin.CredentialID(c.Keys, c.vars["access_key"])
	return c.do(account.Revoke{ID: id, Origin: c.id}, c.Directory)
}

// ownCredential is the id of the credential that the path names, if the named object has it.
func (c *call) ownCredential() (string, error) {
	id := signin.CredentialID(c.Keys, c.vars["access_key"])
	held, ok := c.Directory.Credential(id)
	if ok && held.Origin == c.id {
		return id, nil
	}
	if c.mayBeAgain() {
		c.gone = errNoCredential
		return id, nil
	}
	return "", errNoCredential
}
