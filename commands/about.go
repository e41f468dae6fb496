package commands

import (
	"fmt"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/attachment"
	"strandline/domain/observation"
	"strandline/domain/registry"
)

// about says whom an event is about, and whose key seals it (decision 2).
type about struct {
	subject string // id of a participant, empty if it is about nobody
	owner   string // of the key: the subject, else the researcher above the object, else Installation
}

// family holds the objects that a plan is about to add, by id: the directory does not know them yet.
type family map[string]registry.Object

// add notes what an event of the plan adds.
func (f family) add(e domain.Event) {
	if added, ok := e.(registry.Added); ok {
		f[added.ID] = registry.Object{ID: added.ID, Kind: added.Kind, Parent: added.Parent}
	}
}

// aboutCommand says it of what a command causes.
func (b *Bus) aboutCommand(c domain.Command, f family) (about, error) {
	switch c := c.(type) {
	case registry.Add:
		return b.aboutNew(c.Kind, c.ID, c.Parent, f)
	case registry.Revise:
		return b.aboutKind(c.Kind, c.ID, f)
	case registry.Remove:
		return b.aboutKind(c.Kind, c.ID, f)
	case attachment.Attach:
		return b.aboutDocument(c.Owner, c.Target, f)
	case attachment.Clear:
		return b.aboutDocument(c.Owner, c.Target, f)
	}
	return b.aboutObject(place(c), f)
}

// aboutStep says it of an event that is the step of a plan.
func (b *Bus) aboutStep(e domain.Event, f family) (about, error) {
	switch e := e.(type) {
	case registry.Added:
		return b.aboutNew(e.Kind, e.ID, e.Parent, f)
	case attachment.Set:
		return b.aboutDocument(e.Owner, e.Target, f)
	case account.Issued:
		return b.aboutObject(e.Origin, f)
	case observation.Recorded:
		return b.aboutObject(e.Subject, f)
	}
	return about{}, fmt.Errorf("%w: %s cannot be a step of a plan", domain.ErrInvalid, e.EventType())
}

func (b *Bus) aboutNew(kind registry.Kind, id, parent string, f family) (about, error) {
	switch kind {
	case registry.Researcher:
		return about{owner: id}, nil
	case registry.Participant:
		return about{id, id}, nil
	}
	return b.aboutObject(parent, f)
}

func (b *Bus) aboutKind(kind registry.Kind, id string, f family) (about, error) {
	if kind == registry.ActivitySpec || kind == registry.SensorSpec {
		return about{owner: Installation}, nil
	}
	return b.aboutObject(id, f)
}

// aboutDocument is about the participant that the document is aimed at, if it is aimed at one.
func (b *Bus) aboutDocument(owner, target string, f family) (about, error) {
	if o, ok := b.object(target, f); ok && o.Kind == registry.Participant {
		return about{o.ID, o.ID}, nil
	}
	return b.aboutObject(owner, f)
}

// aboutObject climbs from an object to the first one that has a key.
func (b *Bus) aboutObject(id string, f family) (about, error) {
	for id != "" {
		o, ok := b.object(id, f)
		switch {
		case !ok:
			return about{}, fmt.Errorf("%w: object %q", domain.ErrNotFound, id)
		case o.Kind == registry.Participant:
			return about{id, id}, nil
		case o.Kind == registry.Researcher:
			return about{owner: id}, nil
		}
		id = o.Parent
	}
	return about{owner: Installation}, nil
}

func (b *Bus) object(id string, f family) (registry.Object, bool) {
	if o, ok := f[id]; ok {
		return o, true
	}
	return b.directory.Object(id)
}
