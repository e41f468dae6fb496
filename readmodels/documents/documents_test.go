package documents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/readmodels/documents"
	"strandline/readmodels/documents/documentstest"
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

func attach(n uint64, owner, target, key, value string) func(*readmodels.Tx) error {
	return func(tx *readmodels.Tx) error {
		return documents.Attach(tx, at(n), n, attachment.Set{Owner: owner, Target: target, Key: key, Value: []byte(value)})
	}
}

func TestStore(t *testing.T) {
	documentstest.Run(t, func(t *testing.T) documentstest.World {
		store, db := open(t)
		applier := projections.Documents().New()
		apply := func(ctx context.Context, events []domain.Recorded) error {
			return db.Update(ctx, events[len(events)-1].Position, func(tx *readmodels.Tx) error {
				for _, e := range events {
					if err := applier.Apply(tx, e); err != nil {
						return err
					}
				}
				return applier.Flush(tx)
			})
		}
		return documentstest.World{Store: store, Write: apply, Dump: store.Dump}
	})
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
