package directory

import (
	"slices"

	"strandline/domain"
	"strandline/domain/apikey"
	"strandline/domain/grant"
)

// access is who may do more than the tree says, and which programs sign in. What has ended is kept: whoever ends it
// again is told that there is nothing to do.
type access struct {
	given *ledger[grant.Held]
	held  map[string][]grant.Given // that are not withdrawn, by credential, oldest first
	keys  *ledger[apikey.Key]
}

func newAccess() access {
	return access{
		given: newLedger(func(g *grant.Held) domain.Position { return g.Position }),
		held:  map[string][]grant.Given{},
		keys:  newLedger(func(k *apikey.Key) domain.Position { return k.Position }),
	}
}

func (a *access) give(g *grant.Held) {
	a.withdraw(g.ID)
	a.given.add(g.ID, g)
	if !g.Withdrawn {
		a.held[g.Credential] = append(a.held[g.Credential], g.Given)
	}
}

func (a *access) withdraw(id string) {
	g, known := a.given.named[id]
	if !known || g.Withdrawn {
		return
	}
	g.Withdrawn = true
	a.held[g.Credential] = slices.DeleteFunc(a.held[g.Credential], func(h grant.Given) bool { return h.ID == id })
	if len(a.held[g.Credential]) == 0 {
		delete(a.held, g.Credential)
	}
}

// withdrawAll ends what was granted to a credential that has ended: whoever gets its access key next begins with nothing.
func (a *access) withdrawAll(credential string) {
	for _, g := range slices.Clone(a.held[credential]) {
		a.withdraw(g.ID)
	}
}

func (a *access) revoke(key string) {
	if k, known := a.keys.named[key]; known {
		k.Revoked = true
	}
	a.withdrawAll(key)
}

// ledger is a list of things in the order of their positions, which can be found by id.
type ledger[T any] struct {
	named    map[string]*T
	ordered  []*T
	position func(*T) domain.Position
}

func newLedger[T any](position func(*T) domain.Position) *ledger[T] {
	return &ledger[T]{named: map[string]*T{}, position: position}
}

// add puts a thing at the end. An older one of the same id leaves the list.
func (l *ledger[T]) add(id string, thing *T) {
	if old, again := l.named[id]; again {
		l.ordered = slices.DeleteFunc(l.ordered, func(t *T) bool { return t == old })
	}
	l.named[id] = thing
	l.ordered = append(l.ordered, thing)
}

// list are copies of all that came after a position, in order.
func (l *ledger[T]) list(after domain.Position) []T {
	from, _ := slices.BinarySearchFunc(l.ordered, after, func(t *T, at domain.Position) int {
		if l.position(t).Compare(at) <= 0 {
			return -1
		}
		return 1
	})
	found := make([]T, 0, len(l.ordered)-from)
	for _, t := range l.ordered[from:] {
		found = append(found, *t)
	}
	return found
}

// Grants are the grants that a credential or an API key holds, oldest first.
func (d *Directory) Grants(credential string) []grant.Given {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.state.held[credential])
}

// Grant finds a grant by its id, one that is withdrawn too.
func (d *Directory) Grant(id string) (grant.Held, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	g, known := d.state.given.named[id]
	if !known {
		return grant.Held{}, false
	}
	return *g, true
}

// GrantsAfter are the grants that were given after a position, oldest first, without those that are withdrawn.
func (d *Directory) GrantsAfter(position domain.Position) []grant.Held {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.DeleteFunc(d.state.given.list(position), func(g grant.Held) bool { return g.Withdrawn })
}

// APIKey finds an API key that can sign in at some time: not revoked, its origin to be seen.
func (d *Directory) APIKey(id string) (apikey.Key, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	k, known := d.state.keys.named[id]
	if !known || k.Revoked || !d.state.seen(k.Origin) {
		return apikey.Key{}, false
	}
	return *k, true
}

// IssuedKey finds an API key by its id, one that is revoked too.
func (d *Directory) IssuedKey(id string) (apikey.Key, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	k, known := d.state.keys.named[id]
	if !known {
		return apikey.Key{}, false
	}
	return *k, true
}

// APIKeysAfter are the API keys that were issued after a position, oldest first, without those that are revoked.
func (d *Directory) APIKeysAfter(position domain.Position) []apikey.Key {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.DeleteFunc(d.state.keys.list(position), func(k apikey.Key) bool { return k.Revoked })
}
