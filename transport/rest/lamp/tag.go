package lamp

import (
	"strconv"

	"strandline/domain/attachment"
	"strandline/domain/rawjson"
	"strandline/domain/registry"
	"strandline/readmodels/documents"
	"strandline/transport/rest"
)

// place is where a tag can be: whose it is, and at what it is aimed.
type place struct{ owner, target string }

// places are the places where an object's tags can be, the strongest first: aimed from above at its id, at its kind, at
// everything, the outermost owner first; then its own, aimed at its id, at itself (contract, section 7).
func places(o registry.Object, above []registry.Object) []place {
	if o.ID == "" {
		return []place{{"", null}, {"", attachment.Self}}
	}
	owners := []string{""}
	for _, a := range above {
		owners = append(owners, a.ID)
	}
	var all []place
	for _, target := range []string{o.ID, kindNames[o.Kind], attachment.Descendants} {
		for _, owner := range owners {
			all = append(all, place{owner, target})
		}
	}
	return append(all, place{o.ID, o.ID}, place{o.ID, attachment.Self})
}

// asked are the owners and the targets in places, each once.
func asked(places []place) (owners, targets []string) {
	for _, p := range places {
		owners, targets = once(owners, p.owner), once(targets, p.target)
	}
	return owners, targets
}

func once(list []string, s string) []string {
	for _, known := range list {
		if known == s {
			return list
		}
	}
	return append(list, s)
}

// strongest is the attachment that wins, nil if none is at one of places.
func strongest(places []place, found []documents.Attachment) *documents.Attachment {
	for _, p := range places {
		for i := range found {
			if found[i].Owner == p.owner && found[i].Target == p.target {
				return &found[i]
			}
		}
	}
	return nil
}

// tag reads the value of an object's tag, nil if there is none.
func (c *call) tag(o registry.Object, key string) ([]byte, error) {
	places := places(o, c.Directory.Ancestors(o.ID))
	owners, targets := asked(places)
	found, err := c.Documents.Attachments(c.Context(), owners, targets, key)
	if err != nil {
		return nil, err
	}
	winner := strongest(places, found)
	if winner == nil {
		return nil, nil
	}
	return winner.Value, nil
}

// viewTag shows the value of a tag.
func viewTag(c *call) (rest.Answer, error) {
	c.ready(c.Documents)
	value, err := c.tag(c.object, c.vars["key"])
	if err != nil {
		return rest.Answer{}, err
	}
	if value == nil {
		return rest.Answer{}, errNoTag
	}
	return c.show(value), nil
}

// show answers with one value.
func (c *call) show(value []byte) rest.Answer {
	body := append(c.Buffer(), `{"data":`...)
	return answer(append(append(body, value...), '}'), 1)
}

// viewTagPart shows a part of the value of a tag.
func viewTagPart(c *call) (rest.Answer, error) {
	c.ready(c.Documents)
	value, err := c.tag(c.object, c.vars["key"])
	if err != nil {
		return rest.Answer{}, err
	}
	if value == nil {
		return rest.Answer{}, errNoTag
	}
	part, err := part(value, c.vars["index"])
	if err != nil {
		return rest.Answer{}, err
	}
	return c.show(part), nil
}

// part is a member of an object, an element of an array (negative positions count from the end, those out of range are
// null), or the length of an array or a string. Anything else does not fit.
func part(value []byte, index string) ([]byte, error) {
	switch value[0] {
	case '{':
		for name, raw := range rawjson.Members(value) {
			if name == index {
				return raw, nil
			}
		}
	case '[':
		if index == "length" {
			return strconv.AppendInt(nil, int64(count(value)), 10), nil
		}
		if at, err := strconv.ParseInt(index, 10, 64); err == nil {
			return element(value, at), nil
		}
	case '"':
		if text, _ := rawjson.String(value); index == "length" {
			return strconv.AppendInt(nil, int64(utf16Length(text)), 10), nil
		}
	}
	return nil, errNoIndex
}

// utf16Length is the length of a text as JavaScript counts it.
func utf16Length(text string) (n int) {
	for _, r := range text {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

func element(array []byte, at int64) []byte {
	if at < 0 {
		at += int64(count(array))
	}
	for raw := range rawjson.Elements(array) {
		if at == 0 {
			return raw
		}
		at--
	}
	return []byte("null")
}

// listTags lists the keys of an object's tags, each once, in the order of the places where they are. None is an error.
func listTags(c *call) (rest.Answer, error) {
	c.ready(c.Documents)
	places := places(c.object, c.Directory.Ancestors(c.id))
	owners, targets := asked(places)
	found, err := c.Documents.AttachmentKeys(c.Context(), owners, targets)
	if err != nil {
		return rest.Answer{}, err
	}
	keys := keysIn(places, found)
	if len(keys) == 0 {
		return rest.Answer{}, errNoTag
	}
	body := append(c.Buffer(), `{"data":[`...)
	for i, key := range keys {
		body = rawjson.AppendString(separate(body, i), key)
	}
	return answer(append(body, ']', '}'), len(keys)), nil
}

func keysIn(places []place, found []documents.Attachment) []string {
	at := map[place][]string{}
	for i := range found {
		p := place{found[i].Owner, found[i].Target}
		at[p] = append(at[p], found[i].Key)
	}
	var keys []string
	known := map[string]bool{}
	for _, p := range places {
		for _, key := range at[p] {
			if !known[key] {
				keys = append(keys, key)
			}
			known[key] = true
		}
	}
	return keys
}

// setTag gives a tag a value. The value null takes it away, whether it was there or not.
func setTag(c *call) (rest.Answer, error) {
	key, target := c.vars["key"], c.vars["target"]
	value, err := c.json()
	if err != nil {
		return rest.Answer{}, err
	}
	if isNull(value) {
		return c.do(attachment.Clear{Owner: c.id, Target: target, Key: key}, c.Documents)
	}
	return c.do(attachment.Attach{Owner: c.id, Target: target, Key: key, Value: value}, c.Documents)
}
