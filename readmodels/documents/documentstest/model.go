package documentstest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
)

// History is n events at random, of few names, so that they meet.
func History(random *rand.Rand, n int) (all []domain.Recorded) {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	value := func() []byte {
		size := random.IntN(30)
		if random.IntN(12) == 0 {
			size = random.IntN(40 << 10)
		}
		return fmt.Appendf(nil, `"%d%s"`, random.IntN(1000), strings.Repeat("é", size))
	}
	id := func() string { return pick("a", "b", "c,d", "é", "") }
	for i := range n {
		var e domain.Event
		switch random.IntN(8) {
		case 0, 1:
			e = registry.Added{Kind: registry.Activity, ID: id(), Parent: id(), Attributes: registry.Attributes{pick("x", "y"): value()}}
		case 2, 3:
			e = registry.Revised{Kind: registry.Activity, ID: id(), Attributes: registry.Attributes{pick("x", "y", "z"): value()}}
		case 4:
			e = registry.Removed{Kind: registry.Activity, ID: id()}
		case 5, 6:
			e = attachment.Set{Owner: id(), Target: pick("me", "*"), Key: pick("j", "k"), Value: value()}
		default:
			e = attachment.Cleared{Owner: id(), Target: pick("me", "*"), Key: pick("j", "k")}
		}
		all = append(all, Event(uint64(i+1), e))
	}
	return all
}

// Model is the plainest store of documents: what others are compared with.
type Model struct {
	objects     map[[2]string]*object
	attachments map[[3]string]attached
}

type object struct {
	parent     string
	created    domain.Position
	revised    domain.Position
	revision   uint64
	attributes registry.Attributes
}

type attached struct {
	position domain.Position
	revision uint64
	value    string
}

// NewModel returns an empty Model.
func NewModel() *Model { return &Model{map[[2]string]*object{}, map[[3]string]attached{}} }

// Apply changes the model by events.
func (m *Model) Apply(events ...domain.Recorded) {
	for _, r := range events {
		m.apply(r)
	}
}

func (m *Model) apply(r domain.Recorded) {
	switch e := r.Event.(type) {
	case registry.Added:
		m.objects[[2]string{string(e.Kind), e.ID}] = &object{e.Parent, r.Position, r.Position, r.Revision, maps.Clone(e.Attributes)}
	case registry.Revised:
		if o := m.objects[[2]string{string(e.Kind), e.ID}]; o != nil {
			maps.Copy(o.attributes, e.Attributes)
			o.revised, o.revision = r.Position, r.Revision
		}
	case registry.Removed:
		delete(m.objects, [2]string{string(e.Kind), e.ID})
	case attachment.Set:
		m.attachments[[3]string{e.Owner, e.Target, e.Key}] = attached{r.Position, r.Revision, string(e.Value)}
	case attachment.Cleared:
		delete(m.attachments, [3]string{e.Owner, e.Target, e.Key})
	}
}

// Dump is what documents.Store.Dump writes.
func (m *Model) Dump() string {
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(m.objects), func(x, y [2]string) int { return slices.Compare(x[:], y[:]) }) {
		o := m.objects[k]
		var members []string
		for _, name := range slices.Sorted(maps.Keys(o.attributes)) {
			members = append(members, quoted(name)+":"+string(o.attributes[name]))
		}
		fmt.Fprintf(&b, `{"kind":%s,"id":%s,"parent":%s,"created":%q,"revised":%q,"revision":%d,"body":%s}`+"\n", quoted(k[0]), quoted(k[1]),
			quoted(o.parent), o.created, o.revised, o.revision, quoted("{"+strings.Join(members, ",")+"}"))
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.attachments), func(x, y [3]string) int {
		return cmp.Or(strings.Compare(x[0], y[0]), strings.Compare(x[1], y[1]), strings.Compare(x[2], y[2]))
	}) {
		a := m.attachments[k]
		fmt.Fprintf(&b, `{"owner":%s,"target":%s,"key":%s,"position":%q,"revision":%d,"value":%s}`+"\n",
			quoted(k[0]), quoted(k[1]), quoted(k[2]), a.position, a.revision, quoted(a.value))
	}
	return b.String()
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string can be written
	}
	return string(b)
}
