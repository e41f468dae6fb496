package api

import (
	"net/http"
	"time"

	"strandline/commands/policy"
	"strandline/domain/apikey"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

const keysPath = "/strandline/v1/api-keys"

// Whoever has signed in may ask: what it may see, issue and revoke is asked for each key, on the object it signs in for.
func keyRoutes() []route {
	revoking := "It signs in no more with the next request, in open streams neither. What has been revoked already is no error."
	return []route{
		{method: "GET", path: keysPath, verb: policy.OwnList, handle: (*call).apiKeys, operation: operation{
			summary: "The API keys that the caller may see, oldest first, without their text",
			about:   "Shown are the keys of objects whose keys the caller may list: as with credentials its own, and those below. Revoked keys are not shown.",
			query: []parameter{
				{"origin", "string", "only those that sign in for this object itself; the word null is the installation"},
				{"after", "string", "go on after this place: next of the page before"},
				{"limit", "integer", "at most so many keys"},
			},
			answer: keyPage{},
		}},
		{method: "POST", path: keysPath, verb: policy.OwnList, handle: (*call).issueKey, operation: operation{
			summary: "Issue an API key",
			about: "The key is sent as Authorization: Bearer, on routes of every dialect. It acts for its origin, and roles can be granted to it by its id. " +
				"Its text is in this answer and nowhere else; only the same request, with the same Idempotency-Key and credential, shows it again.",
			body: issuing{}, answer: issuedKey{}, status: http.StatusCreated,
		}},
		{method: "DELETE", path: keysPath + "/{id}", verb: policy.OwnList, handle: (*call).revokeKey, operation: operation{
			summary: "Revoke an API key", about: revoking, answer: accepted{}, also: []int{http.StatusAccepted},
		}},
		{method: "DELETE", path: keysPath, verb: policy.OwnList, handle: (*call).revokeKey, operation: operation{
			summary: "Revoke the API key that the query names", about: revoking,
			query:  []parameter{{"id", "string", "of the key"}},
			answer: accepted{}, also: []int{http.StatusAccepted},
		}},
	}
}

// issuing is what is sent for a new key.
type issuing struct {
	Name   string     `json:"name,omitempty" about:"what people call it"`
	Origin string     `json:"origin,omitempty" about:"id of the object that it is to sign in for; left out, that of the caller. The word null is the installation"`
	From   *time.Time `json:"from,omitempty" about:"not before this time"`
	To     *time.Time `json:"to,omitempty" about:"before this time"`
}

// shownKey is a key as clients see it.
type shownKey struct {
	ID     string     `json:"id" about:"of the key, and of the credential that it is"`
	Name   string     `json:"name"`
	Origin *string    `json:"origin" about:"the object that it signs in for; null is the installation"`
	From   *time.Time `json:"from" about:"it signs in from this time on; null is since ever"`
	To     *time.Time `json:"to" about:"it signs in until before this time; null is for ever"`
	Issued *time.Time `json:"issued,omitempty" about:"when it was issued"`
	By     string     `json:"by,omitempty" about:"who issued it: the id of an object, root or system"`
}

// issuedKey is a new key with its text.
type issuedKey struct {
	shownKey
	Key string `json:"key" about:"the text that signs in; keep it, it is not shown again"`
}

// keyPage is one page of keys.
type keyPage struct {
	Keys []shownKey `json:"keys"`
	Next *string    `json:"next" about:"to be given as after, for the page that follows; null where there is nothing left"`
	End  bool       `json:"end" about:"there was nothing more when the request came; later there may be"`
}

func describedKey(k apikey.Key) shownKey {
	s := shownKey{ID: k.ID, Name: k.Name, Origin: orNull(k.Origin), From: moment(k.From), To: moment(k.To), By: k.By}
	if !k.Time.IsZero() {
		s.Issued = &k.Time
	}
	return s
}

// apiKeys answers with a page of keys.
func (c *call) apiKeys() (rest.Answer, error) {
	after, err := readPositionCursor(c.query.text("after"), cursorOfKeys)
	if err != nil {
		return rest.Answer{}, err
	}
	c.ready(c.Directory)
	page, next := keyPage{Keys: []shownKey{}, End: true}, ""
	for _, k := range c.Directory.APIKeysAfter(after) {
		if c.query.has("origin") && idOf(c.query.text("origin")) != k.Origin || !c.mayDo(policy.KeyList, k.Origin) {
			continue
		}
		if len(page.Keys) == c.query.page() {
			page.End = false
			break
		}
		page.Keys, next = append(page.Keys, describedKey(k)), positionCursor(k.Position, cursorOfKeys)
	}
	page.Next = orNull(next)
	return shows(page, len(page.Keys))
}

// issueKey draws a key. The same idempotency key draws the same one, so that an answer that was lost can be asked for again.
func (c *call) issueKey() (rest.Answer, error) {
	var sent issuing
	if err := c.sent(&sent); err != nil {
		return rest.Answer{}, err
	}
	command := apikey.Issue{Name: sent.Name, Origin: c.Meta.Origin}
	if sent.Origin != "" {
		command.Origin = idOf(sent.Origin)
	}
	var err error
	if command.From, command.To, err = span(sent.From, sent.To); err != nil {
		return rest.Answer{}, err
	}
	if err := c.allow(policy.KeyCreate, command.Origin); err != nil {
		return rest.Answer{}, err
	}
	var text string
	if command.ID, text, command.SecretHash, err = signin.NewKey(c.Bus.IDs(c.Meta)); err != nil {
		return rest.Answer{}, err
	}
	receipt, err := c.carryOut(command)
	if err != nil {
		return rest.Answer{}, err
	}
	answer, err := c.done(receipt, c.Directory)
	if err != nil {
		return rest.Answer{}, err
	}
	key, ok := c.Directory.IssuedKey(command.ID)
	if !ok { // the directory is late; the key is on disk all the same
		key.Issued = apikey.Issued(command)
	}
	quiet := answer.Quiet
	answer, err = shows(issuedKey{describedKey(key), text}, 0)
	answer.Status, answer.Quiet = http.StatusCreated, quiet
	return answer, err
}

// revokeKey ends a key.
func (c *call) revokeKey() (rest.Answer, error) {
	id, err := c.named()
	if err != nil {
		return rest.Answer{}, err
	}
	key, ok := c.Directory.IssuedKey(id)
	if !ok {
		return rest.Answer{}, apikey.ErrNone
	}
	if err := c.allow(policy.KeyDelete, key.Origin); err != nil {
		return rest.Answer{}, err
	}
	receipt, err := c.carryOut(apikey.Revoke{ID: id, Origin: key.Origin})
	if err != nil {
		return rest.Answer{}, err
	}
	return c.done(receipt, c.Directory)
}
