package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/attachment"
	"strandline/domain/grant"
	"strandline/domain/observation"
	"strandline/domain/plan"
	"strandline/domain/registry"
)

// simWorld is what a simulation believes to be so: the state that follows from the events of the log, told in the simplest
// way and by none of the code under test.
type simWorld struct {
	objects map[string]*simThing
	order   []*simThing // as they came
	logins  map[string]*simLogin
	opened  map[string]*simLogin // by the id of the credential
	done    map[string]bool      // plans
	made    int                  // plans that are not done
	given   map[string]simGrant
}

// simGrant is a role that somebody holds on an object.
type simGrant struct {
	holder *simLogin
	on     *simThing
}

// simThing is an object of the tree.
type simThing struct {
	kind     registry.Kind
	id, name string
	parent   *simThing
	plan     string
	removed  bool
	tags     map[string]string
	readings []simReading // of a participant, in the order of their coming
}

// simReading is one sensor event.
type simReading struct {
	at       *int64 // ms, nil if unknown
	sensor   string
	data     string
	position domain.Position
	index    int
	hidden   bool
}

// simLogin is an access key with all the secrets that it ever had.
type simLogin struct {
	accessKey string
	secret    string // the one that signs in
	former    []string
	origin    *simThing // nil for root
	revoked   bool
	roles     map[string]*simThing // by grant
}

func newSimWorld() *simWorld {
	return &simWorld{objects: map[string]*simThing{}, logins: map[string]*simLogin{}, opened: map[string]*simLogin{}, done: map[string]bool{},
		given: map[string]simGrant{}}
}

// apply takes in an event. Secrets stand in no event: they are those of the request that led to it.
func (w *simWorld) apply(r domain.Recorded, secret string) error {
	switch e := r.Event.(type) {
	case registry.Added:
		return w.add(e)
	case registry.Revised:
		return w.revise(e)
	case registry.Removed:
		return w.with(e.ID, func(o *simThing) { o.removed = true })
	case plan.Made:
		w.made++
	case plan.Done:
		w.done[e.ID] = true
		w.made--
	case account.Issued:
		return w.issue(e, secret)
	case account.Revised:
		return w.change(e, secret)
	case account.Revoked:
		w.opened[e.ID].revoked = true
	case grant.Given:
		g := simGrant{w.opened[e.Credential], w.objects[e.Object]}
		if g.holder == nil || g.on == nil {
			return fmt.Errorf("a role was granted to %s on %s, one of which is not there", e.Credential, e.Object)
		}
		w.given[e.ID], g.holder.roles[e.ID] = g, g.on
	case grant.Withdrawn:
		delete(w.given[e.ID].holder.roles, e.ID)
	case attachment.Set:
		return w.with(e.Owner, func(o *simThing) { o.tags[e.Key] = string(e.Value) })
	case attachment.Cleared:
		return w.with(e.Owner, func(o *simThing) { delete(o.tags, e.Key) })
	case observation.Recorded:
		return w.observe(r.Position, e)
	case observation.Retracted:
		return w.with(e.Subject, func(o *simThing) { o.retract(e) })
	}
	return nil
}

// with changes an object that must be there.
func (w *simWorld) with(id string, change func(*simThing)) error {
	o, ok := w.objects[id]
	if !ok || !w.visible(o) {
		return fmt.Errorf("an event is about %s, which is not there", id)
	}
	change(o)
	return nil
}

func (w *simWorld) add(e registry.Added) error {
	if e.Parent == "" && e.Kind != registry.Researcher {
		return nil // specifications, which every installation begins with
	}
	if w.objects[e.ID] != nil {
		return fmt.Errorf("%s was added twice", e.ID)
	}
	o := &simThing{kind: e.Kind, id: e.ID, name: simName(e.Attributes), parent: w.objects[e.Parent], plan: e.Plan, tags: map[string]string{}}
	if e.Parent != "" && o.parent == nil {
		return fmt.Errorf("%s was added below %s, which is not there", e.ID, e.Parent)
	}
	w.objects[e.ID] = o
	w.order = append(w.order, o)
	return nil
}

func simName(a registry.Attributes) string { return strings.Trim(string(a["name"]), `"`) }

func (w *simWorld) revise(e registry.Revised) error {
	return w.with(e.ID, func(o *simThing) {
		if name := simName(e.Attributes); name != "" {
			o.name = name
		}
	})
}

func (w *simWorld) issue(e account.Issued, secret string) error {
	if held := w.logins[e.AccessKey]; held != nil && w.signsIn(held) {
		return fmt.Errorf("the access key %s was given twice", e.AccessKey)
	}
	l := &simLogin{accessKey: e.AccessKey, secret: secret, origin: w.objects[e.Origin], roles: map[string]*simThing{}}
	if held := w.logins[e.AccessKey]; held != nil {
		l.former = append(held.former, held.secret)
	}
	if e.AccessKey == simRootKey {
		l.secret = simRootSecret
	}
	w.logins[e.AccessKey], w.opened[e.ID] = l, l
	return nil
}

func (w *simWorld) change(e account.Revised, secret string) error {
	l := w.opened[e.ID]
	if l == nil || l.revoked {
		return fmt.Errorf("the credential %s was changed, which is not there", e.ID)
	}
	l.former, l.secret = append(l.former, l.secret), secret
	return nil
}

func (w *simWorld) observe(at domain.Position, e observation.Recorded) error {
	return w.with(e.Subject, func(o *simThing) {
		for i, item := range e.Items {
			o.readings = append(o.readings, simReading{item.Time, item.Series, string(item.Value), at, i, false})
		}
	})
}

func (o *simThing) retract(e observation.Retracted) {
	for i := range o.readings {
		r := &o.readings[i]
		if (e.Series == "" || r.sensor == e.Series) && r.within(e.From, e.To) {
			r.hidden = true
		}
	}
}

// within tells whether a reading lies in [from, to). One without a time lies in no bounds.
func (r *simReading) within(from, to *int64) bool {
	if from == nil && to == nil {
		return true
	}
	return r.at != nil && (from == nil || *r.at >= *from) && (to == nil || *r.at < *to)
}

// visible tells whether an object can be seen by anybody: all plans that it is of are done, and nothing above is removed.
func (w *simWorld) visible(o *simThing) bool {
	for ; o != nil; o = o.parent {
		if o.removed || o.plan != "" && !w.done[o.plan] {
			return false
		}
	}
	return true
}

// signsIn tells whether a login is good.
func (w *simWorld) signsIn(l *simLogin) bool { return !l.revoked && w.visible(l.origin) }

// below are the visible objects of a kind in another, as they came.
func (w *simWorld) below(parent *simThing, kind registry.Kind) (found []*simThing) {
	for _, o := range w.order {
		if o.parent == parent && o.kind == kind && w.visible(o) {
			found = append(found, o)
		}
	}
	return found
}

// all are the visible objects of a kind, as they came.
func (w *simWorld) all(kind registry.Kind) (found []*simThing) {
	for _, o := range w.order {
		if o.kind == kind && w.visible(o) {
			found = append(found, o)
		}
	}
	return found
}

// in tells whether o is above or lies below it.
func (o *simThing) in(above *simThing) bool {
	for ; o != nil; o = o.parent {
		if o == above {
			return true
		}
	}
	return false
}

// may tells whether a login may do what self and parent may, which is nearly everything.
func (l *simLogin) may(o *simThing) bool { return l.origin == nil || o != nil && o.in(l.origin) }

// reads tells whether a login holds a role on o or above it.
func (l *simLogin) reads(o *simThing) bool {
	for _, on := range l.roles {
		if o.in(on) {
			return true
		}
	}
	return false
}

// study is the study that an object is in.
func (o *simThing) study() *simThing {
	for o != nil && o.kind != registry.Study {
		o = o.parent
	}
	return o
}

// simQuery is which readings are asked for.
type simQuery struct {
	sensor   string
	from, to *int64
	limit    int // negative: the oldest first
}

func (q simQuery) String() string {
	parts := []string{fmt.Sprintf("limit=%d", q.limit)}
	if q.sensor != "" {
		parts = append(parts, "origin="+q.sensor)
	}
	if q.from != nil {
		parts = append(parts, fmt.Sprintf("from=%d", *q.from))
	}
	if q.to != nil {
		parts = append(parts, fmt.Sprintf("to=%d", *q.to))
	}
	return strings.Join(parts, "&")
}

// answer is what a list of a participant's events must be, byte for byte (decision 9).
func (o *simThing) answer(q simQuery) string {
	var found []simReading
	for _, r := range o.readings {
		if !r.hidden && (q.sensor == "" || r.sensor == q.sensor) && r.within(q.from, q.to) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, simBefore)
	if q.limit >= 0 {
		slices.Reverse(found)
	}
	if n := max(q.limit, -q.limit); n > 0 && n < len(found) {
		found = found[:n]
	}
	lines := make([]string, len(found))
	for i, r := range found {
		lines[i] = r.String()
	}
	return `{"data":[` + strings.Join(lines, ",") + `]}`
}

func simBefore(a, b simReading) int {
	low := func(at *int64) int64 {
		if at == nil {
			return -1 << 63
		}
		return *at
	}
	return cmp.Or(cmp.Compare(low(a.at), low(b.at)), a.position.Compare(b.position), cmp.Compare(a.index, b.index))
}

func (r simReading) String() string {
	at := "null"
	if r.at != nil {
		at = fmt.Sprint(*r.at)
	}
	return fmt.Sprintf(`{"timestamp":%s,"sensor":%q,"data":%s}`, at, r.sensor, r.data)
}
