package documents_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/readmodels"
	"strandline/readmodels/documents"
)

func open(t testing.TB) (*documents.Store, *readmodels.DB) {
	t.Helper()
	db, err := readmodels.Open(t.TempDir(), documents.Schema, "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return documents.New(db), db
}

// write runs writes in one transaction.
func write(t testing.TB, db *readmodels.DB, writes ...func(tx *readmodels.Tx) error) {
	t.Helper()
	err := db.Update(t.Context(), at(1), func(tx *readmodels.Tx) error {
		for _, w := range writes {
			if err := w(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func at(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }

func add(n uint64, e registry.Added) func(*readmodels.Tx) error {
	return func(tx *readmodels.Tx) error { return documents.Add(tx, at(n), n, e) }
}

func revise(n uint64, e registry.Revised) func(*readmodels.Tx) error {
	return func(tx *readmodels.Tx) error { return documents.Revise(tx, at(n), n, e) }
}

func attach(n uint64, owner, target, key, value string) func(*readmodels.Tx) error {
	return func(tx *readmodels.Tx) error {
		return documents.Attach(tx, at(n), n, attachment.Set{Owner: owner, Target: target, Key: key, Value: []byte(value)})
	}
}

func TestAttributesAreMergedAndKeptAsSent(t *testing.T) {
	store, db := open(t)
	write(t, db,
		add(1, registry.Added{Kind: registry.Activity, ID: "a", Parent: "s", Attributes: registry.Attributes{
			"settings": []byte(`{"b":1.50,"a":"<\u0000 \ud83d>"}`), "name": []byte(`"x"`)}}),
		revise(2, registry.Revised{Kind: registry.Activity, ID: "a", Attributes: registry.Attributes{"name": []byte(`"<y>"`)}}),
		revise(3, registry.Revised{Kind: registry.Activity, ID: "nobody", Attributes: registry.Attributes{"name": []byte(`1`)}}),
		add(4, registry.Added{Kind: registry.ActivitySpec, ID: "a"}),
	)
	got, err := store.Get(t.Context(), registry.Activity, "nobody", "a", "a")
	want := documents.Document{Kind: registry.Activity, ID: "a", Parent: "s", Created: at(1), Revised: at(2), Revision: 2,
		Body: []byte(`{"name":"<y>","settings":{"b":1.50,"a":"<\u0000 \ud83d>"}}`)}
	if err != nil || !reflect.DeepEqual(got, []documents.Document{want, want}) {
		t.Errorf("Get = %+v, %v\nwant twice %+v", got, err, want)
	}
	got, err = store.Get(t.Context(), registry.ActivitySpec, "a")
	if err != nil || len(got) != 1 || string(got[0].Body) != "{}" {
		t.Errorf("Get of the specification = %+v, %v; want one with an empty body", got, err)
	}
}

func TestAnObjectThatComesAgainBeginsAnew(t *testing.T) {
	store, db := open(t)
	old := registry.Added{Kind: registry.SensorSpec, ID: "n", Attributes: registry.Attributes{"a": []byte(`1`)}}
	young := registry.Added{Kind: registry.SensorSpec, ID: "n", Attributes: registry.Attributes{"b": []byte(`2`)}}
	write(t, db, add(1, old), func(tx *readmodels.Tx) error {
		return documents.Remove(tx, registry.Removed{Kind: registry.SensorSpec, ID: "n"})
	})
	if got, err := store.Get(t.Context(), registry.SensorSpec, "n"); err != nil || len(got) != 0 {
		t.Errorf("Get of a removed object = %v, %v; want none", got, err)
	}
	write(t, db, add(3, young))
	got, err := store.Get(t.Context(), registry.SensorSpec, "n")
	if err != nil || len(got) != 1 || string(got[0].Body) != `{"b":2}` || got[0].Created != at(3) {
		t.Errorf("Get = %v, %v; want the younger one only", got, err)
	}
}

func TestAttachmentsComeInTheOrderAsked(t *testing.T) {
	store, db := open(t)
	write(t, db,
		attach(1, "", "p", "k", `0`), attach(2, "r", "*", "k", `1`), attach(3, "r", "p", "k", `2`),
		attach(4, "p", "me", "k", `3`), attach(5, "p", "me", "j", `4`), attach(6, "q", "me", "k", `5`), attach(7, "r", "p", "k", `6`),
	)
	got, err := store.Attachments(t.Context(), []string{"", "r", "p"}, []string{"p", "*", "me"}, "k")
	if text := fmt.Sprint(shape(got)); err != nil || text != "[/p/k=0@1 r/p/k=6@7 r/*/k=1@2 p/me/k=3@4]" {
		t.Errorf("Attachments = %s, %v", text, err)
	}
	got, err = store.AttachmentKeys(t.Context(), []string{"p", "r"}, []string{"me", "p"})
	if text := fmt.Sprint(shape(got)); err != nil || text != "[p/me/j=@5 p/me/k=@4 r/p/k=@7]" {
		t.Errorf("AttachmentKeys = %s, %v", text, err)
	}
	write(t, db, func(tx *readmodels.Tx) error {
		return documents.Clear(tx, attachment.Cleared{Owner: "p", Target: "me", Key: "k"})
	})
	if got, err := store.Attachments(t.Context(), []string{"p"}, []string{"me"}, "k"); err != nil || len(got) != 0 {
		t.Errorf("Attachments after clearing = %v, %v; want none", got, err)
	}
	if got, err := store.Attachments(t.Context(), []string{"p"}, nil, "k"); err != nil || len(got) != 0 {
		t.Errorf("Attachments without targets = %v, %v; want none", got, err)
	}
}

func shape(all []documents.Attachment) (texts []string) {
	for _, a := range all {
		texts = append(texts, fmt.Sprintf("%s/%s/%s=%s@%s", a.Owner, a.Target, a.Key, a.Value, a.Position))
	}
	return texts
}

func TestAnAttachmentMayHaveMegabytes(t *testing.T) {
	store, db := open(t)
	value := `"` + string(bytes.Repeat([]byte("x"), 8<<20)) + `"`
	write(t, db, attach(1, "p", "me", "k", value))
	got, err := store.Attachments(t.Context(), []string{"p"}, []string{"me"}, "k")
	if err != nil || len(got) != 1 || string(got[0].Value) != value {
		t.Errorf("a large value changed: %d found, %v", len(got), err)
	}
}

func BenchmarkTag(b *testing.B) {
	store, db := open(b)
	for n := range uint64(2000) {
		write(b, db, attach(n, fmt.Sprint("U", n), "me", "lamp.name", `"Somebody"`))
	}
	owners, targets := []string{"", "r", "s", "U500"}, []string{"U500", "Participant", "*", "me"}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := store.Attachments(b.Context(), owners, targets, "lamp.name"); err != nil || len(got) != 1 {
			b.Fatal(got, err)
		}
	}
}

func BenchmarkList(b *testing.B) {
	store, db := open(b)
	var ids []string
	for n := range uint64(100) {
		ids = append(ids, fmt.Sprint("a", n))
		write(b, db, add(n, registry.Added{Kind: registry.Activity, ID: ids[n], Parent: "s",
			Attributes: registry.Attributes{"settings": json.RawMessage(fmt.Sprintf(`{"text":%q}`, bytes.Repeat([]byte("x"), 1000)))}}))
	}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := store.Get(b.Context(), registry.Activity, ids...); err != nil || len(got) != 100 {
			b.Fatal(err)
		}
	}
}
