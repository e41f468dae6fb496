package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/account"
	"strandline/domain/codec"
	"strandline/domain/registry"
	"strandline/readmodels"
	"strandline/readmodels/audit"
	"strandline/transport/eventstore/memory"
	"strandline/transport/rest"
	"strandline/transport/rest/api"
	"strandline/transport/rest/signin"
)

// world is everything around the dialect. Root may open everything, anna what is about her, nobody else anything.
type world struct {
	*commands.Bus // nil: commands are only written down
	*memory.Store
	codec  *codec.Codec
	url    string
	client *http.Client
	door   *api.Door

	records *readmodels.DB // of the audit

	mu        sync.Mutex
	gone      bool   // anna's credential has been revoked
	shut      bool   // anna may open nothing any more
	decoding  func() // called before each decoding, unless it is nil
	rebuilt   []string
	reverted  int
	previous  *api.Previous
	parked    []api.Parked
	done      []domain.Command
	recorded  []domain.Event
	positions []domain.Position
	now       time.Time // of the store
}

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

// seals seals nothing, and cannot open what was sealed with the keys "gone" and "broken".
type seals struct{}

func (seals) Seal(dst []byte, _ string, plain, _ []byte) ([]byte, error) {
	return append(dst, plain...), nil
}

func (seals) Open(dst []byte, key string, sealed, _ []byte) ([]byte, error) {
	switch key {
	case "gone":
		return nil, codec.ErrKeyDestroyed
	case "broken":
		return nil, errors.New("it is broken")
	}
	return append(dst, sealed...), nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOver(t, nil, func(*httptest.Server) {})
}

// theLog is what an event store is asked for.
type theLog interface {
	api.Log
	rest.Head
}

// newWorldOver is newWorld over another log, unless that is nil, and with a server that is set up by set.
func newWorldOver(t *testing.T, log theLog, set func(*httptest.Server), options ...rest.Option) *world {
	t.Helper()
	w := &world{codec: codec.New(seals{}, seals{}, nil, nil), now: noon}
	w.Store = memory.New(memory.WithGaps(7), memory.WithClock(func() time.Time { return w.now }))
	if log == nil {
		log = w.Store
	}
	w.records = openAudit(t)
	w.door = api.New(api.Parts{Services: services, Bus: w, Log: log, Decoder: w, SignIn: w, Projections: w, Audit: audit.New(w.records), Backups: &vault{}})
	server := httptest.NewUnstartedServer(rest.NewPipeline(w, log, w, w, options...).Handler(w.door))
	set(server)
	if w.client = http.DefaultClient; server.EnableHTTP2 {
		server.StartTLS()
		w.client = server.Client()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	t.Cleanup(w.door.Stop)
	w.url = server.URL + "/strandline/v1"
	return w
}

func (w *world) Decode(ctx context.Context, r domain.Record) (domain.Recorded, error) {
	if w.decoding != nil {
		w.decoding()
	}
	return w.codec.Decode(ctx, r, nil)
}

func (w *world) Authenticate(c *rest.Call) error {
	key, secret, err := signin.Basic(c.Request().Header.Get("Authorization"))
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case secret != "secret" || key == "anna" && w.gone:
		return signin.ErrUnknown
	case key == "root":
		c.Meta.Principal = commands.Principal{Root: true}
		return nil
	}
	c.Meta.Principal = commands.Principal{Credential: key, Origin: key}
	return nil
}

func (w *world) Permit(p commands.Principal, verb policy.Verb, o policy.Object) (commands.Permit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut && p.Origin == "anna" {
		return commands.Permit{}, domain.ErrForbidden
	}
	if p.Root || verb == policy.ServerView || verb == policy.OwnList && !p.Anonymous || (verb == policy.PayloadOpen || verb == policy.AuditView) && o.ID == "anna" && p.Origin == "anna" {
		return commands.Permit{}, nil
	}
	return commands.Permit{}, domain.ErrForbidden
}

func (w *world) Record(_ context.Context, _ commands.Meta, e domain.Event) (domain.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recorded = append(w.recorded, e)
	return domain.Position{}, nil
}

func (w *world) Wait(context.Context, domain.Position) error { return nil }
func (w *world) Hash(string, string) [32]byte                { return [32]byte{} }

func (w *world) Status(context.Context) ([]api.Projection, error) {
	return []api.Projection{{Name: "series", Version: 2, Checkpoint: domain.Position{Commit: 7, Prepare: 7}, LagEvents: 3, Previous: w.previous}}, nil
}

func (w *world) Parked(_ context.Context, name string) ([]api.Parked, error) {
	if name != "series" {
		return nil, fmt.Errorf("%w: projection %q", domain.ErrNotFound, name)
	}
	return w.parked, nil
}

func (w *world) Do(_ context.Context, _ commands.Permit, _ commands.Meta, cmd domain.Command) (commands.Receipt, error) {
	w.done = append(w.done, cmd)
	return commands.Receipt{Changed: true, Position: domain.Position{Commit: 9, Prepare: 9}}, nil
}

func (w *world) Revert(name string) error {
	w.reverted++
	return w.Rebuild(name)
}

func (w *world) Rebuild(name string) error {
	if name != "series" {
		return fmt.Errorf("%w: projection %q", domain.ErrNotFound, name)
	}
	w.rebuilt = append(w.rebuilt, name)
	return nil
}

// happen appends an event to the log, to a stream of its own.
func (w *world) happen(t *testing.T, e domain.Event) {
	t.Helper()
	w.happenIn(t, domain.Envelope{Stream: fmt.Sprintf("test-%d", len(w.positions)+1), Actor: "root"}, e)
}

// happenIn appends an event with the given envelope.
func (w *world) happenIn(t *testing.T, env domain.Envelope, e domain.Event) {
	t.Helper()
	n := len(w.positions) + 1
	env.ID = domain.ID{byte(n), byte(n >> 8)}
	records, err := w.codec.Encode(env, nil, e)
	if err != nil {
		t.Fatal(err)
	}
	done, err := w.Append(t.Context(), env.Stream, domain.Any, records)
	if err != nil {
		t.Fatal(err)
	}
	w.positions = append(w.positions, done.Position)
}

// added is the event of an object named id.
func added(id string) registry.Added { return registry.Added{Kind: registry.Researcher, ID: id} }

// ask sends a request and returns the answer's status and body.
func (w *world) ask(t *testing.T, method, path, who string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		r.SetBasicAuth(who, "secret")
	}
	answer, body := w.do(t, r)
	return answer.StatusCode, body
}

// do sends a request and reads the answer to its end.
func (w *world) do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

type shown struct {
	Position, Type, Sentence, Error string
	Revision                        uint64
	Sealed                          bool
	Data                            json.RawMessage
}

type page struct {
	Events []shown
	Next   string
	End    bool
}

func (w *world) page(t *testing.T, query, who string) page {
	t.Helper()
	status, body := w.ask(t, "GET", "/events"+query, who)
	var p page
	if err := json.Unmarshal([]byte(body), &p); status != 200 || err != nil {
		t.Fatalf("GET /events%s: %d %s, %v", query, status, body, err)
	}
	return p
}

// TestPagesNeverSkipOrRepeat walks over the log in pages of every size.
func TestPagesNeverSkipOrRepeat(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.happen(t, added(fmt.Sprint("r", i)))
	}
	for size := 1; size <= 8; size++ {
		var seen []string
		next := ""
		for {
			p := w.page(t, fmt.Sprintf("?limit=%d&after=%s", size, next), "root")
			for _, e := range p.Events {
				seen = append(seen, e.Position)
			}
			next = p.Next
			if len(p.Events) == 0 {
				break
			}
		}
		want := make([]string, 0, 7)
		for _, p := range w.positions {
			want = append(want, p.String())
		}
		if !slices.Equal(seen, want) {
			t.Errorf("pages of %d: %v, want %v", size, seen, want)
		}
	}
}

// TestEventsAreForThoseWhoMayOpenThem asks as root, as somebody who may open some, and as somebody who may open none.
func TestEventsAreForThoseWhoMayOpenThem(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	w.happen(t, added("ben"))
	w.happen(t, account.Issued{ID: "00", Origin: "anna", AccessKey: "k", SecretHash: "$argon2id$…"})
	for who, want := range map[string]int{"root": 3, "anna": 2, "ben": 0} {
		p := w.page(t, "", who)
		if next := map[bool]string{true: w.positions[2].String()}[want > 0]; len(p.Events) != want || p.Next != next {
			t.Errorf("%s sees %d events up to %q, want %d up to %q", who, len(p.Events), p.Next, want, next)
		}
		for _, e := range p.Events {
			if len(e.Data) == 0 || e.Sentence == "" || strings.Contains(string(e.Data), "argon2") {
				t.Errorf("%s sees %s %q %s, want data without secrets and a sentence", who, e.Type, e.Sentence, e.Data)
			}
		}
	}
}

// TestRefusals are problem documents with a code.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		method, path, who string
		status            int
		code              string
	}{
		{"GET", "/events", "", 401, "credentials-missing"},
		{"GET", "/events?limit=0", "root", 400, "invalid"},
		{"GET", "/events?limit=many", "root", 400, "invalid"},
		{"GET", "/events?after=where", "root", 400, "invalid"},
		{"GET", "/events?follow=maybe", "root", 400, "invalid"},
		{"GET", "/nothing", "root", 404, "no-such-route"},
		{"DELETE", "/events", "root", 405, "method-not-allowed"},
		{"GET", "/projections", "anna", 403, "forbidden"},
		{"POST", "/projections/series/rebuild", "anna", 403, "forbidden"},
		{"POST", "/projections/none/rebuild", "root", 404, "not-found"},
	} {
		status, body := w.ask(t, tt.method, tt.path, tt.who)
		var p struct {
			Status              int
			Code, Title, Remedy string
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != tt.status || p.Status != status || p.Code != tt.code || p.Title == "" || p.Remedy == "" {
			t.Errorf("%s %s as %q: %d %s, want %d %s", tt.method, tt.path, tt.who, status, body, tt.status, tt.code)
		}
	}
	if len(w.rebuilt) != 0 {
		t.Errorf("rebuilt %v on behalf of nobody", w.rebuilt)
	}
}

func services() []api.Service {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return []api.Service{{ID: "i", Name: "n", Roles: []string{"api"}, Version: "v", Addresses: []string{"http://a"}, Started: at, Heartbeat: at}}
}

// TestServices lists the processes, for root alone.
func TestServices(t *testing.T) {
	w := newWorld(t)
	const want = `{"services":[{"id":"i","name":"n","roles":["api"],"version":"v","addresses":["http://a"],"started":"2026-03-01T12:00:00Z","heartbeat":"2026-03-01T12:00:00Z"}]}`
	if status, body := w.ask(t, "GET", "/services", "root"); status != 200 || body != want {
		t.Errorf("services: %d %s", status, body)
	}
	if status, _ := w.ask(t, "GET", "/services", "anna"); status != 403 {
		t.Errorf("services for anna: %d", status)
	}
}

// TestProjections lists and rebuilds.
func TestProjections(t *testing.T) {
	w := newWorld(t)
	status, body := w.ask(t, "GET", "/projections", "root")
	if status != 200 || body != `{"projections":[{"name":"series","version":2,"checkpoint":"7","lag_events":3,"lag_seconds":0,"parked":0}]}` {
		t.Errorf("list: %d %s", status, body)
	}
	if status, _ := w.ask(t, "POST", "/projections/series/rebuild", "root"); status != 202 || !slices.Equal(w.rebuilt, []string{"series"}) {
		t.Errorf("rebuild: %d, rebuilt %v", status, w.rebuilt)
	}
}

// open opens a stream of lines.
func (w *world) open(t *testing.T, query, who string) (*bufio.Scanner, io.Closer) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(who, "secret")
	r.Header.Set("Accept", "application/x-ndjson")
	answer, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return bufio.NewScanner(answer.Body), answer.Body
}

// TestHistoryInLines ends at the head and is recorded with its rows.
func TestHistoryInLines(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.happen(t, added("anna"))
	}
	lines, _ := w.open(t, "?after="+w.positions[0].String(), "anna")
	for _, want := range w.positions[1:] {
		if e := hear(t, lines); e.Position != want.String() {
			t.Errorf("line at %s, want %s", e.Position, want)
		}
	}
	if lines.Scan() {
		t.Errorf("a line after the head: %s", lines.Text())
	}
	w.waitFor(t, access.Ended{Rows: 2})
}

// TestFollow sees what happens while it is open, until the credential is revoked.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	lines, _ := w.open(t, "?follow=true", "anna")
	hear(t, lines)
	w.happen(t, added("ben"))
	w.happen(t, added("anna"))
	if e := hear(t, lines); e.Position != w.positions[2].String() {
		t.Errorf("line at %s, want %s", e.Position, w.positions[2])
	}
	w.mu.Lock()
	w.gone = true
	w.mu.Unlock()
	w.happen(t, added("anna"))
	if e := hear(t, lines); e.Error == "" || len(e.Data) > 0 {
		t.Errorf("after the credential was revoked: %+v, want an error", e)
	}
	if lines.Scan() {
		t.Errorf("a line after the end: %s", lines.Text())
	}
	w.waitFor(t, access.Ended{Rows: 2})
}

// TestStop ends streams that would go on for ever.
func TestStop(t *testing.T) {
	w := newWorld(t)
	w.happen(t, added("anna"))
	lines, _ := w.open(t, "?follow=true", "root")
	hear(t, lines)
	w.door.Stop()
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the stop: %q, %v; want the end", lines.Text(), lines.Err())
	}
}

// waitFor waits until an event has been put on the record.
func (w *world) waitFor(t *testing.T, want domain.Event) {
	t.Helper()
	for range 100 {
		w.mu.Lock()
		found := slices.Contains(w.recorded, want)
		w.mu.Unlock()
		if found {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("recorded %+v, without %+v", w.recorded, want)
}

// TestUndecodable shows the envelope of a damaged record, and goes on.
func TestUndecodable(t *testing.T) {
	w := newWorld(t)
	_, err := w.Append(t.Context(), "test-x", domain.NoStream, []domain.Record{
		{Envelope: domain.Envelope{ID: domain.ID{9}, Type: "study.added", Version: 1, ContentType: domain.JSON}, Data: []byte("nonsense")},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.happen(t, added("anna"))
	p := w.page(t, "", "root")
	if len(p.Events) != 2 || string(p.Events[0].Data) != "null" || p.Events[0].Sentence == "" {
		t.Errorf("%+v; want two events, the first without data", p.Events)
	}
}
