package audit_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/attachment"
	"strandline/readmodels"
	"strandline/readmodels/audit"
)

func open(t testing.TB) (*audit.Store, *readmodels.DB) {
	t.Helper()
	db, err := readmodels.Open(t.TempDir(), audit.Schema, "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return audit.New(db), db
}

// write writes events in one transaction.
func write(t testing.TB, db *readmodels.DB, events ...domain.Recorded) {
	t.Helper()
	err := db.Update(t.Context(), events[len(events)-1].Position, func(tx *readmodels.Tx) error {
		for _, e := range events {
			if err := audit.Write(tx, e); err != nil {
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

var noon = time.Date(2026, 5, 6, 12, 0, 0, 100, time.UTC)

// recorded is an event of request r at position n.
func recorded(n uint64, r byte, request *domain.Request, e domain.Event) domain.Recorded {
	env := domain.Envelope{ID: domain.ID{byte(n)}, Type: e.EventType(), Time: noon.Add(time.Duration(n) * time.Second),
		Actor: "r1", Credential: "c", APIKey: "k", Dialect: "lamp", Command: "attachment.attach", Subject: "p1", Correlation: domain.ID{r}}
	return domain.Recorded{Position: at(n), Envelope: env, Request: request, Event: e}
}

func TestARequestIsOneRecordHoweverManyEventsItHas(t *testing.T) {
	store, db := open(t)
	details := &domain.Request{Address: "10.0.0.1", Agent: "sdk", Method: "PUT", Route: "/type/{id}", Object: "p1", Status: 200, Reason: "why"}
	set := attachment.Set{Owner: "p1"}
	write(t, db, recorded(1, 9, details, set), recorded(2, 9, nil, set))
	write(t, db, recorded(3, 8, details, access.Refused{Code: "404.resource-not-found"}))
	write(t, db, recorded(4, 9, nil, set))

	got, err := store.Records(t.Context(), audit.Query{})
	if err != nil {
		t.Fatal(err)
	}
	done := audit.Record{Number: 1, Request: domain.ID{9}, Time: noon.Add(time.Second), Actor: "r1", Credential: "c", APIKey: "k",
		Dialect: "lamp", Command: "attachment.attach", Address: "10.0.0.1", Agent: "sdk", Method: "PUT", Route: "/type/{id}",
		Object: "p1", Reason: "why", Status: 200, Subject: "p1", Outcome: audit.Done,
		Events: []domain.Position{at(1), at(2), at(4)}}
	refused := done
	refused.Number, refused.Request, refused.Time = 2, domain.ID{8}, noon.Add(3*time.Second)
	refused.Outcome, refused.Code, refused.Events = audit.Refused, "404.resource-not-found", []domain.Position{at(3)}
	if want := []audit.Record{done, refused}; !reflect.DeepEqual(got, want) {
		t.Errorf("Records =\n%+v\nwant\n%+v", got, want)
	}
}

func TestOutcomes(t *testing.T) {
	sealed := recorded(1, 1, nil, access.Refused{})
	sealed.Event, sealed.Sealed = nil, true
	tests := []struct {
		name  string
		event domain.Recorded
		want  string
	}{
		{"a change", recorded(1, 1, nil, attachment.Cleared{}), "done 0 []"},
		{"a read", recorded(1, 1, nil, access.Served{Rows: 7}), "served 7 []"},
		{"nothing to do", recorded(1, 1, nil, access.Served{Outcome: access.OutcomeQuiet}), "quiet 0 []"},
		{"a refusal", recorded(1, 1, nil, access.Refused{Code: "403.x"}), "refused 0 [403.x]"},
		{"a flood", recorded(1, 1, nil, access.Flooded{Count: 900}), "flooded 900 []"},
		{"a refusal whose key is destroyed", sealed, "refused 0 []"},
		{"no request at all", recorded(1, 0, nil, attachment.Set{}), "done 0 []"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store, db := open(t)
			write(t, db, tt.event)
			got, err := store.Records(t.Context(), audit.Query{})
			if err != nil || len(got) != 1 {
				t.Fatalf("Records = %v, %v; want one", got, err)
			}
			if text := fmt.Sprintf("%s %d [%s]", got[0].Outcome, got[0].Rows, got[0].Code); text != tt.want {
				t.Errorf("record says %s, want %s", text, tt.want)
			}
		})
	}
}

func TestAStreamOfAnswersGetsItsCountAtTheEnd(t *testing.T) {
	store, db := open(t)
	write(t, db, recorded(1, 1, nil, access.Served{}))
	write(t, db, recorded(2, 1, nil, access.Ended{Rows: 12}))
	got, err := store.Records(t.Context(), audit.Query{})
	if err != nil || len(got) != 1 || got[0].Rows != 12 || got[0].Outcome != audit.Served {
		t.Errorf("Records = %+v, %v; want one with 12 rows", got, err)
	}
}

func TestQueries(t *testing.T) {
	store, db := open(t)
	for n := range uint64(10) {
		e := recorded(n+1, byte(n+1), nil, access.Served{})
		e.Actor, e.Subject = fmt.Sprint("a", n%2), fmt.Sprint("s", n%3)
		write(t, db, e)
	}
	tests := []struct {
		name  string
		query audit.Query
		want  string
	}{
		{"all", audit.Query{}, "[1 2 3 4 5 6 7 8 9 10]"},
		{"some", audit.Query{Limit: 2}, "[1 2]"},
		{"newest", audit.Query{Limit: 2, Newest: true}, "[10 9]"},
		{"after", audit.Query{After: 8}, "[9 10]"},
		{"before, newest first", audit.Query{Before: 3, Newest: true}, "[2 1]"},
		{"of an actor", audit.Query{Actor: "a0", After: 2}, "[3 5 7 9]"},
		{"about a subject", audit.Query{Subject: "s0"}, "[1 4 7 10]"},
		{"both", audit.Query{Subject: "s0", Actor: "a1"}, "[4 10]"},
		{"of a request", audit.Query{Request: domain.ID{7}}, "[7]"},
		{"none", audit.Query{Actor: "nobody"}, "[]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			records, err := store.Records(t.Context(), tt.query)
			numbers := []int64{}
			for _, r := range records {
				numbers = append(numbers, r.Number)
			}
			if got := fmt.Sprint(numbers); err != nil || got != tt.want {
				t.Errorf("Records(%+v) = %s, %v; want %s", tt.query, got, err, tt.want)
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	_, db := open(b)
	details := &domain.Request{Address: "10.0.0.1", Agent: "Mozilla/5.0", Method: "POST", Route: "/participant/{id}/sensor_event", Object: "U0123456789", Status: 200}
	b.ReportAllocs()
	err := db.Update(b.Context(), at(1), func(tx *readmodels.Tx) error {
		for n := uint64(1); b.Loop(); n++ {
			e := recorded(n, 0, details, attachment.Set{})
			e.Correlation = domain.ID{0: 1, 2: byte(n >> 32), 3: byte(n >> 24), 4: byte(n >> 16), 5: byte(n >> 8), 6: byte(n), 15: byte(n * 7)}
			if err := audit.Write(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// TestDump finds the id of a request as its client got to see it.
func TestDump(t *testing.T) {
	store, db := open(t)
	e := recorded(1, 9, nil, access.Refused{Code: "404.resource-not-found"})
	e.Correlation = domain.ID{0x01, 0xa1, 0xfd, 0x73, 0x58, 0xca, 0x70, 0x0f, 0x98, 0xbe, 0xa4, 0xa0, 0xc6, 0x2d, 0xc0, 0xd3}
	write(t, db, e)
	var lines bytes.Buffer
	if err := store.Dump(t.Context(), &lines); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"number":1,"request":%q,`, e.Correlation); !strings.HasPrefix(lines.String(), want) {
		t.Errorf("%s, want it to begin with %s", &lines, want)
	}
}
