package directory

import (
	"bytes"
	"slices"
	"strings"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/grant"
	"strandline/domain/plan"
	"strandline/domain/registry"
	"strandline/readmodels"
)

// state is all that the directory knows. Objects are nodes in one slice and refer to each other by their places in it:
// an object costs about a hundred bytes, and the collector of garbage sees few pointers.
type state struct {
	checkpoint domain.Position
	nodes      []node            // the first is none
	objects    map[string]uint32 // the node that stands for an id at present
	specs      map[spec]uint32   // the same for specifications, whose names are the clients' choice
	children   map[family][]uint32
	kinds      [len(kinds)][]uint32

	credentials map[string]*account.Credential
	origins     map[string][]*account.Credential // by origin, oldest first
	access

	open   []plan.Open
	steps  map[string][]uint32 // objects by the open plan that hides them
	parked []readmodels.Parked
}

// node is an object, removed ones included.
type node struct {
	id      string
	parent  uint32
	kind    uint8
	removed bool
	hidden  bool // by an open plan
}

// spec names a specification.
type spec struct {
	kind uint8
	name string
}

// none is the node of the installation, which is above all.
const none = 0

// family is the children of one kind below one parent.
type family struct {
	parent uint32
	kind   uint8
}

// kinds are numbered in snapshots: new ones go to the end.
var kinds = [...]registry.Kind{"", registry.Researcher, registry.Study, registry.Participant, registry.Activity,
	registry.Sensor, registry.ActivitySpec, registry.SensorSpec}

// number is the number of a kind, 0 for one that this version does not know.
func number(kind registry.Kind) uint8 { return uint8(max(slices.Index(kinds[:], kind), 0)) }

// isSpec tells specifications from objects in the tree.
func isSpec(kind registry.Kind) bool {
	return kind == registry.ActivitySpec || kind == registry.SensorSpec
}

func newState() *state {
	return &state{
		nodes:       make([]node, 1),
		objects:     map[string]uint32{},
		specs:       map[spec]uint32{},
		children:    map[family][]uint32{},
		credentials: map[string]*account.Credential{},
		origins:     map[string][]*account.Credential{},
		access:      newAccess(),
		steps:       map[string][]uint32{},
	}
}

// apply changes the state by one event. It cannot fail.
func (s *state) apply(r *domain.Recorded) {
	switch e := r.Event.(type) {
	case registry.Added:
		s.add(e)
	case registry.Removed:
		if at, known := s.find(e.Kind, e.ID); known {
			s.nodes[at].removed = true
		}
	case account.Issued:
		s.drop(e.ID)
		s.withdrawAll(e.ID)
		s.issue(account.Credential{ID: e.ID, Origin: e.Origin, AccessKey: e.AccessKey, SecretHash: e.SecretHash,
			Description: bytes.Clone(e.Description), Revision: r.Revision})
	case account.Revised:
		s.revise(e, r.Revision)
	case account.Revoked:
		s.drop(e.ID)
		s.withdrawAll(e.ID)
	case apikey.Issued:
		s.keys.add(e.ID, &apikey.Key{Issued: e, Position: r.Position, Time: r.Time, By: r.Actor})
	case apikey.Revoked:
		s.revoke(e.ID)
	case grant.Given:
		s.give(&grant.Held{Given: e, Position: r.Position, Time: r.Time, By: r.Actor})
	case grant.Withdrawn:
		s.withdraw(e.ID)
	case plan.Made:
		s.open = append(s.open, plan.Open{ID: e.ID, Stream: r.Stream, Position: r.Position})
	case plan.Done:
		s.finish(e.ID)
	}
}

// finish shows what a plan has brought into being.
func (s *state) finish(id string) {
	s.open = slices.DeleteFunc(s.open, func(p plan.Open) bool { return p.ID == id })
	for _, at := range s.steps[id] {
		s.nodes[at].hidden = false
	}
	delete(s.steps, id)
}

// find is the node that stands for an object or a specification at present.
func (s *state) find(kind registry.Kind, id string) (uint32, bool) {
	if isSpec(kind) {
		at, known := s.specs[spec{number(kind), id}]
		return at, known
	}
	at, known := s.objects[id]
	return at, known
}

// add brings an object into being. Where its parent is not known, because its key has been destroyed, it counts as
// removed with it.
func (s *state) add(e registry.Added) {
	parent, known := s.objects[e.Parent]
	n := node{id: strings.Clone(e.ID), parent: parent, kind: number(e.Kind), removed: e.Parent != "" && !known}
	n.hidden = slices.ContainsFunc(s.open, func(p plan.Open) bool { return p.ID == e.Plan })
	at := s.enter(n)
	if n.hidden {
		s.steps[e.Plan] = append(s.steps[e.Plan], at)
	}
}

// enter puts a node at the end of the lists. An older one of the same id leaves them.
func (s *state) enter(n node) uint32 {
	at := uint32(len(s.nodes))
	if old, again := s.find(kinds[n.kind], n.id); again {
		s.unlink(old)
	}
	s.nodes = append(s.nodes, n)
	if isSpec(kinds[n.kind]) {
		s.specs[spec{n.kind, n.id}] = at
	} else {
		s.objects[n.id] = at
	}
	s.link(at)
	return at
}

func (s *state) link(at uint32) {
	n := s.nodes[at]
	f := family{n.parent, n.kind}
	s.children[f] = append(s.children[f], at)
	s.kinds[n.kind] = append(s.kinds[n.kind], at)
}

func (s *state) unlink(at uint32) {
	n := &s.nodes[at]
	n.removed = true
	f := family{n.parent, n.kind}
	same := func(other uint32) bool { return other == at }
	s.children[f] = slices.DeleteFunc(s.children[f], same)
	s.kinds[n.kind] = slices.DeleteFunc(s.kinds[n.kind], same)
}

// visible tells whether an object and all above it are there and no plan of theirs is open.
func (s *state) visible(at uint32) bool {
	for ; at != none; at = s.nodes[at].parent {
		if s.nodes[at].removed || s.nodes[at].hidden {
			return false
		}
	}
	return true
}

func (s *state) object(at uint32) registry.Object {
	n := s.nodes[at]
	return registry.Object{ID: n.id, Kind: kinds[n.kind], Parent: s.nodes[n.parent].id}
}

// list are the objects at the given places that can be seen.
func (s *state) list(places []uint32) []registry.Object {
	found := make([]registry.Object, 0, len(places))
	for _, at := range places {
		if s.visible(at) {
			found = append(found, s.object(at))
		}
	}
	return found
}

func (s *state) issue(c account.Credential) {
	s.credentials[c.ID] = &c
	s.origins[c.Origin] = append(s.origins[c.Origin], &c)
}

func (s *state) revise(e account.Revised, revision uint64) {
	c, known := s.credentials[e.ID]
	if !known {
		return
	}
	c.Revision = revision
	if e.SecretHash != "" {
		c.SecretHash = e.SecretHash
	}
	if e.Description != nil {
		c.Description = bytes.Clone(e.Description)
	}
}

// drop forgets a credential.
func (s *state) drop(id string) {
	c, known := s.credentials[id]
	if !known {
		return
	}
	delete(s.credentials, id)
	s.origins[c.Origin] = slices.DeleteFunc(s.origins[c.Origin], func(o *account.Credential) bool { return o == c })
	if len(s.origins[c.Origin]) == 0 {
		delete(s.origins, c.Origin)
	}
}

// live tells whether a credential signs somebody in: its origin is the installation or can be seen.
func (s *state) live(c *account.Credential) bool { return s.seen(c.Origin) }

// seen tells whether an object can be seen. The installation, which has no id, always can.
func (s *state) seen(id string) bool {
	if id == "" {
		return true
	}
	at, known := s.objects[id]
	return known && s.visible(at)
}
