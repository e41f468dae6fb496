// Package audit answers who did or saw what: one record for each request, whatever became of it (decision 10).
package audit

import (
	"context"
	"strings"
	"time"

	"strandline/domain"
	"strandline/readmodels"
)

// Schema is what projections/audit.go writes to. Numbers count the requests in the order of their first events, so that
// times never go back where numbers grow.
var Schema = readmodels.Schema{Name: "audit", Version: 2, Tables: `
CREATE TABLE request (
	number INTEGER PRIMARY KEY, request BLOB NOT NULL UNIQUE, time INTEGER NOT NULL,
	actor TEXT NOT NULL, credential TEXT, api_key TEXT, dialect TEXT NOT NULL, command TEXT,
	address TEXT, agent TEXT, method TEXT, route TEXT, object TEXT, reason TEXT, status INTEGER,
	subject TEXT, outcome TEXT NOT NULL, code TEXT, rows INTEGER, events TEXT NOT NULL);
CREATE TABLE seen (block INTEGER NOT NULL, who TEXT NOT NULL, PRIMARY KEY (block, who)) WITHOUT ROWID;
`}

// A block is so many records with numbers that follow each other, as a shift. The table seen says which actors, subjects
// and objects its records have. That is all the index there is: its writes are always at its end. An index of every
// record by three columns made a record several times as dear to write, this one makes it about half as dear again.
const block = 8

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
