package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"

	"strandline/domain"
	"strandline/domain/grant"
	"strandline/domain/registry"
)

// Tree is what decisions need to know of the directory.
type Tree interface {
	Object(id string) (registry.Object, bool)
	Spec(kind registry.Kind, name string) (registry.Object, bool)
	Grants(credential string) []grant.Given
}

// Caller is who asks. Neither Root nor Anonymous: signed in for the object Origin.
type Caller struct {
	Credential string // its id, empty if anonymous
	Origin     string
	Root       bool
	Anonymous  bool
}

// Object names what is asked for. The zero Object is the installation itself. With a Kind, only an object of that kind
// is found; without, any object of the tree. Specifications are found by their kind and name only.
type Object struct {
	Kind registry.Kind
	ID   string
}

// IsInstallation tells whether o is the installation itself.
func (o Object) IsInstallation() bool { return o == Object{} }

// Policy is the set of rules over one directory. It is safe for concurrent use.
type Policy struct {
	rules map[Verb]rules // those that speak of the verb
	tree  Tree
}

// New compiles the rules.
func New(tree Tree) (*Policy, error) {
	all, err := load()
	if err != nil {
		return nil, err
	}
	compiled, err := compile(all)
	if err != nil {
		return nil, err
	}
	return &Policy{compiled, tree}, nil
}

// Check returns nil if c may do verb to the object at the time now. It returns domain.ErrNotFound if there is no such
// object to be seen, which comes before the rules are asked (contract "LAMP", section 4, step 6), else
// domain.ErrForbidden.
func (p *Policy) Check(c Caller, verb Verb, object Object, now time.Time) error {
	rules, ok := p.rules[verb]
	if !ok {
		return fmt.Errorf("%w: there is no verb %q", domain.ErrForbidden, verb)
	}
	resource, ok := p.find(object)
	if !ok {
		return fmt.Errorf("%w: %s %q", domain.ErrNotFound, kindOf(object), object.ID)
	}
	view, ok := newView(p.tree, rules.needs, c, resource, now)
	if !ok {
		return fmt.Errorf("%w: the object that the credential signs in for is gone", domain.ErrForbidden)
	}
	if decision, _ := cedar.Authorize(rules.all, view, view.request(verb)); decision != cedar.Allow {
		return fmt.Errorf("%w: %s on %s %q", domain.ErrForbidden, verb, kindOf(object), object.ID)
	}
	return nil
}

// find looks an object up. The installation is always there.
func (p *Policy) find(o Object) (registry.Object, bool) {
	if o.IsInstallation() {
		return registry.Object{}, true
	}
	if slices.Contains(specs, o.Kind) {
		return p.tree.Spec(o.Kind, o.ID)
	}
	found, ok := p.tree.Object(o.ID)
	return found, ok && (o.Kind == "" || o.Kind == found.Kind)
}

var specs = []registry.Kind{registry.ActivitySpec, registry.SensorSpec}

func kindOf(o Object) string {
	switch {
	case o.IsInstallation():
		return "installation"
	case o.Kind == "":
		return "object"
	}
	return string(o.Kind)
}
