package commands

import (
	"fmt"
	"slices"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/attachment"
	"strandline/domain/grant"
	"strandline/domain/observation"
	"strandline/domain/registry"
)

// Principal is who asks, as sign-in has found out. Neither Root nor Anonymous: signed in for the object Origin.
type Principal struct {
	Credential string // its id, empty if anonymous
	Origin     string // the object that the credential signs in for, empty if Root or Anonymous
	Root       bool
	Anonymous  bool
	system     bool
}

// Actor is how p stands in an envelope: the id of its object, "root", "anonymous" or "system".
func (p Principal) Actor() string {
	switch {
	case p.system:
		return "system"
	case p.Root:
		return "root"
	case p.Anonymous || p.Origin == "":
		return "anonymous"
	}
	return p.Origin
}

// Permit is the proof that a principal may do something to an object. Only a Bus makes one.
type Permit struct {
	principal Principal
	verb      policy.Verb
	object    policy.Object
}

// Principal is whom the permit was given to.
func (p Permit) Principal() Principal { return p.principal }

// Verb is what it was given for.
func (p Permit) Verb() policy.Verb { return p.verb }

// Object is what it was given on.
func (p Permit) Object() policy.Object { return p.object }

// Permit lets p do verb to object, or says why not: domain.ErrNotFound if object cannot be seen by anybody, else
// domain.ErrForbidden.
func (b *Bus) Permit(p Principal, verb policy.Verb, object policy.Object) (Permit, error) {
	caller := policy.Caller{Credential: p.Credential, Origin: p.Origin, Root: p.Root, Anonymous: p.Actor() == "anonymous"}
	if err := b.policy.Check(caller, verb, object, b.clock()); err != nil {
		return Permit{}, err
	}
	return Permit{p, verb, object}, nil
}

// System is the permit for what nobody asked for: seeds, and finishing plans.
func (b *Bus) System() Permit { return Permit{principal: Principal{system: true}} }

// carries lists the commands that a permit for a verb may carry.
var carries = map[policy.Verb][]string{
	policy.ResearcherCreate:  {"researcher.add"},
	policy.ResearcherUpdate:  {"researcher.revise"},
	policy.ResearcherDelete:  {"researcher.remove"},
	policy.StudyCreate:       {"study.add"},
	policy.StudyUpdate:       {"study.revise"},
	policy.StudyDelete:       {"study.remove"},
	policy.ParticipantCreate: {"participant.add"},
	policy.ParticipantUpdate: {"participant.revise"},
	policy.ParticipantDelete: {"participant.remove"},
	policy.ActivityCreate:    {"activity.add"},
	policy.ActivityUpdate:    {"activity.revise"},
	policy.ActivityDelete:    {"activity.remove"},
	policy.SensorCreate:      {"sensor.add"},
	policy.SensorUpdate:      {"sensor.revise"},
	policy.SensorDelete:      {"sensor.remove"},
	policy.SpecCreate:        {"activity_spec.add", "sensor_spec.add"},
	policy.SpecUpdate:        {"activity_spec.revise", "sensor_spec.revise"},
	policy.SpecDelete:        {"activity_spec.remove", "sensor_spec.remove"},
	policy.CredentialCreate:  {"credential.issue"},
	policy.CredentialUpdate:  {"credential.revise"},
	policy.CredentialDelete:  {"credential.revoke"},
	policy.KeyCreate:         {"api_key.issue"},
	policy.KeyDelete:         {"api_key.revoke"},
	policy.EventCreate:       {"observation.record"},
	policy.EventDelete:       {"observation.retract"},
	policy.TagSet:            {"attachment.attach", "attachment.clear"},
	policy.GrantShare:        {"grant.give", "grant.withdraw"},
	policy.GrantOwner:        {"grant.give", "grant.withdraw"},
	policy.GrantAuditor:      {"grant.give", "grant.withdraw"},
	policy.NodeManage:        {"projection.park", "projection.discard", "projection.retry", "projection.rebuild", "projection.revert"},
}

// covers returns an error unless p is a permit for c: of its verb, on the object that c is about. It guards against
// mistakes of a dialect, so its error is of no kind that a client could cause.
func (p Permit) covers(c domain.Command) error {
	if p.principal.system {
		return nil
	}
	if !slices.Contains(carries[p.verb], c.CommandName()) || place(c) != p.object.ID {
		return fmt.Errorf("permit for %q on %q does not cover %s on %q", p.verb, p.object.ID, c.CommandName(), place(c))
	}
	if give, ok := c.(grant.Give); ok && GrantVerb(give.Role) != p.verb {
		return fmt.Errorf("permit for %q does not cover giving the role %q", p.verb, give.Role)
	}
	return nil
}

// GrantVerb is what a caller must be allowed to do who gives a role or withdraws it.
func GrantVerb(role grant.Role) policy.Verb {
	switch role {
	case grant.Reader, grant.Writer:
		return policy.GrantShare
	case grant.Owner:
		return policy.GrantOwner
	}
	return policy.GrantAuditor
}

// place is the id of the object under which a command takes effect, empty for the installation: the parent of what is
// added, else the object itself.
func place(c domain.Command) string {
	switch c := c.(type) {
	case registry.Add:
		return c.Parent
	case registry.Revise:
		return c.ID
	case registry.Remove:
		return c.ID
	case account.Issue:
		return c.Origin
	case account.Revise:
		return c.Origin
	case account.Revoke:
		return c.Origin
	case apikey.Issue:
		return c.Origin
	case apikey.Revoke:
		return c.Origin
	case attachment.Attach:
		return c.Owner
	case attachment.Clear:
		return c.Owner
	case observation.Record:
		return c.Subject
	case observation.Retract:
		return c.Subject
	case grant.Give:
		return c.Object
	case grant.Withdraw:
		return c.Object
	}
	return ""
}
