package policy

import (
	"time"

	"github.com/cedar-policy/cedar-go"

	"strandline/domain/grant"
	"strandline/domain/registry"
)

// The Cedar type of each kind of object.
var types = map[registry.Kind]cedar.EntityType{
	"":                    "Installation",
	registry.Researcher:   "Researcher",
	registry.Study:        "Study",
	registry.Participant:  "Participant",
	registry.Activity:     "Activity",
	registry.Sensor:       "Sensor",
	registry.ActivitySpec: "ActivitySpec",
	registry.SensorSpec:   "SensorSpec",
}

// view shows the directory to Cedar, as far as one decision looks at it: entities are made when a rule asks for them.
type view struct {
	tree      Tree
	caller    Caller
	principal cedar.EntityUID
	origin    registry.Object
	resource  registry.Object
	now       time.Time
}

// newView reports false if the caller's own object cannot be seen.
func newView(tree Tree, c Caller, resource registry.Object, now time.Time) (*view, bool) {
	v := &view{tree: tree, caller: c, resource: resource, now: now}
	switch {
	case c.Anonymous:
		v.principal = cedar.NewEntityUID("Anonymous", "anonymous")
		return v, true
	case c.Root:
		v.principal = cedar.NewEntityUID("Root", cedar.String(c.Credential))
		return v, true
	}
	v.principal = cedar.NewEntityUID("Caller", cedar.String(c.Credential))
	origin, ok := tree.Object(c.Origin)
	v.origin = origin
	return v, ok
}

func (v *view) request(action cedar.EntityUID) cedar.Request {
	return cedar.Request{Principal: v.principal, Action: action, Resource: uid(v.resource)}
}

// Get implements cedar.EntityGetter.
func (v *view) Get(id cedar.EntityUID) (cedar.Entity, bool) {
	if id == v.principal {
		return cedar.Entity{UID: id, Attributes: v.attributes()}, true
	}
	if id == uid(v.resource) {
		return v.entity(v.resource), true
	}
	o, ok := v.tree.Object(string(id.ID))
	if !ok || uid(o) != id {
		return cedar.Entity{}, false
	}
	return v.entity(o), true
}

// attributes of the principal: origin, owner where its origin has one, audits where it holds grants.
func (v *view) attributes() cedar.Record {
	if v.principal.Type != "Caller" {
		return cedar.Record{}
	}
	attributes := cedar.RecordMap{"origin": uid(v.origin)}
	if owner, ok := v.owner(v.origin); ok {
		attributes["owner"] = owner
	}
	if audits := v.audits(); len(audits) > 0 {
		attributes["audits"] = cedar.NewSet(audits...)
	}
	return cedar.NewRecord(attributes)
}

// entity is an object with its owner, as attribute where the owner is an object and as parent in any case: what has no
// owner stands in the installation.
func (v *view) entity(o registry.Object) cedar.Entity {
	e := cedar.Entity{UID: uid(o)}
	if owner, ok := v.owner(o); ok {
		e.Parents = cedar.NewEntityUIDSet(owner)
		e.Attributes = cedar.NewRecord(cedar.RecordMap{"owner": owner})
		return e
	}
	if o.ID != "" {
		e.Parents = cedar.NewEntityUIDSet(uid(registry.Object{}))
	}
	return e
}

func (v *view) owner(o registry.Object) (cedar.EntityUID, bool) {
	if o.Parent == "" {
		return cedar.EntityUID{}, false
	}
	parent, ok := v.tree.Object(o.Parent)
	return uid(parent), ok
}

// audits are the objects on which the caller is an auditor now.
func (v *view) audits() []cedar.Value {
	var objects []cedar.Value
	now := v.now.UnixMilli()
	for _, g := range v.tree.Grants(v.caller.Credential) {
		if g.Role != grant.Auditor || now < g.From || g.To != 0 && now >= g.To {
			continue
		}
		if g.Object == "" {
			objects = append(objects, uid(registry.Object{}))
			continue
		}
		if o, ok := v.tree.Object(g.Object); ok {
			objects = append(objects, uid(o))
		}
	}
	return objects
}

func uid(o registry.Object) cedar.EntityUID {
	return cedar.EntityUID{Type: types[o.Kind], ID: cedar.String(o.ID)}
}
