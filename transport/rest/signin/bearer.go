package signin

import (
	"fmt"
	"strings"

	"strandline/commands"
	"strandline/domain/apikey"
	"strandline/transport/rest"
)

// ErrToken says that a bearer token signs nobody in: as with a wrong secret, it is not said why.
var ErrToken = fmt.Errorf("%w, or the API key is unknown, revoked, expired or not valid yet", ErrUnknown)

// Authenticate finds out who makes a call, by an access key with its secret (Basic) or by an API key (Bearer), and tells
// the call. It fails with ErrMissing, ErrUnknown, ErrToken, or *rest.BusyError if this caller has to come back later.
func (c *Checker) Authenticate(call *rest.Call) error {
	defer call.Step("sign in")()
	header := call.Request().Header.Get("Authorization")
	if token, ok := bearer(header); ok {
		err := c.withToken(call, token)
		c.outcome(outcomeOf(err))
		return err
	}
	accessKey, secret, err := Basic(header)
	if err != nil {
		return err
	}
	principal, err := c.Check(call.Context(), call.Arrival, call.Meta.Details.Address, accessKey, secret)
	if err != nil {
		call.Attempted = accessKey
		return err
	}
	call.Meta.Principal = principal
	return nil
}

// bearer is the token in an Authorization header with the word Bearer, in any letter case.
func bearer(header string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(strings.TrimLeft(header, " "), " ")
	token = strings.TrimSpace(token)
	return token, token != "" && strings.EqualFold(scheme, "bearer")
}

// withToken is Authenticate for an API key. It is its own client key too, unless the client names another (decision 11).
func (c *Checker) withToken(call *rest.Call, token string) error {
	if err := c.upToDate(call.Context(), call.Arrival); err != nil {
		return err
	}
	key, err := c.token(rest.Source(call.Meta.Details.Address), token)
	c.outcome(outcomeOf(err))
	if err != nil {
		if id, _, ok := parseKey(token); ok {
			call.Attempted = id
		}
		c.pace(call.Context(), rest.Source(call.Meta.Details.Address))
		return err
	}
	call.Meta.Principal = commands.Principal{Credential: key.ID, Origin: key.Origin, Root: key.Origin == ""}
	if call.Meta.APIKey == "" {
		call.Meta.APIKey = key.ID
	}
	return nil
}

// token finds the API key that a token is. A right one is a look into the directory and one SHA-256, and no failure of
// others holds it back. Wrong ones count as failures of their source, each once.
func (c *Checker) token(from, token string) (apikey.Key, error) {
	if key, ok := c.apiKey(token); ok {
		return key, nil
	}
	now := c.clock()
	d, nobody := c.digest("", token), bond{}
	if c.tokens.recall(d, nobody, now) != forgotten {
		return apikey.Key{}, ErrToken
	}
	if wait := c.sources.wait(from, now); wait > 0 {
		return apikey.Key{}, &rest.BusyError{With: "failed sign-ins", After: wait}
	}
	c.tokens.remember(d, nobody, now)
	c.sources.fail(from, now)
	return apikey.Key{}, ErrToken
}

func (c *Checker) apiKey(text string) (apikey.Key, bool) {
	id, secret, ok := parseKey(text)
	if !ok {
		return apikey.Key{}, false
	}
	key, _ := c.directory.APIKey(id)
	right := opens(secret, key.SecretHash) // of an unknown key too, so that it takes as long
	return key, right && key.HoldsAt(c.clock())
}

// KnownKey is the id of the API key with that text, if there is one that signs in now.
func (c *Checker) KnownKey(text string) (id string, ok bool) {
	key, ok := c.apiKey(text)
	return key.ID, ok
}
