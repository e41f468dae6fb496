package lamp

import (
	"errors"

	"strandline/commands/policy"
	"strandline/domain"
)

// Words that stand for an id in a path (contract, section 2).
const (
	me   = "me"   // the origin of the caller's credential
	null = "null" // the installation
)

// resolve finds the object that the path names and asks for a permit: "me" first, then whether the object is there,
// then whether the caller may (contract, section 4).
func (c *call) resolve(r *route) error {
	object, err := c.named(r)
	if err != nil {
		return err
	}
	c.asked, c.id, c.Meta.Details.Object = object, object.ID, object.ID
	permit, err := c.Bus.Permit(c.Meta.Principal, r.verb, object)
	if errors.Is(err, domain.ErrNotFound) && c.mayBeAgain() {
		c.gone = err
		return nil
	}
	if err != nil {
		return c.hidden(r, err)
	}
	c.permit = permit
	if r.object == inTree && object.ID != "" {
		c.object, _ = c.Directory.Object(object.ID)
	}
	return nil
}

// named is the object that the path names; the installation if it names none.
func (c *call) named(r *route) (policy.Object, error) {
	if r.object == noObject {
		return policy.Object{}, nil
	}
	id := c.vars[r.parameter()]
	if r.object == specification {
		return policy.Object{Kind: r.kind, ID: id}, nil
	}
	switch {
	case id == me && c.Meta.Root:
		return policy.Object{}, errSubstitution
	case id == me:
		id = c.Meta.Origin
	case id == null && r.installation:
		return policy.Object{}, nil
	}
	c.Meta.Details.Object = clip(id)
	return policy.Object{Kind: r.kind, ID: id}, nil
}

// hidden is the error of a refused permit. The installation is not there for anybody but root (contract, section 7).
func (c *call) hidden(r *route, err error) error {
	if r.object == inTree && c.id == "" && errors.Is(err, domain.ErrForbidden) {
		return errNoObject
	}
	return err
}

// clip keeps what a client calls an object to a length that can be recorded.
func clip(id string) string { return id[:min(len(id), 64)] }
