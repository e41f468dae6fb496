package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/grant"
	"strandline/domain/registry"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

const grantsPath = "/strandline/v1/grants"

// Whoever has signed in may ask: what it may see, give and withdraw is asked for each grant, on its object.
func grantRoutes() []route {
	withdrawing := "Whoever may give a role may withdraw it. What has been withdrawn already is no error. It bites with the next request, in open streams too."
	return []route{
		{method: "GET", path: grantsPath, verb: policy.OwnList, handle: (*call).grants, operation: operation{
			summary: "Who holds which role on what, oldest first",
			about: "Shown are the grants on objects whose grants the caller may list (its own, for a researcher; those that it owns by a grant), " +
				"and those that its own credential holds. Grants that are not in force yet, or no more, are shown too; withdrawn ones are not.",
			query: []parameter{
				{"object", "string", "only on this object itself; the word null is the installation"},
				{"credential", "string", "only those held by this credential or API key"},
				{"after", "string", "go on after this place: next of the page before"},
				{"limit", "integer", "at most so many grants"},
			},
			answer: grantPage{},
		}},
		{method: "POST", path: grantsPath, verb: policy.OwnList, handle: (*call).give, operation: operation{
			summary: "Grant a role on an object, and on all below it, to a credential or an API key",
			about: "Root grants any role on anything; a researcher owner, writer and reader in its own subtree; an owner writer and reader on what it owns. " +
				"A reader views, a writer creates and changes too, an owner deletes and lets others in too; an auditor opens stored events and audit records. " +
				"A grant ends when it is withdrawn or its credential is revoked.",
			body: giving{}, answer: heldGrant{}, status: http.StatusCreated, also: []int{http.StatusAccepted},
		}},
		{method: "DELETE", path: grantsPath + "/{id}", verb: policy.OwnList, handle: (*call).withdraw, operation: operation{
			summary: "Withdraw a grant", about: withdrawing, answer: accepted{}, also: []int{http.StatusAccepted},
		}},
		{method: "DELETE", path: grantsPath, verb: policy.OwnList, handle: (*call).withdraw, operation: operation{
			summary: "Withdraw the grant that the query names", about: withdrawing,
			query:  []parameter{{"id", "string", "of the grant"}},
			answer: accepted{}, also: []int{http.StatusAccepted},
		}},
	}
}

// giving is what is sent to grant a role.
type giving struct {
	Object     objectName `json:"object" about:"id of the object; null is the installation, so it cannot be left out"`
	Role       grant.Role `json:"role" enum:"owner,writer,reader,auditor"`
	Credential string     `json:"credential,omitempty" about:"id of the credential or API key that is to hold the role"`
	AccessKey  string     `json:"access_key,omitempty" about:"the credential's access key, in place of its id"`
	From       *time.Time `json:"from,omitempty" about:"not before this time"`
	To         *time.Time `json:"to,omitempty" about:"before this time"`
}

// objectName is the id of an object, or null for the installation.
type objectName string

// UnmarshalJSON tells null from what was left out.
func (n *objectName) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		*n = installation
		return nil
	}
	return json.Unmarshal(raw, (*string)(n))
}

// heldGrant is a grant as clients see it.
type heldGrant struct {
	ID         string     `json:"id"`
	Object     *string    `json:"object" about:"what the role is held on, with all below it; null is the installation"`
	Role       grant.Role `json:"role" enum:"owner,writer,reader,auditor"`
	Credential string     `json:"credential" about:"id of the credential or API key that holds it"`
	AccessKey  string     `json:"access_key,omitempty" about:"of that credential"`
	From       *time.Time `json:"from" about:"it holds from this time on; null is since ever"`
	To         *time.Time `json:"to" about:"it holds until before this time; null is for ever"`
	Given      time.Time  `json:"given" about:"when it was given"`
	By         string     `json:"by" about:"who gave it: the id of an object, root or system"`
}

// grantPage is one page of grants.
type grantPage struct {
	Grants []heldGrant `json:"grants"`
	Next   *string     `json:"next" about:"to be given as after, for the page that follows; null where there is nothing left"`
	End    bool        `json:"end" about:"there was nothing more when the request came; later there may be"`
}

func (c *call) shownGrant(g grant.Held) heldGrant {
	held, _ := c.Directory.Credential(g.Credential)
	return heldGrant{ID: g.ID, Object: orNull(g.Object), Role: g.Role, Credential: g.Credential, AccessKey: held.AccessKey,
		From: moment(g.From), To: moment(g.To), Given: g.Time, By: g.By}
}

// grants answers with a page of grants.
func (c *call) grants() (rest.Answer, error) {
	after, err := readPositionCursor(c.query.text("after"), cursorOfGrants)
	if err != nil {
		return rest.Answer{}, err
	}
	c.ready(c.Directory)
	page, next := grantPage{Grants: []heldGrant{}, End: true}, ""
	for _, g := range c.Directory.GrantsAfter(after) {
		if !c.wants(g) {
			continue
		}
		if len(page.Grants) == c.query.page() {
			page.End = false
			break
		}
		page.Grants, next = append(page.Grants, c.shownGrant(g)), positionCursor(g.Position, cursorOfGrants)
	}
	page.Next = orNull(next)
	return shows(page, len(page.Grants))
}

// wants tells whether a grant is asked for, and the caller may know of it.
func (c *call) wants(g grant.Held) bool {
	if c.query.has("object") && idOf(c.query.text("object")) != g.Object || c.query.has("credential") && c.query.text("credential") != g.Credential {
		return false
	}
	return g.Credential == c.Meta.Credential || c.mayDo(policy.GrantList, g.Object)
}

// give grants a role.
func (c *call) give() (rest.Answer, error) {
	var sent giving
	if err := c.sent(&sent); err != nil {
		return rest.Answer{}, err
	}
	command, err := c.giveCommand(sent)
	if err != nil {
		return rest.Answer{}, err
	}
	receipt, err := c.carryOut(command)
	if err != nil {
		return rest.Answer{}, err
	}
	answer, err := c.done(receipt, c.Directory)
	if given, ok := c.Directory.Grant(command.ID); ok && err == nil {
		quiet := answer.Quiet
		answer, err = shows(c.shownGrant(given), 0)
		answer.Status, answer.Quiet = http.StatusCreated, quiet
	}
	return answer, err
}

func (c *call) giveCommand(sent giving) (command grant.Give, err error) {
	if sent.Object == "" {
		return command, fmt.Errorf("%w: object is the id of an object, or null for the installation", domain.ErrInvalid)
	}
	command.Object, command.Role = idOf(string(sent.Object)), sent.Role
	if command.From, command.To, err = span(sent.From, sent.To); err != nil {
		return command, err
	}
	if err = c.allow(commands.GrantVerb(sent.Role), command.Object); err != nil {
		return command, err
	}
	if command.Credential, err = c.holder(sent); err != nil {
		return command, err
	}
	command.ID, err = rest.DrawID(c.Bus.IDs(c.Meta), registry.Study)
	return command, err
}

// holder is the id of the credential that a role is to be granted to. It must be there: what is granted to nobody would go
// to whoever comes to have that name.
func (c *call) holder(sent giving) (string, error) {
	id := sent.Credential
	if (id == "") == (sent.AccessKey == "") {
		return "", fmt.Errorf("%w: credential or access_key says who is to hold the role, one of them", domain.ErrInvalid)
	}
	if id == "" {
		id = signin.CredentialID(c.Keys, sent.AccessKey)
	}
	_, signsIn := c.Directory.Credential(id)
	_, isKey := c.Directory.APIKey(id)
	if signsIn || isKey {
		return id, nil
	}
	return id, c.unlessAgain(fmt.Errorf("%w: no such credential", domain.ErrNotFound))
}

// withdraw ends a grant.
func (c *call) withdraw() (rest.Answer, error) {
	id, err := c.named()
	if err != nil {
		return rest.Answer{}, err
	}
	g, ok := c.Directory.Grant(id)
	if !ok {
		return rest.Answer{}, grant.ErrNone
	}
	if err := c.allow(commands.GrantVerb(g.Role), g.Object); err != nil {
		return rest.Answer{}, err
	}
	receipt, err := c.carryOut(grant.Withdraw{ID: id, Object: g.Object})
	if err != nil {
		return rest.Answer{}, err
	}
	return c.done(receipt, c.Directory)
}
