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

	got, err := records(t, store, audit.Query{})
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
			got, err := records(t, store, audit.Query{})
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
	got, err := records(t, store, audit.Query{})
	if err != nil || len(got) != 1 || got[0].Rows != 12 || got[0].Outcome != audit.Served {
		t.Errorf("Records = %+v, %v; want one with 12 rows", got, err)
	}
}

// all lets everything through.
func all(audit.Record) bool { return true }

// records reads a page.
func records(t testing.TB, store *audit.Store, q audit.Query) ([]audit.Record, error) {
	t.Helper()
	page, err := store.Page(t.Context(), q, all)
	return page.Records, err
}

// numbers are those of records.
func numbers(records []audit.Record) string {
	all := []int64{}
	for _, r := range records {
		all = append(all, r.Number)
	}
	return fmt.Sprint(all)
}

func TestQueries(t *testing.T) {
	store, db := open(t)
	for n := range uint64(10) {
		e := recorded(n+1, byte(n+1), &domain.Request{Route: fmt.Sprint("/", n/5), Object: fmt.Sprint("o", n%4)}, access.Served{})
		if n%5 == 4 {
			e.Event = access.Refused{Code: "no"}
		}
		e.Actor, e.Subject = fmt.Sprint("a", n%2), fmt.Sprint("s", n%3)
		write(t, db, e)
	}
	second := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	tests := []struct {
		name  string
		query audit.Query
		want  string
		end   bool
	}{
		{"all", audit.Query{}, "[1 2 3 4 5 6 7 8 9 10]", true},
		{"some", audit.Query{Limit: 2}, "[1 2]", false},
		{"exactly all", audit.Query{Limit: 10}, "[1 2 3 4 5 6 7 8 9 10]", true},
		{"newest", audit.Query{Limit: 2, Newest: true}, "[10 9]", false},
		{"after", audit.Query{After: 8}, "[9 10]", true},
		{"after all", audit.Query{After: 10}, "[]", true},
		{"after, newest first", audit.Query{After: 3, Newest: true}, "[2 1]", true},
		{"after the oldest, newest first", audit.Query{After: 1, Newest: true}, "[]", true},
		{"of an actor", audit.Query{Actor: "a0", After: 2}, "[3 5 7 9]", true},
		{"about a subject", audit.Query{Subject: "s0"}, "[1 4 7 10]", true},
		{"about a subject, newest first", audit.Query{Subject: "s0", Newest: true, Limit: 2}, "[10 7]", false},
		{"of an object", audit.Query{Object: "o2"}, "[3 7]", true},
		{"both", audit.Query{Subject: "s0", Actor: "a1"}, "[4 10]", true},
		{"of a request", audit.Query{Request: domain.ID{7}}, "[7]", true},
		{"of a request, by another", audit.Query{Request: domain.ID{7}, Actor: "a1"}, "[]", true},
		{"of a route", audit.Query{Route: "/1", Limit: 2}, "[6 7]", false},
		{"with an outcome", audit.Query{Outcome: audit.Refused}, "[5 10]", true},
		{"none", audit.Query{Actor: "nobody"}, "[]", true},
		{"from a time", audit.Query{From: second(9)}, "[9 10]", true},
		{"up to a time", audit.Query{To: second(3)}, "[1 2]", true},
		{"between", audit.Query{From: second(3).Add(-1), To: second(5)}, "[3 4]", true},
		{"between, newest first", audit.Query{From: second(3), To: second(6), Newest: true}, "[5 4 3]", true},
		{"between, after", audit.Query{From: second(3), To: second(6), After: 4}, "[5]", true},
		{"before all times", audit.Query{To: noon}, "[]", true},
		{"after all times", audit.Query{From: second(11)}, "[]", true},
		{"from far before", audit.Query{From: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), Limit: 2}, "[1 2]", false},
		{"from before what nanoseconds can count", audit.Query{From: time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), Limit: 2}, "[1 2]", false},
		{"up to far before", audit.Query{To: time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC)}, "[]", true},
		{"up to far ahead", audit.Query{To: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), From: second(9)}, "[9 10]", true},
		{"up to beyond what nanoseconds can count", audit.Query{To: time.Date(2263, 1, 1, 0, 0, 0, 0, time.UTC), Limit: 1}, "[1]", false},
		{"from far ahead", audit.Query{From: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)}, "[]", true},
		{"between nothing", audit.Query{From: second(6), To: second(3)}, "[]", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page, err := store.Page(t.Context(), tt.query, all)
			if got := numbers(page.Records); err != nil || got != tt.want || page.End != tt.end {
				t.Errorf("Page(%+v) = %s, end %v, %v; want %s, end %v", tt.query, got, page.End, err, tt.want, tt.end)
			}
		})
	}
}

// TestPagesNeverSkipOrRepeat reads pages of what a caller may see while requests are added, in both orders.
func TestPagesNeverSkipOrRepeat(t *testing.T) {
	even := func(r audit.Record) bool { return r.Number%2 == 0 }
	for _, newest := range []bool{false, true} {
		store, db := open(t)
		n := uint64(0)
		add := func(count int) {
			for range count {
				n++
				write(t, db, recorded(n, byte(n), nil, access.Served{}))
			}
		}
		add(50)
		q, got, want := audit.Query{Newest: newest, Limit: 3}, "", ""
		for range 40 {
			page, err := store.Page(t.Context(), q, even)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				got += fmt.Sprint(r.Number, " ")
			}
			q.After = page.Last
			if page.End {
				break
			}
			add(1)
		}
		for i := range int(n) {
			switch i++; {
			case newest && i <= 50 && i%2 == 0:
				want += fmt.Sprint(52-i, " ")
			case !newest && i%2 == 0:
				want += fmt.Sprint(i, " ")
			}
		}
		if got != want {
			t.Errorf("newest %v: %s, want %s", newest, got, want)
		}
	}
}

// TestWhatALaterEventTells is found by it, though its record stands far back.
func TestWhatALaterEventTells(t *testing.T) {
	store, db := open(t)
	early := recorded(1, 1, nil, attachment.Set{})
	early.Subject = ""
	write(t, db, early)
	for n := uint64(2); n < 600; n++ {
		e := recorded(n, 0, nil, attachment.Set{})
		e.Correlation, e.Subject = domain.ID{2, byte(n >> 8), byte(n)}, ""
		write(t, db, e)
	}
	late := recorded(600, 1, nil, attachment.Set{})
	late.Subject = "late"
	write(t, db, late)
	if got, err := records(t, store, audit.Query{Subject: "late"}); err != nil || numbers(got) != "[1]" {
		t.Errorf("Page = %s, %v; want [1]", numbers(got), err)
	}
}

// TestARareSelectionEndsItsPageEarly, and is found by going on. What has an index is found at once.
func TestARareSelectionEndsItsPageEarly(t *testing.T) {
	store, db := open(t)
	err := db.Update(t.Context(), at(1), func(tx *readmodels.Tx) error {
		for n := uint64(1); n <= 100_500; n++ {
			e := recorded(n, 0, nil, attachment.Set{})
			e.Correlation = domain.ID{1, byte(n >> 16), byte(n >> 8), byte(n)}
			if n == 100_400 {
				e.Actor, e.Request = "needle", &domain.Request{Route: "/needle"}
			}
			if err := audit.Write(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := store.Page(t.Context(), audit.Query{Route: "/needle"}, all)
	if err != nil || len(page.Records) != 0 || page.End {
		t.Errorf("the first page has %s, end %v, %v; want none, and no end", numbers(page.Records), page.End, err)
	}
	page, err = store.Page(t.Context(), audit.Query{Route: "/needle", After: page.Last}, all)
	if err != nil || numbers(page.Records) != "[100400]" || !page.End {
		t.Errorf("the second page has %s, end %v, %v; want [100400], and the end", numbers(page.Records), page.End, err)
	}
	page, err = store.Page(t.Context(), audit.Query{Actor: "needle"}, all)
	if err != nil || numbers(page.Records) != "[100400]" || !page.End {
		t.Errorf("the page of the actor has %s, end %v, %v; want [100400], and the end", numbers(page.Records), page.End, err)
	}
}

// BenchmarkPage finds a record of one subject among a hundred thousand, and one of a route, which has no index.
func BenchmarkPage(b *testing.B) {
	store, db := open(b)
	fill(b, db, 100_000)
	for name, q := range map[string]audit.Query{"subject": {Subject: "U0000000077"}, "route": {Route: "/nowhere"}, "time": {From: noon.Add(99_990 * time.Second)}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Page(b.Context(), q, all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill writes n requests of a thousand participants.
func fill(tb testing.TB, db *readmodels.DB, n uint64) {
	tb.Helper()
	err := db.Update(tb.Context(), at(n), func(tx *readmodels.Tx) error {
		for n := range n {
			id := fmt.Sprintf("U%010d", n*7919%1000)
			details := &domain.Request{Address: "10.0.0.1", Agent: "Mozilla/5.0", Method: "POST", Route: "/participant/{id}/sensor_event", Object: id, Status: 200}
			e := recorded(n, 0, details, attachment.Set{})
			e.Actor, e.Subject, e.Correlation = id, id, domain.ID{1, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 15: byte(n * 7)}
			if err := audit.Write(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
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
