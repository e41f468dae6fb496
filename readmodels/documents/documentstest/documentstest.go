// Package documentstest is the test suite that every store of documents passes, whatever engine it is in.
package documentstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/readmodels/documents"
)

// Store is what is asked for documents.
type Store interface {
	Get(ctx context.Context, kind registry.Kind, ids ...string) ([]documents.Document, error)
	Attachments(ctx context.Context, owners, targets []string, key string) ([]documents.Attachment, error)
	AttachmentKeys(ctx context.Context, owners, targets []string) ([]documents.Attachment, error)
	Wait(ctx context.Context, position domain.Position) error
	Checkpoint() domain.Position
}

// World is an empty store, with what fills it.
type World struct {
	Store Store
	// Write applies events together, as projections do.
	Write func(ctx context.Context, events []domain.Recorded) error
	Dump  func(ctx context.Context, w io.Writer) error
}

// Run tests stores, of which empty makes a new one each time.
func Run(t *testing.T, empty func(t *testing.T) World) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, World)
	}{
		{"attributes are merged and kept as sent", attributesAreMerged},
		{"an object that comes again begins anew", objectsComeAgain},
		{"attachments come in the order asked", attachmentsAreOrdered},
		{"large values are kept", largeValues},
		{"names may be anything", anyName},
		{"long lists are whole", longLists},
		{"any history has the answers of the model", anyHistory},
		{"values may be deep and strange", strangeValues},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, empty(t)) })
	}
}

// At is a position.
func At(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }

// Event is an event at position n.
func Event(n uint64, e domain.Event) domain.Recorded {
	return domain.Recorded{Position: At(n), Envelope: domain.Envelope{Revision: n}, Event: e}
}

// Events are events one after the other, from position n.
func Events(n uint64, events ...domain.Event) (all []domain.Recorded) {
	for i, e := range events {
		all = append(all, Event(n+uint64(i), e))
	}
	return all
}

func write(t *testing.T, w World, events ...domain.Recorded) {
	t.Helper()
	if err := w.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	last := events[len(events)-1].Position
	if err := w.Store.Wait(t.Context(), last); err != nil || w.Store.Checkpoint() != last {
		t.Fatalf("Wait: %v; Checkpoint is %s, want %s", err, w.Store.Checkpoint(), last)
	}
}

func set(owner, target, key, value string) domain.Event {
	return attachment.Set{Owner: owner, Target: target, Key: key, Value: []byte(value)}
}

func attributesAreMerged(t *testing.T, w World) {
	write(t, w, Events(1,
		registry.Added{Kind: registry.Activity, ID: "a", Parent: "s", Attributes: registry.Attributes{
			"settings": []byte(`{"b":1.50,"a":"<\u0000 \ud83d>","c":12345678901234567890.0}`), "name": []byte(`"x"`)}},
		registry.Revised{Kind: registry.Activity, ID: "a", Attributes: registry.Attributes{"name": []byte(`"<y>"`)}},
		registry.Revised{Kind: registry.Activity, ID: "nobody", Attributes: registry.Attributes{"name": []byte(`1`)}},
		registry.Added{Kind: registry.ActivitySpec, ID: "a"},
	)...)
	got, err := w.Store.Get(t.Context(), registry.Activity, "nobody", "a", "a")
	want := documents.Document{Kind: registry.Activity, ID: "a", Parent: "s", Created: At(1), Revised: At(2), Revision: 2,
		Body: []byte(`{"name":"<y>","settings":{"b":1.50,"a":"<\u0000 \ud83d>","c":12345678901234567890.0}}`)}
	if err != nil || !reflect.DeepEqual(got, []documents.Document{want, want}) {
		t.Errorf("Get = %+v, %v\nwant twice %+v", got, err, want)
	}
	write(t, w, Event(5, registry.Revised{Kind: registry.Activity, ID: "a", Attributes: registry.Attributes{"settings": []byte(`0`)}}))
	got, err = w.Store.Get(t.Context(), registry.Activity, "a")
	if err != nil || len(got) != 1 || string(got[0].Body) != `{"name":"<y>","settings":0}` || got[0].Revised != At(5) || got[0].Created != At(1) {
		t.Errorf("Get after another revision = %+v, %v", got, err)
	}
	got, err = w.Store.Get(t.Context(), registry.ActivitySpec, "a")
	if err != nil || len(got) != 1 || string(got[0].Body) != "{}" {
		t.Errorf("Get of the specification = %+v, %v; want one with an empty body", got, err)
	}
	if got, err := w.Store.Get(t.Context(), registry.Activity); err != nil || got == nil || len(got) != 0 {
		t.Errorf("Get of nothing = %#v, %v; want none", got, err)
	}
}

func objectsComeAgain(t *testing.T, w World) {
	write(t, w, Events(1,
		registry.Added{Kind: registry.SensorSpec, ID: "n", Attributes: registry.Attributes{"a": []byte(`1`)}},
		registry.Removed{Kind: registry.SensorSpec, ID: "n"},
		registry.Removed{Kind: registry.SensorSpec, ID: "nobody"},
		registry.Revised{Kind: registry.SensorSpec, ID: "n", Attributes: registry.Attributes{"c": []byte(`3`)}})...)
	if got, err := w.Store.Get(t.Context(), registry.SensorSpec, "n"); err != nil || len(got) != 0 {
		t.Errorf("Get of a removed object = %v, %v; want none", got, err)
	}
	write(t, w, Event(5, registry.Added{Kind: registry.SensorSpec, ID: "n", Attributes: registry.Attributes{"b": []byte(`2`)}}))
	got, err := w.Store.Get(t.Context(), registry.SensorSpec, "n")
	if err != nil || len(got) != 1 || string(got[0].Body) != `{"b":2}` || got[0].Created != At(5) {
		t.Errorf("Get = %v, %v; want the younger one only", got, err)
	}
}

func attachmentsAreOrdered(t *testing.T, w World) {
	write(t, w, Events(1,
		set("", "p", "k", `0`), set("r", "*", "k", `1`), set("r", "p", "k", `2`),
		set("p", "me", "k", `3`), set("p", "me", "j", `4`), set("q", "me", "k", `5`), set("r", "p", "k", `6`))...)
	got, err := w.Store.Attachments(t.Context(), []string{"", "r", "p"}, []string{"p", "*", "me", "p"}, "k")
	if text := fmt.Sprint(shape(got)); err != nil || text != "[/p/k=0@1 r/p/k=6@7 r/*/k=1@2 p/me/k=3@4]" {
		t.Errorf("Attachments = %s, %v", text, err)
	}
	got, err = w.Store.AttachmentKeys(t.Context(), []string{"p", "r"}, []string{"me", "p", "me"})
	if text := fmt.Sprint(shape(got)); err != nil || text != "[p/me/j=@5 p/me/k=@4 r/p/k=@7]" {
		t.Errorf("AttachmentKeys = %s, %v", text, err)
	}
	write(t, w, Event(8, attachment.Cleared{Owner: "p", Target: "me", Key: "k"}))
	if got, err := w.Store.Attachments(t.Context(), []string{"p"}, []string{"me"}, "k"); err != nil || len(got) != 0 {
		t.Errorf("Attachments after clearing = %v, %v; want none", got, err)
	}
	if got, err := w.Store.AttachmentKeys(t.Context(), []string{"p"}, []string{"me"}); err != nil || fmt.Sprint(shape(got)) != "[p/me/j=@5]" {
		t.Errorf("AttachmentKeys after clearing = %v, %v; want j", shape(got), err)
	}
	if got, err := w.Store.Attachments(t.Context(), []string{"p"}, nil, "k"); err != nil || len(got) != 0 {
		t.Errorf("Attachments without targets = %v, %v; want none", got, err)
	}
}

func shape(all []documents.Attachment) (texts []string) {
	for _, a := range all {
		texts = append(texts, fmt.Sprintf("%s/%s/%s=%s@%s", a.Owner, a.Target, a.Key, a.Value, a.Position))
	}
	return texts
}

// largeValues has values of the sizes at which engines begin to do things differently, and letters of several bytes.
func largeValues(t *testing.T, w World) {
	var n uint64
	for _, size := range []int{8 << 20, 1, 16<<10 - 2, 16 << 10, 256 << 10, 700_001, 5} {
		value, attribute := quotedLetters(size), quotedLetters(min(size, 700_001))
		n += 3
		write(t, w, Events(n-2, set("p", "me", "k", value),
			registry.Added{Kind: registry.Activity, ID: "a", Attributes: registry.Attributes{"v": []byte(attribute)}},
			registry.Revised{Kind: registry.Activity, ID: "a", Attributes: registry.Attributes{"w": []byte(`1`)}})...)
		got, err := w.Store.Attachments(t.Context(), []string{"p"}, []string{"me"}, "k")
		if err != nil || len(got) != 1 || string(got[0].Value) != value {
			t.Fatalf("a value of %d bytes has changed: %d found, %v", len(value), len(got), err)
		}
		objects, err := w.Store.Get(t.Context(), registry.Activity, "a")
		if err != nil || len(objects) != 1 || string(objects[0].Body) != `{"v":`+attribute+`,"w":1}` {
			t.Fatalf("an attribute of %d bytes has changed: %d found, %v", len(attribute), len(objects), err)
		}
		if got, err := w.Store.AttachmentKeys(t.Context(), []string{"p"}, []string{"me"}); err != nil || len(got) != 1 {
			t.Fatalf("AttachmentKeys of a value of %d bytes: %d found, %v", len(value), len(got), err)
		}
	}
}

// quotedLetters is a JSON string of about size bytes.
func quotedLetters(size int) string { return `"` + strings.Repeat("xé", size/3+1) + `"` }

// strange are names that engines may take for something else.
var strange = []string{"", "a", "A", "a b", "a,b", "a-b", "_id", "_design/x", "%2c", "*", "~", "é", "漢字", "\x00", "\"", "'", "\\", "a\nb", "ab", "0", "00", "/", "?#&=+",
	"\U0001f600", "\uffff", "~7e", "-2c", long, long + "z", long + "\x00", long[1:], long + "é", long + long + "b", long + long + "a", long[:99] + "é",
	strings.Repeat("漢", 700), strings.Repeat("\x00", 2000)}

// long is as long as names are that engines may cut, and hash.
var long = strings.Repeat("x", 100)

func anyName(t *testing.T, w World) {
	var events []domain.Event
	for _, name := range strange {
		events = append(events, registry.Added{Kind: registry.SensorSpec, ID: name, Parent: name, Attributes: registry.Attributes{name: []byte(`1`)}},
			set(name, "t", "k", `1`), set("o", name, "k", `2`), set("o", "t", name, `3`))
	}
	write(t, w, Events(1, events...)...)
	for _, name := range strange {
		got, err := w.Store.Get(t.Context(), registry.SensorSpec, name)
		if err != nil || len(got) != 1 || got[0].ID != name || got[0].Parent != name {
			t.Errorf("Get(%q) = %+v, %v", name, got, err)
		}
		for _, tt := range [][4]string{{name, "t", "k", `1`}, {"o", name, "k", `2`}, {"o", "t", name, `3`}} {
			got, err := w.Store.Attachments(t.Context(), tt[:1], tt[1:2], tt[2])
			if err != nil || len(got) != 1 || string(got[0].Value) != tt[3] || got[0].Owner != tt[0] || got[0].Target != tt[1] || got[0].Key != tt[2] {
				t.Errorf("Attachments(%q) = %+v, %v", tt, got, err)
			}
		}
	}
	keys, err := w.Store.AttachmentKeys(t.Context(), []string{"o"}, []string{"t"})
	var names []string
	for _, k := range keys {
		names = append(names, k.Key)
	}
	want := slices.Sorted(slices.Values(strange))
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("keys are %q, %v\nwant %q", names, err, want)
	}
	model, got := NewModel(), bytes.Buffer{}
	model.Apply(Events(1, events...)...)
	if err := w.Dump(t.Context(), &got); err != nil || got.String() != model.Dump() {
		t.Errorf("the store holds, %v:\n%s\nwant\n%s", err, &got, model.Dump())
	}
}

// strangeValues are JSON that engines with ideas of their own about JSON would change.
func strangeValues(t *testing.T, w World) {
	for i, value := range []string{
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat(`{"a":`, 5000) + "0" + strings.Repeat("}", 5000),
		`{"_id":"x","_rev":"1-x","_deleted":true,"_attachments":{"a":1}}`, `{"a":1,"a":2,"":3,"__proto__":{}}`, `1e400`, `-0.0`, `100000000000000000000001`,
		`"\u0000\uDEAD\ud83d\ude00\/"`, "\"\ufeff\u2028\uffff\U0010ffff\x7f\"", `null`, `""`,
	} {
		write(t, w, Events(uint64(2*i+1), set("_o", "_t", "_k", value),
			registry.Added{Kind: registry.Activity, ID: "_id", Attributes: registry.Attributes{"_id": []byte(value)}})...)
		got, err := w.Store.Attachments(t.Context(), []string{"_o"}, []string{"_t"}, "_k")
		if err != nil || len(got) != 1 || string(got[0].Value) != value {
			t.Errorf("the value %.40q has changed: %+v, %v", value, got, err)
		}
		objects, err := w.Store.Get(t.Context(), registry.Activity, "_id")
		if err != nil || len(objects) != 1 || string(objects[0].Body) != `{"_id":`+value+`}` {
			t.Errorf("the attribute %.40q has changed: %+v, %v", value, objects, err)
		}
	}
}

// longLists are longer than what is asked for at once.
func longLists(t *testing.T, w World) {
	const n = 450
	var events []domain.Event
	var ids []string
	for i := range n {
		id := fmt.Sprintf("a%03d", i)
		ids = append(ids, id)
		events = append(events, registry.Added{Kind: registry.Activity, ID: id, Attributes: registry.Attributes{"n": fmt.Appendf(nil, "%d", i)}},
			set("o", "t", id, `1`))
	}
	write(t, w, Events(1, events...)...)
	got, err := w.Store.Get(t.Context(), registry.Activity, ids...)
	if err != nil || len(got) != n || got[n-1].ID != ids[n-1] || string(got[n-1].Body) != `{"n":449}` {
		t.Errorf("Get of %d objects: %d, %v", n, len(got), err)
	}
	keys, err := w.Store.AttachmentKeys(t.Context(), []string{"o"}, []string{"t"})
	if err != nil || len(keys) != n || keys[n-1].Key != ids[n-1] {
		t.Errorf("AttachmentKeys of %d: %d, %v", n, len(keys), err)
	}
}

// anyHistory compares dumps after batches of a history at random.
func anyHistory(t *testing.T, w World) {
	random := rand.New(rand.NewPCG(1, 2))
	history, model := History(random, 600), NewModel()
	for len(history) > 0 {
		n := min(len(history), 1+random.IntN(150))
		write(t, w, history[:n]...)
		model.Apply(history[:n]...)
		history = history[n:]
		var got bytes.Buffer
		if err := w.Dump(t.Context(), &got); err != nil || got.String() != model.Dump() {
			t.Fatalf("at %s the store holds, %v:\n%s\nwant\n%s", w.Store.Checkpoint(), err, &got, model.Dump())
		}
	}
}
