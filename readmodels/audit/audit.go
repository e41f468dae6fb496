// Package audit answers who did or saw what: one record for each request, whatever became of it (decision 10).
package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"strandline/domain"
	"strandline/readmodels"
)

// Schema is what projections/audit.go writes to. Numbers count the requests in the order of their first events.
var Schema = readmodels.Schema{Name: "audit", Version: 1, Tables: `
CREATE TABLE request (
	number INTEGER PRIMARY KEY, request BLOB NOT NULL UNIQUE, time INTEGER NOT NULL,
	actor TEXT NOT NULL, credential TEXT, api_key TEXT, dialect TEXT NOT NULL, command TEXT,
	address TEXT, agent TEXT, method TEXT, route TEXT, object TEXT, reason TEXT, status INTEGER,
	subject TEXT, outcome TEXT NOT NULL, code TEXT, rows INTEGER, events TEXT NOT NULL);
`}

// Outcomes of a request. All but the first are those of package access.
const (
	Done    = "done" // it changed something
	Served  = "served"
	Refused = "refused"
	Quiet   = "quiet"
	Flooded = "flooded" // Rows requests of nobody known, in one record
)

// Record is what is known of one request.
type Record struct {
	Number     int64     // in the order of their first events, from 1
	Request    domain.ID // the id of the request; of the event where there was no request
	Time       time.Time // when its first event was recorded
	Actor      string    // an object's id, "root", "anonymous" or "system"
	Credential string
	APIKey     string
	Dialect    string
	Command    string // empty if it was none
	Address    string
	Agent      string
	Method     string
	Route      string
	Object     string // the id that the request named
	Reason     string // in the caller's words
	Status     int
	Subject    string // whom it was about
	Outcome    string
	Code       string            // the dialect's error code, where it was refused
	Rows       int               // how many objects or observations were shown; of a flood, how many requests there were
	Events     []domain.Position // of all that the request led to
}

// Query selects records. Zero fields select everything.
type Query struct {
	After   int64     // numbers above this; the last one seen, to read on
	Before  int64     // numbers below this
	Request domain.ID // this one
	Actor   string
	Subject string
	Object  string
	Newest  bool // newest first, else oldest first
	Limit   int  // at most so many; 0 is 1000
}

// Store reads the audit records.
type Store struct{ db *readmodels.DB }

// New returns the Store over db, which was opened with Schema.
func New(db *readmodels.DB) *Store { return &Store{db} }

// Wait returns once everything up to position can be read.
func (s *Store) Wait(ctx context.Context, position domain.Position) error {
	return s.db.Wait(ctx, position)
}

// Checkpoint is the position as of which reads answer.
func (s *Store) Checkpoint() domain.Position { return s.db.Checkpoint() }

const columns = `number, request, time, actor, credential, api_key, dialect, command, address, agent, method, route, object,
	reason, status, subject, outcome, code, rows, events`

// Records returns the records that q selects.
func (s *Store) Records(ctx context.Context, q Query) ([]Record, error) {
	query, args := q.sql()
	found := []Record{}
	err := s.db.View(ctx, func(tx *readmodels.Tx) error {
		for row, err := range tx.Query(query, args...) {
			if err != nil {
				return err
			}
			r, err := record(row)
			if err != nil {
				return err
			}
			found = append(found, r)
		}
		return nil
	})
	return found, err
}

func (q Query) sql() (string, []any) {
	var where []string
	var args []any
	add := func(condition string, arg any, wanted bool) {
		if wanted {
			where, args = append(where, condition), append(args, arg)
		}
	}
	add("number > ?", q.After, true)
	add("number < ?", q.Before, q.Before > 0)
	add("request = ?", q.Request[:], !q.Request.IsZero())
	add("actor = ?", q.Actor, q.Actor != "")
	add("subject = ?", q.Subject, q.Subject != "")
	add("object = ?", q.Object, q.Object != "")
	order := "number"
	if q.Newest {
		order = "number DESC"
	}
	limit := q.Limit
	if limit == 0 {
		limit = 1000
	}
	return fmt.Sprintf("SELECT %s FROM request WHERE %s ORDER BY %s LIMIT ?",
		columns, strings.Join(where, " AND "), order), append(args, limit)
}

func record(row readmodels.Row) (Record, error) {
	r := Record{
		Number: row.Int64(0), Time: time.Unix(0, row.Int64(2)).UTC(), Actor: row.Text(3),
		Credential: row.Text(4), APIKey: row.Text(5), Dialect: row.Text(6), Command: row.Text(7),
		Address: row.Text(8), Agent: row.Text(9), Method: row.Text(10), Route: row.Text(11), Object: row.Text(12),
		Reason: row.Text(13), Status: row.Int(14), Subject: row.Text(15),
		Outcome: row.Text(16), Code: row.Text(17), Rows: row.Int(18),
	}
	copy(r.Request[:], row.Raw(1))
	for text := range strings.FieldsSeq(row.Text(19)) {
		position, err := domain.ParsePosition(text)
		if err != nil {
			return Record{}, err
		}
		r.Events = append(r.Events, position)
	}
	return r, nil
}
