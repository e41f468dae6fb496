package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/attachment"
	"strandline/domain/grant"
	"strandline/domain/observation"
	"strandline/domain/plan"
	"strandline/domain/registry"
)

// simAction is what one client does in a round. It names what it reads and what it changes, so that the outcome of all that
// happens in one round is known beforehand.
type simAction struct {
	reads, writes []string
	do            func()
}

// take claims what the action is about, unless others are at it.
func (a *simAction) take(held map[string]int) bool {
	free := func(name string, most int) bool { return held[name] >= 0 && held[name] <= most }
	for _, name := range a.writes {
		if !free(name, 0) {
			return false
		}
	}
	for _, name := range a.reads {
		if !free(name, 1<<30) {
			return false
		}
	}
	for _, name := range a.reads {
		held[name]++
	}
	for _, name := range a.writes {
		held[name] = -1
	}
	return true
}

// simClient is a client with the dice for one action.
type simClient struct {
	*simLife
	*rand.Rand
	name string
	sent int
}

// act draws an action; nil if that one cannot be done now.
func (l *simLife) act(name string) *simAction {
	c := &simClient{simLife: l, Rand: rand.New(rand.NewPCG(l.draw.Uint64(), 3)), name: name}
	if len(l.world.all(registry.Study)) < 2 {
		return c.createResearcher()
	}
	if len(c.world.all(registry.Participant)) < 2 {
		return c.createBelow()
	}
	if c.IntN(4) == 0 && len(c.world.logins) < 4 {
		return c.issue()
	}
	acts := []func() *simAction{
		c.createResearcher, c.createBelow, c.createBelow, c.createBelow, c.rename, c.remove,
		c.observe, c.observe, c.observe, c.observe, c.retract, c.list, c.list, c.tag, c.tag, c.untag,
		c.issue, c.issue, c.reissue, c.revoke, c.contest, c.twice, c.again, c.again, c.otherwise,
		c.guess, c.former, c.missing, c.foreign, c.nonsense, c.tree, c.ahead, c.rebuild, c.options, c.share, c.share, c.program,
	}
	return acts[c.IntN(len(acts))]()
}

// request makes the next request of this client, who hangs up now and then.
func (c *simClient) request(as *simLogin, method, path, body string, want ...int) *simRequest {
	c.sent++
	r := &simRequest{name: fmt.Sprintf("%s.%d", c.name, c.sent), as: as, method: method, path: path, body: body, want: want}
	if c.IntN(12) == 0 {
		r.hangUp = time.Duration(1+c.IntN(15_000)) * time.Microsecond
	}
	return r
}

// deed makes a request one that changes something.
func (c *simClient) deed(r *simRequest, check func([]domain.Recorded) error) *simRequest {
	r.deed = &simDeed{check: check}
	if c.IntN(2) == 0 {
		r.deed.key = "key-" + r.name
	}
	return r
}

// does is an action of one request, upon which others may follow if it was served.
func (c *simClient) does(a *simAction, r *simRequest, then ...*simRequest) *simAction {
	if r.as != nil {
		a.reads = append(a.reads, "login "+r.as.accessKey)
	}
	a.do = func() {
		if !c.ask(r) {
			return
		}
		for _, next := range then {
			c.ask(next)
		}
	}
	return a
}

func simPick[T any](c *simClient, all []T) (one T, ok bool) {
	if len(all) == 0 {
		return one, false
	}
	return all[c.IntN(len(all))], true
}

// somebody who may do to o what its own and those above it may.
func (c *simClient) somebody(o *simThing) *simLogin {
	return c.login(func(l *simLogin) bool { return l.may(o) })
}

// login draws one of those that sign in and are fit; nil if there is none.
func (c *simClient) login(fit func(*simLogin) bool) *simLogin {
	var all []*simLogin
	for _, l := range c.world.logins {
		if c.world.signsIn(l) && fit(l) {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *simLogin) int { return strings.Compare(a.accessKey, b.accessKey) })
	one, _ := simPick(c, all)
	return one
}

func (c *simClient) any(kind registry.Kind) (*simThing, bool) { return simPick(c, c.world.all(kind)) }

func (c *simClient) anything() *simThing {
	kind, _ := simPick(c, []registry.Kind{registry.Study, registry.Participant, registry.Participant, registry.Sensor, registry.Activity})
	if o, ok := c.any(kind); ok {
		return o
	}
	o, _ := c.any(registry.Study)
	return o
}

// simPlace is what is claimed of the tree by whoever is busy with o.
func simPlace(o *simThing) string {
	if s := o.study(); s != nil {
		return "study " + s.id
	}
	return "researcher " + o.id
}

// simOne checks that a deed led to one event, and that it is right.
func simOne[E domain.Event](right func(E) bool) func([]domain.Recorded) error {
	return func(events []domain.Recorded) error {
		if len(events) == 1 {
			if e, ok := events[0].Event.(E); ok && right(e) {
				return nil
			}
		}
		return fmt.Errorf("it led to %d events, the first of which is %+v", len(events), events[0].Event)
	}
}

// createResearcher adds a researcher with its first study, which is a plan.
func (c *simClient) createResearcher() *simAction {
	if len(c.world.all(registry.Researcher)) >= 3 {
		return nil
	}
	name := "Researcher " + c.name
	r := c.deed(c.request(c.root(), "POST", "/researcher", fmt.Sprintf(`{"name":%q}`, name), 200), func(events []domain.Recorded) error {
		if len(events) != 4 {
			return fmt.Errorf("the plan led to %d events", len(events))
		}
		_, made := events[0].Event.(plan.Made)
		researcher, one := events[1].Event.(registry.Added)
		study, two := events[2].Event.(registry.Added)
		_, done := events[3].Event.(plan.Done)
		if !made || !one || !two || !done || study.Parent != researcher.ID || simName(researcher.Attributes) != name || simName(study.Attributes) != name {
			return fmt.Errorf("the plan led to %+v", events)
		}
		return nil
	})
	return c.does(&simAction{writes: []string{"researchers"}}, r)
}

func (c *simClient) root() *simLogin { return c.world.logins[simRootKey] }

var simWords = map[registry.Kind]string{registry.Researcher: "researcher", registry.Study: "study", registry.Participant: "participant",
	registry.Activity: "activity", registry.Sensor: "sensor"}

// createBelow adds a study, a participant, a sensor or an activity, and looks whether it is there.
func (c *simClient) createBelow() *simAction {
	kind, _ := simPick(c, []registry.Kind{registry.Study, registry.Participant, registry.Participant, registry.Sensor, registry.Activity})
	above := registry.Study
	if kind == registry.Study {
		above = registry.Researcher
	}
	parent, _ := c.any(above)
	if len(c.world.below(parent, kind)) >= 4 {
		return nil
	}
	name, body := "", `{}`
	if kind != registry.Participant {
		name = "New " + c.name
		body = fmt.Sprintf(`{"name":%q,"spec":"x"}`, name)
	}
	path := "/" + simWords[above] + "/" + parent.id + "/" + simWords[kind]
	as := c.somebody(parent)
	r := c.deed(c.request(as, "POST", path, body, 200), simOne(func(e registry.Added) bool {
		return e.Kind == kind && e.Parent == parent.id && simName(e.Attributes) == name
	}))
	look := c.request(as, "GET", path, "", 200)
	look.check = func(answer string) error {
		want := append(simListed(c.world.below(parent, kind)), "?|"+name)
		return c.sameObjects(answer, want)
	}
	return c.does(&simAction{writes: []string{simPlace(parent)}}, r, look)
}

func simListed(all []*simThing) (lines []string) {
	for _, o := range all {
		lines = append(lines, o.id+"|"+o.name)
	}
	return lines
}

// sameObjects compares a list with objects in their order. An id may be unknown, as that of one just made.
func (l *simLife) sameObjects(answer string, want []string) error {
	var list struct {
		Data []struct{ ID, Name string }
	}
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		return err
	}
	got := []string{}
	for i, o := range list.Data {
		if i < len(want) && strings.HasPrefix(want[i], "?|") {
			o.ID = "?"
		}
		got = append(got, o.ID+"|"+o.Name)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("it shows %q, not %q", got, want)
	}
	return nil
}

func (c *simClient) rename() *simAction {
	o := c.anything()
	if o.kind == registry.Participant {
		return nil
	}
	name := "Renamed " + c.name
	as := c.somebody(o)
	path := "/" + simWords[o.kind] + "/" + o.id
	r := c.deed(c.request(as, "PUT", path, fmt.Sprintf(`{"name":%q}`, name), 200), simOne(func(e registry.Revised) bool {
		return e.ID == o.id && simName(e.Attributes) == name
	}))
	look := c.request(as, "GET", path, "", 200)
	look.check = func(answer string) error { return c.sameObjects(answer, []string{o.id + "|" + name}) }
	a := &simAction{writes: []string{simPlace(o)}}
	if o.kind == registry.Study {
		a.writes = append(a.writes, simPlace(o.parent))
	}
	return c.does(a, r, look)
}

// remove takes away an object with all that is below, and nobody below signs in any more.
func (c *simClient) remove() *simAction {
	o := c.anything()
	if c.IntN(3) > 0 || o.kind == registry.Study && len(c.world.all(registry.Study)) <= 2 {
		return nil
	}
	a := &simAction{writes: []string{simPlace(o)}}
	if o.kind == registry.Study {
		a.writes = append(a.writes, simPlace(o.parent))
	}
	as := c.login(func(l *simLogin) bool { return l.may(o) && (l.origin == nil || !l.origin.in(o)) })
	path := "/" + simWords[o.kind] + "/" + o.id
	r := c.deed(c.request(as, "DELETE", path, "", 200), simOne(func(e registry.Removed) bool { return e.ID == o.id }))
	then := []*simRequest{c.request(as, "GET", path, "", 404)}
	for _, key := range simKeys(c.world.logins) {
		if l := c.world.logins[key]; l.origin != nil && l.origin.in(o) {
			a.writes = append(a.writes, "login "+key)
			if c.world.signsIn(l) {
				late := c.request(l, "GET", "/participant/me", "", 403)
				late.anybodysSecret = true
				then = append(then, late)
			}
		}
	}
	return c.does(a, r, then...)
}

func simKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// observe sends readings, some at equal times, some at none, and reads them.
func (c *simClient) observe() *simAction {
	o, ok := c.any(registry.Participant)
	if !ok {
		return nil
	}
	var lines []string
	after := &simThing{readings: slices.Clone(o.readings)}
	next := domain.Position{Commit: 1 << 62}
	for i := range 1 + c.IntN(6) {
		r := simReading{sensor: c.sensor(), data: fmt.Sprintf(`{"of":%q,"n":%d}`, c.name, i), position: next, index: i}
		if c.IntN(8) > 0 {
			at := int64(c.IntN(6)) * 1000
			r.at = &at
		}
		if c.IntN(30) == 0 {
			r.data = fmt.Sprintf(`{"of":%q,"large":%q}`, c.name, strings.Repeat("x", 100_000+c.IntN(400_000)))
		}
		lines, after.readings = append(lines, r.String()), append(after.readings, r)
	}
	as := c.somebody(o)
	path := "/participant/" + o.id + "/sensor_event"
	r := c.deed(c.request(as, "POST", path, "["+strings.Join(lines, ",")+"]", 200), simOne(func(e observation.Recorded) bool {
		return e.Subject == o.id && e.Channel == observation.LAMPSensor && len(e.Items) == len(lines)
	}))
	q := c.query()
	look := c.request(as, "GET", path+"?"+q.String(), "", 200)
	look.check = simSame(after.answer(q))
	return c.does(&simAction{reads: []string{simPlace(o)}, writes: []string{"events " + o.id}}, r, look)
}

func (c *simClient) sensor() string { return fmt.Sprintf("sensor-%d", c.IntN(3)) }

// query draws which readings to ask for.
func (c *simClient) query() simQuery {
	limits := []int{0, 3, 10, 1000, -3, -1000}
	q := simQuery{limit: limits[c.IntN(len(limits))]}
	if c.IntN(3) == 0 {
		q.sensor = c.sensor()
	}
	if c.IntN(3) == 0 {
		from := int64(c.IntN(4)) * 1000
		q.from = &from
	}
	if c.IntN(3) == 0 {
		to := int64(4+c.IntN(3)) * 1000
		q.to = &to
	}
	return q
}

func simSame(want string) func(string) error {
	return func(answer string) error {
		if answer != want {
			return fmt.Errorf("the answer is not %.2000s, but %.2000s", want, answer)
		}
		return nil
	}
}

func (c *simClient) retract() *simAction {
	o, ok := c.any(registry.Participant)
	if !ok {
		return nil
	}
	q := c.query()
	q.limit = 0
	path := "/participant/" + o.id + "/sensor_event"
	as := c.somebody(o)
	after := &simThing{readings: slices.Clone(o.readings)}
	gone := observation.Retracted{Series: q.sensor, From: q.from, To: q.to}
	after.retract(gone)
	r := c.deed(c.request(as, "DELETE", path+"?"+q.String(), "", 200), simOne(func(e observation.Retracted) bool {
		return e.Subject == o.id && e.Series == q.sensor
	}))
	look := c.request(as, "GET", path+"?limit=0", "", 200)
	look.check = simSame(after.answer(simQuery{}))
	return c.does(&simAction{reads: []string{simPlace(o)}, writes: []string{"events " + o.id}}, r, look)
}

func (c *simClient) list() *simAction {
	o, ok := c.any(registry.Participant)
	if !ok {
		return nil
	}
	q := c.query()
	r := c.request(c.somebody(o), "GET", "/participant/"+o.id+"/sensor_event?"+q.String(), "", 200)
	r.check = simSame(o.answer(q))
	return c.does(&simAction{reads: []string{simPlace(o), "events " + o.id}}, r)
}

// tag sets a tag, now and then a long one that takes several events, and reads it.
func (c *simClient) tag() *simAction {
	o := c.anything()
	key, value := c.key(), fmt.Sprintf(`{"set":%q}`, c.name)
	if c.IntN(10) == 0 {
		value = fmt.Sprintf(`{"set":%q,"long":%q}`, c.name, strings.Repeat("y", 200_000+c.IntN(500_000)))
	}
	as := c.somebody(o)
	path := "/type/" + o.id + "/attachment/" + key
	r := c.deed(c.request(as, "PUT", path+"/me", value, 200), simOne(func(e attachment.Set) bool {
		return e.Owner == o.id && e.Key == key && string(e.Value) == value
	}))
	look := c.request(as, "GET", path, "", 200)
	look.check = simSame(`{"data":` + value + `}`)
	return c.does(&simAction{writes: []string{simPlace(o)}}, r, look)
}

func (c *simClient) key() string { return fmt.Sprintf("key-%d", c.IntN(3)) }

func (c *simClient) untag() *simAction {
	o := c.anything()
	key := c.key()
	as := c.somebody(o)
	path := "/type/" + o.id + "/attachment/" + key
	r := c.deed(c.request(as, "PUT", path+"/me", "null", 200), simOne(func(e attachment.Cleared) bool { return e.Owner == o.id && e.Key == key }))
	_, there := o.tags[key]
	r.deed.nothing = !there
	return c.does(&simAction{writes: []string{simPlace(o)}}, r, c.request(as, "GET", path, "", 404))
}

// issue gives an object a login, with which it signs in at once.
func (c *simClient) issue() *simAction {
	if len(c.world.logins) > 6 {
		return nil
	}
	kind, _ := simPick(c, []registry.Kind{registry.Researcher, registry.Participant, registry.Study})
	o, ok := c.any(kind)
	if !ok {
		return nil
	}
	return c.issueFor(o, "login-"+c.name, "secret "+c.name)
}

func (c *simClient) issueFor(o *simThing, accessKey, secret string) *simAction {
	r := c.issuing(o, accessKey, secret)
	fresh := &simLogin{accessKey: accessKey, secret: secret, origin: o}
	look := c.request(fresh, "GET", "/type/me/parent", "", 200)
	return c.does(&simAction{reads: []string{simPlace(o)}, writes: []string{"login " + accessKey}}, r, look)
}

func (c *simClient) issuing(o *simThing, accessKey, secret string) *simRequest {
	body := fmt.Sprintf(`{"origin":%q,"access_key":%q,"secret_key":%q}`, o.id, accessKey, secret)
	r := c.deed(c.request(c.somebody(o), "POST", "/type/"+o.id+"/credential", body, 200), simOne(func(e account.Issued) bool {
		return e.Origin == o.id && e.AccessKey == accessKey && !strings.Contains(e.SecretHash, secret)
	}))
	r.deed.secret = secret
	return r
}

// reissue gives an access key that is not used any more to somebody else.
func (c *simClient) reissue() *simAction {
	for _, key := range simKeys(c.world.logins) {
		if l := c.world.logins[key]; !c.world.signsIn(l) {
			o, ok := c.any(registry.Participant)
			if !ok {
				return nil
			}
			return c.issueFor(o, key, "secret "+c.name)
		}
	}
	return nil
}

// revoke ends a login or changes its secret: the one of before never signs in again.
func (c *simClient) revoke() *simAction {
	l := c.login(func(l *simLogin) bool { return l.origin != nil })
	if l == nil || c.IntN(2) == 0 {
		return nil
	}
	old := *l
	path := "/type/" + l.origin.id + "/credential/" + l.accessKey
	late := c.request(&old, "GET", "/type/me/parent", "", 403)
	late.anybodysSecret = true
	a := &simAction{reads: []string{simPlace(l.origin)}, writes: []string{"login " + l.accessKey}}
	as := c.login(func(other *simLogin) bool { return other != l && other.may(l.origin) })
	if c.IntN(2) == 0 {
		return c.does(a, c.deed(c.request(as, "DELETE", path, "", 200), simOne(func(account.Revoked) bool { return true })), late)
	}
	secret := "changed " + c.name
	r := c.deed(c.request(as, "PUT", path, fmt.Sprintf(`{"secret_key":%q}`, secret), 200), simOne(func(e account.Revised) bool { return e.SecretHash != "" }))
	r.deed.secret = secret
	changed := old
	changed.secret = secret
	return c.does(a, r, late, c.request(&changed, "GET", "/type/me/parent", "", 200))
}

// contest has two ask for one access key at the same time: at most one gets it.
func (c *simClient) contest() *simAction {
	o, ok := c.any(registry.Participant)
	if !ok || len(c.world.logins) > 6 {
		return nil
	}
	key := "contested-" + c.name
	first, second := c.issuing(o, key, "secret one"), c.issuing(o, key, "secret two")
	first.want, second.want = []int{200, 403}, []int{200, 403}
	a := &simAction{reads: []string{simPlace(o)}, writes: []string{"login " + key}}
	for _, r := range []*simRequest{first, second} {
		a.reads = append(a.reads, "login "+r.as.accessKey)
	}
	a.do = func() { c.both(first, second) }
	return a
}

// both asks for two things at the same time.
func (c *simClient) both(first, second *simRequest) {
	var asking sync.WaitGroup
	asking.Go(func() { c.ask(first) })
	time.Sleep(time.Duration(1+c.IntN(3000)) * time.Microsecond)
	c.ask(second)
	asking.Wait()
}

// twice sends the same request twice at the same time, under one key: it is done once.
func (c *simClient) twice() *simAction {
	o, ok := c.any(registry.Participant)
	if !ok {
		return nil
	}
	line := simReading{sensor: c.sensor(), data: fmt.Sprintf(`{"twice":%q}`, c.name)}.String()
	as := c.somebody(o)
	path := "/participant/" + o.id + "/sensor_event"
	first := c.deed(c.request(as, "POST", path, line, 200), simOne(func(e observation.Recorded) bool { return e.Subject == o.id && len(e.Items) == 1 }))
	if c.IntN(2) == 0 {
		name := "Twice " + c.name
		first = c.deed(c.request(c.root(), "POST", "/study/"+o.study().id+"/sensor", fmt.Sprintf(`{"name":%q,"spec":"x"}`, name), 200),
			simOne(func(e registry.Added) bool { return simName(e.Attributes) == name }))
	}
	first.deed.key = "twice-" + c.name
	second := *first
	second.name += "b"
	a := &simAction{reads: []string{"login " + first.as.accessKey}, writes: []string{simPlace(o), "events " + o.id}}
	a.do = func() {
		c.both(first, &second)
		if first.answered && second.answered && first.status == 200 && second.status == 200 && first.answer != second.answer {
			second.check = func(string) error { return fmt.Errorf("the same request was told %s before", first.answer) }
		}
	}
	return a
}

// earlier draws a deed of some time ago that was asked for under a key by somebody who still may.
func (c *simClient) earlier(fit func(*simDeed, *simRequest) bool) *simRequest {
	var all []*simRequest
	for _, d := range c.deeds {
		first := d.attempts[0]
		if d.key == "" || first.as == nil || d.nothing {
			continue
		}
		now := c.world.logins[first.as.accessKey]
		if now == nil || !c.world.signsIn(now) || now.secret != first.as.secret || now.origin != first.as.origin || !fit(d, first) {
			continue
		}
		all = append(all, first)
	}
	slices.SortFunc(all, func(a, b *simRequest) int { return strings.Compare(a.name, b.name) })
	one, _ := simPick(c, all)
	return one
}

// again sends a request of some time ago once more, under its key, whatever has happened in between: it is answered as
// it was, and nothing comes of it.
func (c *simClient) again() *simAction {
	first := c.earlier(func(d *simDeed, _ *simRequest) bool { return len(d.events) > 0 })
	if first == nil {
		return nil
	}
	r := *first
	fresh := c.request(first.as, first.method, first.path, first.body, 200)
	r.name, r.hangUp, r.answered, r.records, r.events, r.different = fresh.name, fresh.hangUp, false, nil, nil, nil
	r.want, r.id, r.position = fresh.want, domain.ID{}, domain.Position{}
	r.check = nil
	for _, before := range first.deed.attempts {
		if before.answered && before.status == 200 {
			r.check = simSame(before.answer)
		}
	}
	return c.does(&simAction{}, &r)
}

// otherwise sends another request under a key that has been used: it is told so.
func (c *simClient) otherwise() *simAction {
	first := c.earlier(func(d *simDeed, r *simRequest) bool {
		return len(d.events) > 0 && r.method == "POST" && strings.HasSuffix(r.path, "/sensor_event")
	})
	if first == nil {
		return nil
	}
	id := strings.Split(first.path, "/")[2]
	o := c.world.objects[id]
	if o == nil || !c.world.visible(o) {
		return nil
	}
	r := c.request(first.as, first.method, first.path, simReading{sensor: "other", data: "1"}.String(), 422)
	r.deed = &simDeed{key: first.deed.key, check: func([]domain.Recorded) error { return errors.New("the key was another's") }}
	return c.does(&simAction{reads: []string{simPlace(o)}}, r)
}

// share grants somebody a role on a study that is none of theirs, who reads it then, and withdraws it, upon which they do
// not any more.
func (c *simClient) share() *simAction {
	o, _ := c.any(registry.Study)
	with := c.login(func(l *simLogin) bool { return !l.may(o) && !l.reads(o) })
	if with == nil {
		return nil
	}
	give := c.native(c.request(c.root(), "POST", "/strandline/v1/grants",
		fmt.Sprintf(`{"object":%q,"role":"reader","access_key":%q}`, o.id, with.accessKey), 201),
		simOne(func(e grant.Given) bool { return e.Object == o.id && e.Role == grant.Reader }))
	list := func(want int) *simRequest {
		r := c.request(with, "GET", "/study/"+o.id+"/participant", "", want)
		r.check = func(answer string) error {
			return c.sameObjects(answer, simListed(c.world.below(o, registry.Participant)))
		}
		return r
	}
	before, during, after := list(403), list(200), list(403)
	a := &simAction{reads: []string{simPlace(o), "login " + simRootKey}, writes: []string{"login " + with.accessKey}}
	a.do = func() {
		c.ask(before)
		if !c.ask(give) {
			return
		}
		c.ask(during)
		if c.IntN(3) == 0 {
			return // it stays
		}
		take := c.native(c.request(c.root(), "DELETE", "/strandline/v1/grants/"+simMember(give.answer, "id"), "", 200),
			simOne(func(e grant.Withdrawn) bool { return e.Object == o.id }))
		if c.ask(take) {
			c.ask(after)
		}
	}
	return a
}

// native makes a request of the native API one that changes something.
func (c *simClient) native(r *simRequest, check func([]domain.Recorded) error) *simRequest {
	r.deed = &simDeed{check: check}
	return r
}

// simMember is a text of an answer that is an object.
func simMember(answer, name string) string {
	var all map[string]any
	_ = json.Unmarshal([]byte(answer), &all) // what is not there is missed soon enough
	text, _ := all[name].(string)
	return text
}

// program signs in with a key that was issued to it, until that is revoked.
func (c *simClient) program() *simAction {
	o, ok := c.any(registry.Participant)
	if !ok {
		return nil
	}
	issue := c.native(c.request(c.root(), "POST", "/strandline/v1/api-keys", fmt.Sprintf(`{"name":"a program","origin":%q}`, o.id), 201),
		simOne(func(e apikey.Issued) bool { return e.Origin == o.id }))
	a := &simAction{reads: []string{simPlace(o), "login " + simRootKey}}
	a.do = func() {
		if !c.ask(issue) {
			return
		}
		use := func(want ...int) *simRequest {
			r := c.request(&simLogin{origin: o}, "GET", "/participant/me", "", want...)
			r.bearer, r.address = simMember(issue.answer, "key"), "10.0.0.2"
			return r
		}
		c.ask(use(200))
		revoke := c.native(c.request(c.root(), "DELETE", "/strandline/v1/api-keys/"+simMember(issue.answer, "id"), "", 200),
			simOne(func(e apikey.Revoked) bool { return e.Origin == o.id }))
		if c.ask(revoke) {
			late := use(401, 403, 429, 503)
			late.anybodysSecret = true
			c.ask(late)
		}
	}
	return a
}

// guess tries a secret that is wrong, or an access key that nobody has, from an address of its own.
func (c *simClient) guess() *simAction {
	l := c.login(func(*simLogin) bool { return true })
	wrong := &simLogin{accessKey: l.accessKey, secret: "wrong"}
	if c.IntN(2) == 0 {
		wrong.accessKey = "nobody"
	}
	r := c.request(wrong, "GET", "/researcher", "", simRefused...)
	r.address, r.anybodysSecret = "10.0.6.66", true
	return c.does(&simAction{}, r)
}

// simRefused are the answers to a sign-in that is wrong: plainly, or put off since there were so many.
var simRefused = []int{403, 429, 503}

// former tries a secret that has been changed or revoked.
func (c *simClient) former() *simAction {
	var all []*simLogin
	for _, key := range simKeys(c.world.logins) {
		l := c.world.logins[key]
		if !c.world.signsIn(l) {
			all = append(all, l)
		}
		for _, secret := range l.former {
			if secret != l.secret {
				all = append(all, &simLogin{accessKey: key, secret: secret})
			}
		}
	}
	l, ok := simPick(c, all)
	if !ok {
		return nil
	}
	r := c.request(l, "GET", "/type/me/parent", "", simRefused...)
	r.anybodysSecret = true
	return c.does(&simAction{}, r)
}

// missing asks for what is not there: that is told before anything else.
func (c *simClient) missing() *simAction {
	paths := []string{"/participant/U0000000000", "/study/00000000000000000000", "/participant/U0000000000/sensor_event"}
	for _, o := range c.world.order {
		if !c.world.visible(o) {
			paths = append(paths, "/"+simWords[o.kind]+"/"+o.id)
		}
	}
	path, _ := simPick(c, paths)
	as := c.login(func(*simLogin) bool { return true })
	a := &simAction{}
	if as.origin != nil {
		a.reads = append(a.reads, simPlace(as.origin))
	}
	return c.does(a, c.request(as, "GET", path, "", 404))
}

// foreign asks for what others have: it may not be read nor changed.
func (c *simClient) foreign() *simAction {
	o := c.anything()
	as := c.login(func(l *simLogin) bool { return !l.may(o) && !l.reads(o) })
	if as == nil {
		return nil
	}
	path := "/" + simWords[o.kind] + "/" + o.id
	asks := []*simRequest{
		c.request(as, "DELETE", path, "", 403),
		c.request(as, "PUT", "/type/"+o.id+"/attachment/foreign/me", `"mine"`, 403),
		c.request(as, "POST", "/type/"+o.id+"/credential", `{"access_key":"thief","secret_key":"thief"}`, 403),
		c.request(as, "GET", "/researcher", "", 403),
		c.request(as, "GET", "/strandline/v1/projections", "", 403),
	}
	if o.kind == registry.Participant {
		asks = append(asks, c.request(as, "GET", path+"/sensor_event", "", 403), c.request(as, "DELETE", path+"/sensor_event", "", 403),
			c.request(as, "POST", path+"/sensor_event", simReading{sensor: "s", data: "1"}.String(), 403))
	}
	r, _ := simPick(c, asks)
	return c.does(&simAction{reads: []string{simPlace(o), simPlace(as.origin)}}, r)
}

// nonsense asks for what no server can do.
func (c *simClient) nonsense() *simAction {
	o := c.anything()
	as := c.somebody(o)
	asks := []*simRequest{
		c.request(nil, "GET", "/study/"+o.study().id, "", 401),
		c.request(nil, "GET", "/strandline/v1/events", "", 401),
		c.request(as, "GET", "/no/such/route", "", 404),
		c.request(as, "PUT", "/type/"+o.id+"/attachment/x/me", `{"broken":`, 400),
		c.request(as, "PUT", "/type/"+o.id+"/attachment/x/me", `{"a":1,"a":2}`, 400),
	}
	if as.origin == nil {
		asks = append(asks, c.request(as, "GET", "/researcher/me", "", 400))
	}
	r, _ := simPick(c, asks)
	r.anybodysSecret = strings.HasPrefix(r.path, "/no/")
	return c.does(&simAction{reads: []string{simPlace(o)}}, r)
}

// tree lists what is below an object.
func (c *simClient) tree() *simAction {
	o, _ := c.any(registry.Study)
	kind, _ := simPick(c, []registry.Kind{registry.Participant, registry.Sensor, registry.Activity})
	r := c.request(c.somebody(o), "GET", "/study/"+o.id+"/"+simWords[kind], "", 200)
	r.check = func(answer string) error { return c.sameObjects(answer, simListed(c.world.below(o, kind))) }
	return c.does(&simAction{reads: []string{simPlace(o)}}, r)
}

// ahead demands a position: one that has been, or one that will not be for long.
func (c *simClient) ahead() *simAction {
	o, _ := c.any(registry.Study)
	r := c.request(c.somebody(o), "GET", "/study/"+o.id, "", 200)
	r.minimum = domain.Position{Commit: 1, Prepare: 1}.String()
	if c.IntN(2) == 0 {
		r.want, r.minimum = []int{412}, domain.Position{Commit: 1 << 40, Prepare: 1 << 40}.String()
	}
	return c.does(&simAction{reads: []string{simPlace(o)}}, r)
}

func (c *simClient) rebuild() *simAction {
	name, _ := simPick(c, []string{"documents", "series", "audit", "directory"})
	return c.does(&simAction{}, c.request(c.root(), "POST", "/strandline/v1/projections/"+name+"/rebuild", "", 202, 409))
}

func (c *simClient) options() *simAction {
	r := c.request(nil, http.MethodOptions, "/study/x", "", 204)
	if c.IntN(2) == 0 {
		r = c.request(nil, "GET", "/livez", "", 200)
	}
	r.unrecorded = true
	return c.does(&simAction{}, r)
}

// census asks, as root, for all that there is.
func (l *simLife) census() {
	l.counted++
	c := &simClient{simLife: l, Rand: rand.New(rand.NewPCG(l.seed, 4)), name: fmt.Sprintf("census%d", l.counted)}
	look := func(path string, check func(string) error, want int) {
		r := c.request(c.root(), "GET", path, "", want)
		r.check, r.hangUp = check, 0
		c.ask(r)
	}
	objects := func(path string, all []*simThing) {
		look(path, func(answer string) error { return l.sameObjects(answer, simListed(all)) }, 200)
	}
	objects("/researcher", l.world.all(registry.Researcher))
	for _, o := range l.world.all(registry.Researcher) {
		objects("/researcher/"+o.id+"/study", l.world.below(o, registry.Study))
	}
	for _, o := range l.world.all(registry.Study) {
		for _, kind := range []registry.Kind{registry.Participant, registry.Sensor, registry.Activity} {
			objects("/study/"+o.id+"/"+simWords[kind], l.world.below(o, kind))
		}
	}
	for _, o := range l.world.all(registry.Participant) {
		look("/participant/"+o.id+"/sensor_event?limit=0", simSame(o.answer(simQuery{})), 200)
	}
	for _, o := range l.world.order {
		for _, key := range simKeys(o.tags) {
			if l.world.visible(o) {
				look("/type/"+o.id+"/attachment/"+key, simSame(`{"data":`+o.tags[key]+`}`), 200)
			}
		}
		if !l.world.visible(o) {
			look("/"+simWords[o.kind]+"/"+o.id, nil, 404)
		}
	}
	l.history(c)
	l.judge(false)
	l.settle()
}

// history reads the log as lines of JSON: all of it, in its order.
func (l *simLife) history(c *simClient) {
	r := c.request(c.root(), "GET", "/strandline/v1/events", "", 200)
	r.accept, r.hangUp = "application/x-ndjson", 0
	known := len(l.stored)
	r.check = func(answer string) error {
		lines := strings.Split(strings.TrimSpace(answer), "\n")
		if len(lines) < known {
			return fmt.Errorf("it has %d events, not %d", len(lines), known)
		}
		for i, line := range lines {
			var e struct {
				Position domain.Position
				ID       domain.ID
				Sentence string
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return err
			}
			if e.Position.Commit != uint64(i+1) || e.Sentence == "" || i < known && e.ID != l.stored[i].id {
				return fmt.Errorf("line %d is %.200s", i+1, line)
			}
		}
		return nil
	}
	c.ask(r)
}
