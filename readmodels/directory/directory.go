// Package directory keeps in memory who is there and who may sign in: the tree of objects, the credentials, the
// API keys and the grants. So authorisation, and telling 404 from 403, needs no I/O.
//
// What can be seen is derived (decision 7): a removed object hides all below it, and their credentials; what a plan
// brings into being is hidden until the plan is done.
package directory

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/plan"
	"strandline/domain/registry"
	"strandline/readmodels"
)

// Directory answers from memory. It implements commands.Directory. Any number of goroutines may read while one applies
// events.
type Directory struct {
	mu        sync.RWMutex
	state     *state
	watermark readmodels.Watermark
}

// New returns an empty directory, at the start of the log.
func New() *Directory { return &Directory{state: newState()} }

// Checkpoint is the position up to which everything has been applied.
func (d *Directory) Checkpoint() domain.Position { return d.watermark.At() }

// Wait returns once everything up to position has been applied; see readmodels.Watermark.Wait.
func (d *Directory) Wait(ctx context.Context, position domain.Position) error {
	return d.watermark.Wait(ctx, position)
}

// Stall says that events cannot be applied at present, and why.
func (d *Directory) Stall(reason error) { d.watermark.Stall(reason) }

// Stalled is the reason given to Stall, nil once events are applied again.
func (d *Directory) Stalled() error { return d.watermark.Stalled() }

// Update applies events in their order, moves the checkpoint and wakes those who wait.
func (d *Directory) Update(checkpoint domain.Position, events []domain.Recorded) {
	d.apply(checkpoint, events)
	d.watermark.Set(checkpoint)
}

func (d *Directory) apply(checkpoint domain.Position, events []domain.Recorded) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range events {
		d.state.apply(&events[i])
	}
	d.state.checkpoint = checkpoint
}

// Replace takes over what other holds, which was built beside and is not used any more.
func (d *Directory) Replace(other *Directory) {
	d.mu.Lock()
	d.state = other.state
	d.mu.Unlock()
	d.watermark.Set(other.Checkpoint())
}

// Park keeps an event that could not be applied, until somebody looks into it.
func (d *Directory) Park(p readmodels.Parked) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.parked = append(d.state.parked, p)
}

// Parked lists the events that could not be applied, oldest first.
func (d *Directory) Parked() []readmodels.Parked {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.state.parked)
}

// Object finds what can be seen under id. Specifications are not found by it.
func (d *Directory) Object(id string) (registry.Object, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, known := d.state.objects[id]
	if !known || !d.state.visible(at) {
		return registry.Object{}, false
	}
	return d.state.object(at), true
}

// Spec finds a specification by kind and name.
func (d *Directory) Spec(kind registry.Kind, name string) (registry.Object, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, known := d.state.specs[spec{number(kind), name}]
	if !known || !d.state.visible(at) {
		return registry.Object{}, false
	}
	return d.state.object(at), true
}

// Children are the objects of a kind directly below parent that can be seen, oldest first. Nothing is below what
// cannot be seen; researchers and specifications are below the installation, which is the empty id.
func (d *Directory) Children(parent string, kind registry.Kind) []registry.Object {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, known := d.state.objects[parent]
	if parent != "" && !known {
		return nil
	}
	return d.state.list(d.state.children[family{at, number(kind)}])
}

// All are the objects of a kind that can be seen, oldest first.
func (d *Directory) All(kind registry.Kind) []registry.Object {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.state.list(d.state.kinds[number(kind)])
}

// Placed is an object with its place among all that there ever were, which never changes.
type Placed struct {
	registry.Object
	Place uint64
}

// From lists objects of a kind that can be seen, in the order of their coming: after the given place, at most limit of
// them, and with a parent only those directly below it. Whoever goes on after the last one meets every object that is
// there all the while once.
func (d *Directory) From(kind registry.Kind, parent string, after uint64, limit int) []Placed {
	d.mu.RLock()
	defer d.mu.RUnlock()
	places := d.state.kinds[number(kind)]
	if parent != "" {
		at, known := d.state.objects[parent]
		if !known {
			return nil
		}
		places = d.state.children[family{at, number(kind)}]
	}
	first, _ := slices.BinarySearchFunc(places, after, func(at uint32, after uint64) int { return cmp.Or(cmp.Compare(uint64(at), after), -1) })
	var found []Placed
	for _, at := range places[first:] {
		if len(found) == limit {
			break
		}
		if d.state.visible(at) {
			found = append(found, Placed{d.state.object(at), uint64(at)})
		}
	}
	return found
}

// Ancestors are the objects above id, outermost first; none if id cannot be seen.
func (d *Directory) Ancestors(id string) []registry.Object {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := d.state
	at, known := s.objects[id]
	if !known || !s.visible(at) {
		return nil
	}
	var above []registry.Object
	for at = s.nodes[at].parent; at != none; at = s.nodes[at].parent {
		above = append(above, s.object(at))
	}
	slices.Reverse(above)
	return above
}

// Credential finds a live credential: not revoked, its origin to be seen.
func (d *Directory) Credential(id string) (account.Credential, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c, known := d.state.credentials[id]
	if !known || !d.state.live(c) {
		return account.Credential{}, false
	}
	return *c, true
}

// Holder is the origin of the latest credential with an id, live or not; empty for the installation and if there was none.
func (d *Directory) Holder(id string) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if c, known := d.state.credentials[id]; known {
		return c.Origin
	}
	return ""
}

// CredentialsOf are the live credentials that sign in as origin, oldest first. Empty is the installation.
func (d *Directory) CredentialsOf(origin string) []account.Credential {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var found []account.Credential
	for _, c := range d.state.origins[origin] {
		if d.state.live(c) {
			found = append(found, *c)
		}
	}
	return found
}

// OpenPlans are the plans that have been made and are not done, oldest first.
func (d *Directory) OpenPlans() []plan.Open {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.state.open)
}
