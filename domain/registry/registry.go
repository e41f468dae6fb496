package registry

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"strandline/domain"
)

// Refusals.
var (
	ErrExists  = fmt.Errorf("%w: there is such an object already", domain.ErrRejected)
	ErrRemoved = fmt.Errorf("%w: the id has belonged to an object that is removed, and is never given again", domain.ErrRejected)
	ErrFixed   = fmt.Errorf("%w: this attribute never changes once it is set", domain.ErrRejected)
	ErrNone    = fmt.Errorf("%w: no such object", domain.ErrNotFound)
)

// State is what decisions need to remember of an object. The zero State is an object that nobody has added.
type State struct {
	Kind       Kind
	Removed    bool
	Attributes map[string][sha256.Size]byte // hashes of the values, to tell whether one is new
}

// exists tells whether there is such an object of that kind, and it is not removed.
func (s State) exists(k Kind) bool { return s.Kind == k && k != "" && !s.Removed }

// Evolve returns s after e. It leaves the maps of s alone.
func Evolve(s State, e domain.Event) State {
	switch e := e.(type) {
	case Added:
		return State{Kind: e.Kind, Attributes: hashes(nil, e.Attributes)}
	case Revised:
		s.Attributes = hashes(s.Attributes, e.Attributes)
	case Removed:
		return State{Kind: s.Kind, Removed: true}
	}
	return s
}

// Decide returns what c causes in s.
func Decide(s State, c domain.Command) ([]domain.Event, error) {
	switch c := c.(type) {
	case Add:
		return add(s, c)
	case Revise:
		return revise(s, c)
	case Remove:
		return remove(s, c)
	}
	return nil, fmt.Errorf("%w: an object of the registry cannot %T", domain.ErrInvalid, c)
}

func add(s State, c Add) ([]domain.Event, error) {
	r, known := rules[c.Kind]
	if !known {
		return nil, fmt.Errorf("%w: there is no kind %q", domain.ErrInvalid, c.Kind)
	}
	if !r.id(c.ID) || c.Key == "" || !isSpec(c.Kind) && c.Key != c.ID {
		return nil, fmt.Errorf("%w: no %s can have the id %q", domain.ErrInvalid, c.Kind, c.ID)
	}
	if c.ParentKind != r.parent || (c.Parent == "") != (r.parent == "") {
		return nil, fmt.Errorf("%w: no %s can stand below what is %q", domain.ErrInvalid, c.Kind, c.ParentKind)
	}
	if err := r.check(c.Attributes); err != nil {
		return nil, err
	}
	if s.Kind != "" && !s.Removed {
		return nil, ErrExists
	}
	if s.Removed && !r.again {
		return nil, ErrRemoved
	}
	return []domain.Event{Added{Kind: c.Kind, ID: c.ID, Parent: c.Parent, Attributes: c.Attributes, Plan: c.Plan}}, nil
}

func revise(s State, c Revise) ([]domain.Event, error) {
	if !s.exists(c.Kind) {
		return nil, ErrNone
	}
	r := rules[c.Kind]
	if err := r.check(c.Attributes); err != nil {
		return nil, err
	}
	changed := make(Attributes)
	for name, value := range c.Attributes {
		old, set := s.Attributes[name]
		if set && old == sha256.Sum256(value) {
			continue
		}
		if set && r.attributes[name].fixed {
			return nil, fmt.Errorf("%w: %s of the %s", ErrFixed, name, c.Kind)
		}
		changed[name] = value
	}
	if len(changed) == 0 {
		return nil, nil
	}
	return []domain.Event{Revised{Kind: c.Kind, ID: c.ID, Attributes: changed}}, nil
}

func remove(s State, c Remove) ([]domain.Event, error) {
	if !s.exists(c.Kind) {
		return nil, ErrNone
	}
	return []domain.Event{Removed{Kind: c.Kind, ID: c.ID}}, nil
}

// check tells whether an object of this kind may have such attributes.
func (r rule) check(given Attributes) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		a, known := r.attributes[name]
		if !known {
			return fmt.Errorf("%w: there is no attribute %q; there are %s", domain.ErrInvalid, name, r.names())
		}
		if !a.form(given[name]) {
			return fmt.Errorf("%w: attribute %s has a value of the wrong type", domain.ErrInvalid, name)
		}
	}
	return nil
}

// names lists the attributes that there are, in words.
func (r rule) names() string {
	if len(r.attributes) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(r.attributes)), ", ")
}

// hashes returns old with the hashes of the given values.
func hashes(old map[string][sha256.Size]byte, given Attributes) map[string][sha256.Size]byte {
	all := maps.Clone(old)
	if all == nil {
		all = make(map[string][sha256.Size]byte, len(given))
	}
	for name, value := range given {
		all[name] = sha256.Sum256(value)
	}
	return all
}
