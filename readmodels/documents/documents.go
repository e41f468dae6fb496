// Package documents keeps what clients said about objects: their attributes, and the JSON documents attached to them.
// It knows nothing of who may see what: whoever asks has looked an object up in the directory before.
package documents

import (
	"context"
	"encoding/json"
	"strings"

	"strandline/domain"
	"strandline/domain/registry"
	"strandline/readmodels"
)

// Schema is what projections/documents.go writes to.
var Schema = readmodels.Schema{Name: "documents", Version: 1, Tables: `
CREATE TABLE object (
	kind TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL,
	created TEXT NOT NULL, revised TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL,
	UNIQUE (kind, id));
CREATE TABLE attachment (
	owner TEXT NOT NULL, target TEXT NOT NULL, key TEXT NOT NULL,
	position TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL,
	UNIQUE (owner, target, key));
`}

// Document is an object with all its attributes.
type Document struct {
	Kind     registry.Kind
	ID       string // for specifications the name
	Parent   string
	Created  domain.Position // of the event that brought it into being
	Revised  domain.Position // of the last event that changed it
	Revision uint64          // of that event in its stream
	Body     json.RawMessage // an object of the attributes by name, in the order of their names, each as it was sent
}

// Attachment is a JSON document under a key of its owner, aimed at a target (package attachment).
type Attachment struct {
	Owner    string
	Target   string
	Key      string
	Position domain.Position // of the event that set it
	Revision uint64          // of that event in its stream
	Value    json.RawMessage // as sent
}

// Store reads documents and attachments.
type Store struct{ db *readmodels.DB }

// New returns the Store over db, which was opened with Schema.
func New(db *readmodels.DB) *Store { return &Store{db} }

// Wait returns once everything up to position can be read.
func (s *Store) Wait(ctx context.Context, position domain.Position) error {
	return s.db.Wait(ctx, position)
}

// Checkpoint is the position as of which reads answer.
func (s *Store) Checkpoint() domain.Position { return s.db.Checkpoint() }

// Get returns the objects of a kind with the given ids, in the order of ids. Those that do not exist are left out.
func (s *Store) Get(ctx context.Context, kind registry.Kind, ids ...string) ([]Document, error) {
	found := make([]Document, 0, len(ids))
	err := s.db.View(ctx, func(tx *readmodels.Tx) error {
		for _, id := range ids {
			d, exists, err := get(tx, kind, id)
			if err != nil {
				return err
			}
			if exists {
				found = append(found, d)
			}
		}
		return nil
	})
	return found, err
}

func get(tx *readmodels.Tx, kind registry.Kind, id string) (Document, bool, error) {
	const query = "SELECT parent, created, revised, revision, body FROM object WHERE kind = ? AND id = ?"
	for row, err := range tx.Query(query, string(kind), id) {
		if err != nil {
			return Document{}, false, err
		}
		d := Document{Kind: kind, ID: id, Parent: row.Text(0), Revision: uint64(row.Int64(3)), Body: row.Blob(4)}
		if d.Created, err = domain.ParsePosition(row.Text(1)); err != nil {
			return Document{}, false, err
		}
		d.Revised, err = domain.ParsePosition(row.Text(2))
		return d, err == nil, err
	}
	return Document{}, false, nil
}

// Attachments returns the attachments under key that belong to one of owners and are aimed at one of targets, in the
// order of owners and within it in that of targets.
func (s *Store) Attachments(ctx context.Context, owners, targets []string, key string) ([]Attachment, error) {
	query := "SELECT target, key, position, revision, value FROM attachment WHERE owner = ? AND key = ? AND target IN (" +
		placeholders(len(targets)) + ")"
	return s.attachments(ctx, query, owners, targets, key)
}

// AttachmentKeys returns the attachments that belong to one of owners and are aimed at one of targets, without their
// values, in the order of owners, within it in that of targets, within it in that of keys.
func (s *Store) AttachmentKeys(ctx context.Context, owners, targets []string) ([]Attachment, error) {
	query := "SELECT target, key, position, revision FROM attachment WHERE owner = ? AND target IN (" +
		placeholders(len(targets)) + ") ORDER BY target, key"
	return s.attachments(ctx, query, owners, targets)
}

func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

// attachments runs query for each owner, with the further arguments and the targets.
func (s *Store) attachments(ctx context.Context, query string, owners, targets []string, further ...any) ([]Attachment, error) {
	found := []Attachment{}
	err := s.db.View(ctx, func(tx *readmodels.Tx) error {
		for _, owner := range owners {
			of, err := attachmentsOf(tx, query, owner, targets, further)
			if err != nil {
				return err
			}
			found = append(found, of...)
		}
		return nil
	})
	return found, err
}

func attachmentsOf(tx *readmodels.Tx, query, owner string, targets []string, further []any) ([]Attachment, error) {
	args := append([]any{owner}, further...)
	for _, target := range targets {
		args = append(args, target)
	}
	byTarget := map[string][]Attachment{}
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return nil, err
		}
		a := Attachment{Owner: owner, Target: row.Text(0), Key: row.Text(1), Revision: uint64(row.Int64(3))}
		if a.Position, err = domain.ParsePosition(row.Text(2)); err != nil {
			return nil, err
		}
		if len(further) > 0 {
			a.Value = row.Blob(4)
		}
		byTarget[a.Target] = append(byTarget[a.Target], a)
	}
	var ordered []Attachment
	for _, target := range targets {
		ordered = append(ordered, byTarget[target]...)
		delete(byTarget, target)
	}
	return ordered, nil
}
