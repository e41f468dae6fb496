package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/attachment"
	"strandline/readmodels"
	"strandline/readmodels/audit"
)

func openAudit(t *testing.T) *readmodels.DB {
	t.Helper()
	db, err := readmodels.Open(t.TempDir(), audit.Schema, "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// heard puts the event of a request into the audit records, as of a position.
func (w *world) heard(t *testing.T, n byte, actor, object, subject string, e domain.Event) {
	t.Helper()
	r := domain.Recorded{
		Position: domain.Position{Commit: uint64(n), Prepare: uint64(n)},
		Envelope: domain.Envelope{
			ID: domain.ID{n}, Type: e.EventType(), Time: noon.Add(time.Duration(n) * time.Second), Actor: actor, Subject: subject,
			Credential: "c-" + actor, APIKey: "k", Dialect: "api", Correlation: domain.ID{0xf, n},
		},
		Request: &domain.Request{Address: "192.0.2.7", Agent: "curl", Method: "GET", Route: fmt.Sprint("/r/", n%2), Object: object, Status: 200, Reason: "ward round"},
		Event:   e,
	}
	err := w.records.Update(t.Context(), r.Position, func(tx *readmodels.Tx) error { return audit.Write(tx, r) })
	if err != nil {
		t.Fatal(err)
	}
}

// nine fills the audit records with nine requests.
func nine(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for n := byte(1); n < 10; n++ {
		object, subject := "ben", ""
		var e domain.Event = access.Served{Rows: int(n)}
		switch {
		case n%3 == 0:
			object, e = "anna", access.Refused{Code: "forbidden"}
		case n%4 == 0:
			subject, e = "anna", attachment.Set{}
		}
		w.heard(t, n, fmt.Sprint("a", n%2), object, subject, e)
	}
	return w
}

type records struct {
	Records []struct {
		Time    time.Time
		Request domain.ID
		Outcome string
		Rows    int
		Events  []string
	}
	Next string
	End  bool
}

// numbers are the second bytes of the requests' ids.
func (r records) numbers() (all []byte) {
	for _, one := range r.Records {
		all = append(all, one.Request[1])
	}
	return all
}

func (w *world) audit(t *testing.T, query, who string) (r records) {
	t.Helper()
	status, body := w.ask(t, "GET", "/audit"+query, who)
	if err := json.Unmarshal([]byte(body), &r); status != 200 || err != nil {
		t.Fatalf("GET /audit%s: %d %s, %v", query, status, body, err)
	}
	return r
}

// auditFilters are queries, and the numbers of the records that they select for a caller.
var auditFilters = []struct{ query, who, want string }{
	{"", "root", "123456789"},
	{"", "anna", "34689"},
	{"", "ben", ""},
	{"actor=a1", "root", "13579"},
	{"actor=a1", "anna", "39"},
	{"subject=anna", "root", "48"},
	{"object=anna", "root", "369"},
	{"object=ben&subject=anna", "root", "48"},
	{"outcome=refused", "root", "369"},
	{"outcome=done", "root", "48"},
	{"outcome=served&actor=a0", "root", "2"},
	{"route=%2Fr%2F0", "root", "2468"},
	{"from=2026-05-06T12:00:07Z", "root", "789"},
	{"from=2026-05-06T12:00:03Z&to=2026-05-06T12:00:05Z", "root", "34"},
	{"to=2026-05-06", "root", ""},
	{"order=newest", "root", "987654321"},
	{"order=newest", "anna", "98643"},
	{"order=newest&actor=a0&outcome=done", "root", "84"},
	{"request=" + domain.ID{0xf, 5}.String(), "root", "5"},
	{"request=" + domain.ID{0xf, 5}.String(), "anna", ""},
	{"request=" + domain.ID{0xf, 77}.String(), "root", ""},
}

// TestAuditFilters asks for pages of every size, and for lines.
func TestAuditFilters(t *testing.T) {
	w := nine(t)
	for _, tt := range auditFilters {
		for _, size := range []int{1, 2, 5, 1000} {
			got, next := "", ""
			for range 12 {
				r := w.audit(t, fmt.Sprintf("?%s&limit=%d&after=%s", tt.query, size, next), tt.who)
				for _, n := range r.numbers() {
					got += fmt.Sprint(n)
				}
				if next = r.Next; r.End {
					break
				}
			}
			if got != tt.want {
				t.Errorf("%s as %s in pages of %d: %s, want %s", tt.query, tt.who, size, got, tt.want)
			}
		}
		_, body := w.send(t, "GET", "/audit?"+tt.query, tt.who, "", "Accept", "application/x-ndjson")
		if strings.Count(body, "\n") != len(tt.want) {
			t.Errorf("%s as %s in lines: %s, want %d", tt.query, tt.who, body, len(tt.want))
		}
	}
}

// TestAnAuditRecord says all that is known of a request.
func TestAnAuditRecord(t *testing.T) {
	w := nine(t)
	_, body := w.ask(t, "GET", "/audit?limit=1&from=2026-05-06T12:00:08Z", "root")
	want := `{"records":[{"time":"2026-05-06T12:00:08Z","request":"0f080000-0000-0000-0000-000000000000","actor":"a0","credential":"c-a0","api_key":"k",` +
		`"address":"192.0.2.7","agent":"curl","method":"GET","route":"/r/0","object":"ben","subject":"anna","command":null,"reason":"ward round",` +
		`"outcome":"done","code":null,"status":200,"rows":0,"events":["8"]}],`
	if !strings.HasPrefix(body, want) {
		t.Errorf("%s, want it to begin with %s", body, want)
	}
}

// TestTheAuditIsAsOfTheRequest waits for what had happened when it was asked.
func TestTheAuditIsAsOfTheRequest(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	at := byte(w.positions[0].Commit)
	time.AfterFunc(50*time.Millisecond, func() { w.heard(t, at, "late", "", "", access.Served{}) })
	if r := w.audit(t, "", "root"); len(r.Records) != 1 {
		t.Errorf("%d records, want the one that came while it waited", len(r.Records))
	}
}

// TestAuditRefuses what makes no sense.
func TestAuditRefuses(t *testing.T) {
	w := nine(t)
	for _, query := range []string{
		"after=x", "after=0", "after=cmVjb3Jk", "outcome=good", "order=up", "request=1", "request=00000000-0000-0000-0000-000000000000",
		"from=yesterday", "limit=-1", "who=anna", "actor=%ff", "to=99999999999999999",
	} {
		if status, body := w.ask(t, "GET", "/audit?"+query, "root"); status != 400 {
			t.Errorf("%s: %d %s, want 400", query, status, body)
		}
	}
	if status, _ := w.ask(t, "GET", "/audit", ""); status != 401 {
		t.Errorf("without a credential: %d, want 401", status)
	}
}
