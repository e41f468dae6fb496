package api

import (
	"context"
	"encoding/json"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/attachment"
	"strandline/domain/codec"
	"strandline/domain/grant"
	"strandline/domain/observation"
	"strandline/domain/registry"
)

// still makes sure that the caller is who it was when the answer began and may still ask for it, and forgets what else it
// was allowed, so that a changed credential or grant bites in long answers too.
func (c *call) still() error {
	c.may = nil
	if err := c.SignIn.Authenticate(c.Call); err != nil {
		return err
	}
	_, err := c.Bus.Permit(c.Meta.Principal, c.verb, c.object)
	return err
}

// shown is a record as the caller gets to see it; false if it does not. A record that cannot be decoded is shown to
// those who see everything, without its data.
func (c *call) shown(ctx context.Context, r domain.Record) (event, bool) {
	opened, err := c.Decoder.Decode(ctx, r)
	failed := err != nil
	if failed {
		opened = domain.Recorded{Position: r.Position, Envelope: r.Envelope, Unknown: true}
	}
	if !c.mayOpen(opened) {
		return event{}, false
	}
	e := event{
		Position: r.Position, Stream: r.Stream, Revision: r.Revision, ID: r.ID, Type: r.Type, Version: r.Version,
		Time: r.Time, Actor: r.Actor, Credential: orNull(r.Credential), APIKey: orNull(r.APIKey), Subject: orNull(r.Subject),
		Correlation: orNull(r.Correlation), Causation: orNull(r.Causation), Command: orNull(r.Command),
		Data: Data(opened), Sealed: opened.Sealed || failed && r.Key != "", Sentence: codec.Sentence(opened),
	}
	if opened.Request != nil {
		e.Reason, e.own = orNull(opened.Request.Reason), r.Type == "access.served" && c.isOwn(r.Credential, opened.Request.Route)
	}
	if e.Data == nil && !e.Sealed {
		e.Data = json.RawMessage("null")
	}
	return e, true
}

// isOwn tells whether a request was the caller's own, for what it asks now. Whoever goes on reading as long as there is
// something would otherwise never come to an end: each page leaves a record of itself.
func (c *call) isOwn(credential, route string) bool {
	return credential != "" && credential == c.Meta.Credential && route == c.Meta.Details.Route
}

// Data is the event's data without secrets: whoever may open it still learns no hash of a password.
func Data(r domain.Recorded) []byte {
	e := r.Event
	switch secret := e.(type) {
	case nil:
		return nil
	case account.Issued:
		secret.SecretHash = ""
		e = secret
	case account.Revised:
		secret.SecretHash = ""
		e = secret
	case apikey.Issued:
		secret.SecretHash = ""
		e = secret
	}
	_, _, text, err := codec.Marshal(e)
	if err != nil {
		return nil
	}
	return text
}

// mayOpen asks the policy for an event (decision 23): whoever may open everything may open this, else it depends on
// the object that the event is about.
func (c *call) mayOpen(r domain.Recorded) bool {
	return c.allowed(policy.PayloadOpen, policy.Object{}) || c.allowed(policy.PayloadOpen, About(r))
}

// demand is something that a caller may be allowed.
type demand struct {
	verb   policy.Verb
	object policy.Object
}

// mostRemembered bounds how many decisions of one request are remembered.
const mostRemembered = 10_000

// allowed asks the policy, once for each demand.
func (c *call) allowed(verb policy.Verb, o policy.Object) bool {
	may, known := c.may[demand{verb, o}]
	if known {
		return may
	}
	if c.may == nil || len(c.may) >= mostRemembered {
		c.may = map[demand]bool{}
	}
	_, err := c.Bus.Permit(c.Meta.Principal, verb, o)
	c.may[demand{verb, o}] = err == nil
	return err == nil
}

// About is what an event is about; the installation if it is about nothing below it.
func About(r domain.Recorded) policy.Object {
	switch e := r.Event.(type) {
	case registry.Added:
		return placed(e.Kind, e.ID)
	case registry.Revised:
		return placed(e.Kind, e.ID)
	case registry.Removed:
		return placed(e.Kind, e.ID)
	case account.Issued:
		return policy.Object{ID: e.Origin}
	case apikey.Issued:
		return policy.Object{ID: e.Origin}
	case apikey.Revoked:
		return policy.Object{ID: e.Origin}
	case attachment.Set:
		return policy.Object{ID: e.Owner}
	case attachment.Cleared:
		return policy.Object{ID: e.Owner}
	case grant.Given:
		return policy.Object{ID: e.Object}
	case grant.Withdrawn:
		return policy.Object{ID: e.Object}
	case observation.Recorded:
		return policy.Object{ID: e.Subject}
	case observation.Retracted:
		return policy.Object{ID: e.Subject}
	case access.Served, access.Refused, access.Ended, access.Flooded:
		if r.Request != nil {
			return policy.Object{ID: r.Request.Object}
		}
	}
	return policy.Object{ID: r.Subject}
}

func placed(kind registry.Kind, id string) policy.Object {
	if kind == registry.ActivitySpec || kind == registry.SensorSpec {
		return policy.Object{Kind: kind, ID: id}
	}
	return policy.Object{ID: id}
}
