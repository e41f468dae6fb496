package lamp

import (
	"slices"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain/rawjson"
	"strandline/domain/registry"
	"strandline/transport/rest"
)

// json reads the request's body and returns it compacted, as bytes of its own. Nothing at all is an error.
func (c *call) json() ([]byte, error) {
	body, err := c.Body()
	if err != nil {
		return nil, err
	}
	return rawjson.Compact(nil, body)
}

// answer is a body built in the call's buffer.
func answer(body []byte, rows int) rest.Answer {
	return rest.Answer{Status: 200, Body: body, Rows: rows, Pooled: true}
}

// made is the answer to a creation: the new id.
func (c *call) made(id string) []byte {
	body := append(c.Buffer(), `{"data":`...)
	return append(rawjson.AppendString(body, id), '}')
}

// list answers with the given objects, as an array.
func (c *call) list(s *shape, objects []registry.Object, d detail) (rest.Answer, error) {
	c.ready(c.Documents)
	body := append(c.Buffer(), `{"data":[`...)
	rows := 0
	for ids := range slices.Chunk(objects, 256) {
		found, err := c.Documents.Get(c.Context(), s.kind, idsOf(ids)...)
		if err != nil {
			return rest.Answer{}, err
		}
		for _, o := range found {
			body = separate(body, rows)
			body = s.append(body, o.ID, o.Body, d)
			rows++
		}
	}
	return answer(append(body, ']', '}'), rows), nil
}

// separate appends a comma before all but the first row.
func separate(body []byte, rows int) []byte {
	if rows == 0 {
		return body
	}
	return append(body, ',')
}

func idsOf(objects []registry.Object) []string {
	ids := make([]string, len(objects))
	for i, o := range objects {
		ids[i] = o.ID
	}
	return ids
}

// detail is how much the caller wants to see in a list. In doubt: all (contract, section 5.4).
func (c *call) detail() detail {
	if c.Request().URL.Query().Get("ignore_binary") == "true" {
		return light
	}
	return listed
}

// listAll lists all objects of a kind.
func listAll(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		return c.list(s, c.Directory.All(s.kind), c.detail())
	}
}

// listBelow lists the objects of a kind in a study, or in all studies of a researcher.
func listBelow(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		return c.list(s, c.below(c.object, s.kind), c.detail())
	}
}

// listBeside lists the objects of a kind in the study that the named object is in, those that the caller may view: who may
// look at one participant need not know of the others.
func listBeside(s *shape, verb policy.Verb) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		return c.list(s, c.viewable(verb, c.Directory.Children(c.object.Parent, s.kind)), c.detail())
	}
}

// listOwn lists the objects of a kind that the caller may view.
func listOwn(s *shape, verb policy.Verb) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		return c.list(s, c.viewable(verb, c.reach(s.kind)), c.detail())
	}
}

// viewable are those of objects on which the caller may do verb: each is asked for by itself (decision 21).
func (c *call) viewable(verb policy.Verb, objects []registry.Object) []registry.Object {
	return slices.DeleteFunc(objects, func(o registry.Object) bool {
		_, err := c.Bus.Permit(c.Meta.Principal, verb, policy.Object{Kind: o.Kind, ID: o.ID})
		return err != nil
	})
}

// reach is the objects of a kind that the caller could be allowed to see at most: all for root, else those below the
// study or the researcher that its own object belongs to, and those below what it holds a grant on.
func (c *call) reach(kind registry.Kind) []registry.Object {
	if c.Meta.Root {
		return c.Directory.All(kind)
	}
	own := c.around(kind)
	grants := c.Directory.Grants(c.Meta.Credential)
	if len(grants) == 0 {
		return own
	}
	reached := map[string]bool{}
	for _, o := range own {
		reached[o.ID] = true
	}
	for _, g := range grants {
		if g.Object == "" {
			return c.Directory.All(kind)
		}
		if o, ok := c.Directory.Object(g.Object); ok {
			for _, o := range c.below(o, kind) {
				reached[o.ID] = true
			}
		}
	}
	return slices.DeleteFunc(c.Directory.All(kind), func(o registry.Object) bool { return !reached[o.ID] })
}

// around is the objects of a kind below the study or the researcher that the caller's own object belongs to.
func (c *call) around(kind registry.Kind) []registry.Object {
	origin, _ := c.Directory.Object(c.Meta.Origin)
	switch origin.Kind {
	case registry.Researcher, registry.Study:
		return c.below(origin, kind)
	}
	return c.Directory.Children(origin.Parent, kind)
}

// below is the objects of a kind in a study or in all studies of a researcher. A study is its own only study.
func (d *Door) below(o registry.Object, kind registry.Kind) []registry.Object {
	switch {
	case o.Kind == kind:
		return []registry.Object{o}
	case o.Kind == registry.Study || kind == registry.Study:
		return d.Directory.Children(o.ID, kind)
	}
	var found []registry.Object
	for _, study := range d.Directory.Children(o.ID, registry.Study) {
		found = append(found, d.Directory.Children(study.ID, kind)...)
	}
	return found
}

// view shows one object, with everything.
func view(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		return c.list(s, []registry.Object{c.object}, whole)
	}
}

// create adds an object under the one that the path names.
func create(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		body, err := c.json()
		if err != nil {
			return rest.Answer{}, err
		}
		attributes, err := s.attributes(body, false)
		if err != nil {
			return rest.Answer{}, err
		}
		id, receipt, err := c.add(s.kind, attributes)
		if err != nil {
			return rest.Answer{}, err
		}
		return c.created(receipt, c.made(id)), nil
	}
}

// created is the answer to a creation that worked.
func (c *call) created(receipt commands.Receipt, body []byte) rest.Answer {
	a := c.done(receipt, c.Directory, c.Documents)
	a.Body, a.Pooled = body, true
	return a
}

// update merges new attributes over those of the object that the path names.
func update(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		body, err := c.json()
		if err != nil {
			return rest.Answer{}, err
		}
		attributes, err := s.attributes(body, true)
		if err != nil {
			return rest.Answer{}, err
		}
		if err := c.renotify(attributes); err != nil {
			return rest.Answer{}, err
		}
		return c.revise(c.id, attributes)
	}
}

func (c *call) revise(key string, attributes registry.Attributes) (rest.Answer, error) {
	return c.do(registry.Revise{Key: key, Kind: c.asked.Kind, ID: c.id, Attributes: attributes}, c.Documents)
}

// remove takes the named object away, and with it everything below.
func remove(c *call) (rest.Answer, error) {
	return c.do(registry.Remove{Key: c.id, Kind: c.asked.Kind, ID: c.id}, c.Directory, c.Documents)
}

// unimplemented is the answer that the contract wants in place of what makes no sense.
func unimplemented(*call) (rest.Answer, error) { return rest.Answer{}, errUnimplemented }

// createParticipant adds a participant. Whatever the body says of it is dropped (contract, section 5.3).
func createParticipant(c *call) (rest.Answer, error) {
	body, err := c.Body()
	if err != nil {
		return rest.Answer{}, err
	}
	if len(body) > 0 {
		if _, err := rawjson.Compact(nil, body); err != nil {
			return rest.Answer{}, err
		}
	}
	id, receipt, err := c.add(registry.Participant, nil)
	if err != nil {
		return rest.Answer{}, err
	}
	shown := append(c.Buffer(), `{"data":`...)
	return c.created(receipt, append(participants.append(shown, id, nil, whole), '}')), nil
}

// createResearcher adds a researcher with a first study of the same name (contract, section 5.1).
func createResearcher(c *call) (rest.Answer, error) {
	body, err := c.json()
	if err != nil {
		return rest.Answer{}, err
	}
	attributes, err := researchers.attributes(body, false)
	if err != nil {
		return rest.Answer{}, err
	}
	random := c.Bus.IDs(c.Meta)
	id, err := rest.DrawID(random, registry.Researcher)
	if err != nil {
		return rest.Answer{}, err
	}
	study, err := rest.DrawID(random, registry.Study)
	if err != nil {
		return rest.Answer{}, err
	}
	receipt, err := c.Bus.DoPlan(c.Lasting(), c.permit, c.Meta,
		registry.Add{Key: id, Kind: registry.Researcher, ID: id, Attributes: attributes},
		registry.Add{Key: study, Kind: registry.Study, ID: study, Parent: id, ParentKind: registry.Researcher, Attributes: attributes})
	if err != nil {
		return rest.Answer{}, err
	}
	return c.created(receipt, c.made(id)), nil
}

// viewParent names the objects above the named one, by kind (contract, section 5.8).
func viewParent(c *call) (rest.Answer, error) {
	c.ReadFrom(c.Arrival)
	body := append(c.Buffer(), `{"data":{`...)
	above := c.Directory.Ancestors(c.id)
	slices.Reverse(above)
	for i, o := range above {
		body = separate(body, i)
		body = rawjson.AppendString(body, kindNames[o.Kind])
		body = append(body, ':')
		body = rawjson.AppendString(body, o.ID)
	}
	return answer(append(body, '}', '}'), 1), nil
}

// kindNames are the kinds as the protocol writes them.
var kindNames = map[registry.Kind]string{
	registry.Researcher: "Researcher", registry.Study: "Study", registry.Participant: "Participant",
	registry.Activity: "Activity", registry.Sensor: "Sensor",
}
