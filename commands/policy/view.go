package policy

import (
	"slices"
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
	needs     []cedar.String // attributes made of grants that the rules look at
	caller    Caller
	origin    registry.Object
	resource  registry.Object
	now       time.Time
	principal cedar.Entity // attributes come when they are asked for
	complete  bool         // they have come
}

// newView reports false if the caller's own object cannot be seen.
func newView(tree Tree, needs []cedar.String, c Caller, resource registry.Object, now time.Time) (*view, bool) {
	v := &view{tree: tree, needs: needs, caller: c, resource: resource, now: now}
	switch {
	case c.Anonymous:
		v.principal.UID = cedar.NewEntityUID("Anonymous", "anonymous")
		return v, true
	case c.Root:
		v.principal.UID = cedar.NewEntityUID("Root", cedar.String(c.Credential))
		return v, true
	}
	v.principal.UID = cedar.NewEntityUID("Caller", cedar.String(c.Credential))
	origin, ok := tree.Object(c.Origin)
	v.origin = origin
	return v, ok
}

func (v *view) request(verb Verb) cedar.Request {
	return cedar.Request{Principal: v.principal.UID, Action: action(verb), Resource: uid(v.resource)}
}

// Get implements cedar.EntityGetter. The rules look at the caller and at what it asks for, and at nothing else.
func (v *view) Get(id cedar.EntityUID) (cedar.Entity, bool) {
	if id == v.principal.UID {
		if !v.complete {
			v.principal.Attributes, v.complete = v.attributes(), true
		}
		return v.principal, true
	}
	if id == uid(v.resource) {
		return v.object(), true
	}
	return cedar.Entity{}, false
}

// attributes of the principal: origin, owner where its origin has one, and what it holds grants on.
func (v *view) attributes() cedar.Record {
	if v.principal.UID.Type != "Caller" {
		return cedar.Record{}
	}
	record := cedar.RecordMap{"origin": uid(v.origin)}
	if owner, ok := v.owner(v.origin); ok {
		record["owner"] = owner
	}
	held := v.tree.Grants(v.caller.Credential)
	if len(held) == 0 {
		return cedar.NewRecord(record)
	}
	for _, name := range v.needs {
		if objects := v.granted(held, attributes[name]); len(objects) > 0 {
			record[name] = cedar.NewSet(objects...)
		}
	}
	return cedar.NewRecord(record)
}

// object is what is asked for: with its owner as an attribute if it has one, and within all its ancestors, of which the
// outermost is the installation. Named all at once, Cedar needs not ask for each.
func (v *view) object() cedar.Entity {
	e := cedar.Entity{UID: uid(v.resource)}
	if owner, ok := v.owner(v.resource); ok {
		e.Attributes = cedar.NewRecord(cedar.RecordMap{"owner": owner})
	}
	var room [4]cedar.EntityUID
	above := room[:0]
	for id := v.resource.Parent; id != ""; {
		o, ok := v.tree.Object(id)
		if !ok {
			break
		}
		above, id = append(above, uid(o)), o.Parent
	}
	if v.resource.ID != "" {
		above = append(above, uid(registry.Object{}))
	}
	e.Parents = cedar.NewEntityUIDSet(above...)
	return e
}

func (v *view) owner(o registry.Object) (cedar.EntityUID, bool) {
	if o.Parent == "" {
		return cedar.EntityUID{}, false
	}
	parent, ok := v.tree.Object(o.Parent)
	return uid(parent), ok
}

// attributes says which roles on an object make it stand in which attribute of the caller (roles.cedar, records.cedar).
var attributes = map[cedar.String][]grant.Role{
	"reads":  {grant.Reader, grant.Writer, grant.Owner},
	"writes": {grant.Writer, grant.Owner},
	"owns":   {grant.Owner},
	"audits": {grant.Auditor},
}

// granted are the objects on which the caller holds one of the roles now.
func (v *view) granted(held []grant.Given, roles []grant.Role) []cedar.Value {
	var objects []cedar.Value
	for _, g := range held {
		if !slices.Contains(roles, g.Role) || !g.HoldsAt(v.now) {
			continue
		}
		if g.Object == "" {
			objects = append(objects, uid(registry.Object{}))
		} else if o, ok := v.tree.Object(g.Object); ok {
			objects = append(objects, uid(o))
		}
	}
	return objects
}

func uid(o registry.Object) cedar.EntityUID {
	return cedar.EntityUID{Type: types[o.Kind], ID: cedar.String(o.ID)}
}
