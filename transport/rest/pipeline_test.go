package rest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
	"strandline/transport/rest"
)

// world is a pipeline with a dialect that a test writes, and all the ports that a pipeline needs.
type world struct {
	*testing.T
	answer  func(*rest.Call) (rest.Answer, error)
	head    domain.Position // where the store ends
	reached domain.Position // up to where the directory is
	disk    error           // of every record

	mu      sync.Mutex
	records []domain.Event
	metas   []commands.Meta
}

func (w *world) Name() string                                  { return "test" }
func (w *world) Answer(c *rest.Call) (rest.Answer, error)      { return w.answer(c) }
func (w *world) Head(context.Context) (domain.Position, error) { return w.head, nil }
func (w *world) Hash(_, text string) (sum [32]byte)            { copy(sum[:], text); return sum }

func (w *world) Refuse(_ *rest.Call, err error) rest.Answer {
	return rest.Answer{Status: 400, Code: "400.refused", Body: []byte(err.Error()), Headers: rest.RetryAfter(err)}
}

func (w *world) Wait(ctx context.Context, p domain.Position) error {
	if !w.reached.Before(p) {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (w *world) Record(_ context.Context, meta commands.Meta, e domain.Event) (domain.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.disk == nil {
		w.records, w.metas = append(w.records, e), append(w.metas, meta)
	}
	return domain.Position{}, w.disk
}

// setDisk makes all further records fail, or succeed.
func (w *world) setDisk(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disk = err
}

func (w *world) handler(options ...rest.Option) http.Handler {
	quiet := rest.WithLogger(slog.New(slog.DiscardHandler))
	return rest.NewPipeline(w, w, w, w, append([]rest.Option{quiet, rest.WithPatience(20 * time.Millisecond)}, options...)...).Handler(w)
}

func (w *world) ask(r *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	w.handler().ServeHTTP(recorder, r)
	return recorder
}

// only is the single record that there must be.
func (w *world) only() (domain.Event, commands.Meta) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.records) != 1 {
		w.Fatalf("recorded %+v, want one record", w.records)
	}
	return w.records[0], w.metas[0]
}

func fixed(a rest.Answer, err error) func(*rest.Call) (rest.Answer, error) {
	return func(*rest.Call) (rest.Answer, error) { return a, err }
}

func TestOneRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(*rest.Call) (rest.Answer, error)
		status int
		record domain.Event
	}{
		"served": {fixed(rest.Answer{Status: 200, Rows: 3}, nil), 200, access.Served{Rows: 3}},
		"quiet":  {fixed(rest.Answer{Status: 200, Quiet: true}, nil), 200, access.Served{Outcome: access.OutcomeQuiet}},
		"error":  {fixed(rest.Answer{}, errors.New("no")), 400, access.Refused{Code: "400.refused"}},
		"panic":  {func(*rest.Call) (rest.Answer, error) { panic("oh") }, 400, access.Refused{Code: "400.refused"}},
		"unknown caller": {func(c *rest.Call) (rest.Answer, error) {
			c.Attempted = "key"
			return rest.Answer{}, errors.New("no")
		}, 400, access.Refused{Code: "400.refused", Attempted: fmt.Sprintf("%x%058d", "key", 0)}},
		"repeated command": {func(c *rest.Call) (rest.Answer, error) {
			c.Happened(commands.Receipt{Changed: true, Repeated: true})
			return rest.Answer{Status: 200, Quiet: true}, nil
		}, 200, access.Served{Outcome: access.OutcomeQuiet}},
	} {
		w := &world{T: t, answer: tt.answer}
		if got := w.ask(httptest.NewRequest("GET", "/x", nil)); got.Code != tt.status {
			t.Errorf("%s: status %d, want %d", name, got.Code, tt.status)
		}
		if e, meta := w.only(); e != tt.record || meta.Details.Status != tt.status || meta.Request.IsZero() {
			t.Errorf("%s: recorded %+v with %+v, want %+v", name, e, meta, tt.record)
		}
	}
}

// TestRefusalsTellWhereTheStoreEnded, so that who is refused can ask elsewhere for no less. What failed says nothing.
func TestRefusalsTellWhereTheStoreEnded(t *testing.T) {
	for status, want := range map[int]string{200: "2a", 304: "2a", 401: "2a", 404: "2a", 412: "2a", 500: "", 503: ""} {
		code := ""
		if status >= 400 {
			code = "no"
		}
		w := &world{T: t, answer: fixed(rest.Answer{Status: status, Code: code}, nil), head: domain.Position{Commit: 42, Prepare: 42}}
		if got := w.ask(httptest.NewRequest("GET", "/x", nil)).Header().Get("Strandline-Position"); got != want {
			t.Errorf("%d: position %q, want %q", status, got, want)
		}
	}
}

// TestEventsAreTheRecord has commands that left events, and needs no record beside them, whatever happens afterwards.
func TestEventsAreTheRecord(t *testing.T) {
	for name, after := range map[string]func() (rest.Answer, error){
		"success": func() (rest.Answer, error) { return rest.Answer{Status: 200}, nil },
		"panic":   func() (rest.Answer, error) { panic("oh") },
	} {
		w := &world{T: t, answer: func(c *rest.Call) (rest.Answer, error) {
			c.Happened(commands.Receipt{Changed: true, Position: domain.Position{Commit: 7, Prepare: 7}})
			return after()
		}}
		if got := w.ask(httptest.NewRequest("PUT", "/x", nil)); got.Header().Get("Strandline-Position") != "7" || len(w.records) != 0 {
			t.Errorf("%s: position %q, records %+v; want 7 and none", name, got.Header().Get("Strandline-Position"), w.records)
		}
	}
}

func TestWhatCannotBeRecordedIsNotServed(t *testing.T) {
	w := &world{T: t, answer: fixed(rest.Answer{Status: 200, Body: []byte("secret")}, nil), disk: errors.New("disk full")}
	if got := w.ask(httptest.NewRequest("GET", "/x", nil)); got.Body.String() != rest.ErrUnrecorded.Error() {
		t.Errorf("answered %q", got.Body)
	}
}

func TestPreflightIsNotRecorded(t *testing.T) {
	w := &world{T: t}
	got := w.ask(httptest.NewRequest("OPTIONS", "/any/path", nil))
	allowed := got.Header().Get("Access-Control-Allow-Headers")
	for _, name := range []string{"authorization", "content-type", "accept", "access-control-allow-origin"} {
		if !strings.Contains(allowed, name) {
			t.Errorf("header %s is not allowed", name)
		}
	}
	if got.Code != 204 || len(w.records) != 0 || got.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("status %d, records %v, headers %v", got.Code, w.records, got.Header())
	}
}

func TestHeaders(t *testing.T) {
	w := &world{T: t, answer: fixed(rest.Answer{Status: 200}, nil), reached: domain.Position{Commit: 9, Prepare: 9}}
	r := httptest.NewRequest("GET", "/x", nil)
	r.RemoteAddr = "[2001:db8::1]:4711"
	r.Header.Set("User-Agent", strings.Repeat("ä", 200))
	r.Header.Set("Strandline-Reason", "ward round")
	r.Header.Set("X-API-Key", "client")
	r.Header.Set("Idempotency-Key", "once")
	r.Header.Set("Strandline-Min-Position", "9")
	got := w.ask(r)
	_, meta := w.only()
	if meta.Details.Address != "2001:db8::1" || meta.Details.Reason != "ward round" || meta.IdempotencyKey != "once" ||
		!strings.HasPrefix(meta.APIKey, "636c69656e74") || len(meta.Details.Agent) != 256 {
		t.Errorf("recorded with %+v", meta)
	}
	for _, name := range []string{"Cache-Control", "X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Strandline-Request"} {
		if got.Header().Get(name) == "" {
			t.Errorf("answer has no %s", name)
		}
	}
}

// A client key that was issued here is known by its id, any other by its keyed hash.
func TestClientKeyIssuedHere(t *testing.T) {
	w := &world{T: t, answer: fixed(rest.Answer{Status: 200}, nil)}
	issued := rest.WithAPIKeys(func(text string) (string, bool) { return "the id", text == "issued here" })
	for text, want := range map[string]string{"issued here": "the id", "client": "636c69656e74" + strings.Repeat("0", 20)} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header.Set("Strandline-Api-Key", text)
		w.handler(issued).ServeHTTP(httptest.NewRecorder(), r)
		if got := w.metas[len(w.metas)-1].APIKey; got != want {
			t.Errorf("%s is recorded as %s, want %s", text, got, want)
		}
	}
}

// HEAD is answered as GET would be, without the body.
func TestHead(t *testing.T) {
	streaming := func(context.Context, *rest.Stream) (int, error) { panic("the body of HEAD was asked for") }
	for name, a := range map[string]rest.Answer{
		"a body":   {Status: 200, Body: []byte("body"), Rows: 3},
		"a stream": {Status: 200, Stream: streaming},
	} {
		w := &world{T: t, answer: fixed(a, nil)}
		server := httptest.NewServer(w.handler())
		got, err := http.Head(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		server.Close()
		if got.StatusCode != 200 || got.ContentLength != int64(len(a.Body)) && a.Stream == nil || w.records[0] != (access.Served{}) {
			t.Errorf("%s: %s, %d bytes announced, recorded %+v", name, got.Status, got.ContentLength, w.records)
		}
	}
}

func TestMinPosition(t *testing.T) {
	for text, want := range map[string]error{"a": rest.ErrPosition, "9": nil, "zz": domain.ErrInvalid, "": nil} {
		var refused error
		w := &world{T: t, reached: domain.Position{Commit: 9, Prepare: 9}, answer: func(c *rest.Call) (rest.Answer, error) {
			return rest.Answer{Status: 200}, c.Demands()
		}}
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header.Set("Strandline-Min-Position", text)
		got := w.ask(r)
		if got.Code != 200 {
			refused = errors.New(got.Body.String())
		}
		if (refused == nil) != (want == nil) || want != nil && !strings.HasPrefix(refused.Error(), want.Error()) {
			t.Errorf("min position %q: %v, want %v", text, refused, want)
		}
	}
}

// body is a dialect's answer that reads the body and sends it back.
func body(c *rest.Call) (rest.Answer, error) {
	b, err := c.Body()
	return rest.Answer{Status: 200, Body: bytes.Clone(b)}, err
}

func TestBodies(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000, 1_000_000} {
		for _, announced := range []bool{true, false} {
			w := &world{T: t, answer: body}
			sent := bytes.Repeat([]byte("x"), size)
			r := httptest.NewRequest("POST", "/", bytes.NewReader(sent))
			if !announced {
				r.ContentLength = -1
			}
			got := httptest.NewRecorder()
			w.handler(rest.WithBodyLimit(1_000_000)).ServeHTTP(got, r)
			if !bytes.Equal(got.Body.Bytes(), sent) {
				t.Errorf("%d bytes, announced %v: got %d %.40q", size, announced, got.Body.Len(), got.Body)
			}
		}
	}
}

func TestBodyTooLarge(t *testing.T) {
	for _, announced := range []bool{true, false} {
		w := &world{T: t, answer: body}
		r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 1001)))
		if !announced {
			r.ContentLength = -1
		}
		got := httptest.NewRecorder()
		w.handler(rest.WithBodyLimit(1000)).ServeHTTP(got, r)
		if got.Body.String() != rest.ErrTooLarge.Error() {
			t.Errorf("announced %v: %q", announced, got.Body)
		}
	}
}

// TestInFlight holds as many bytes as are allowed and asks for more: that waits, and is turned away or let in.
func TestInFlight(t *testing.T) {
	const one = 1 << 20
	inside, leave := make(chan struct{}, 4), make(chan struct{})
	w := &world{T: t}
	w.answer = func(c *rest.Call) (rest.Answer, error) {
		if _, err := c.Body(); err != nil {
			return rest.Answer{}, err
		}
		inside <- struct{}{}
		<-leave
		return rest.Answer{Status: 200}, nil
	}
	h := w.handler(rest.WithBodyLimit(one), rest.WithInFlight(3*one, 50*time.Millisecond))
	sized := func(size int) *httptest.ResponseRecorder {
		got := httptest.NewRecorder()
		h.ServeHTTP(got, httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, size))))
		return got
	}
	send := func() *httptest.ResponseRecorder { return sized(one - 2) }
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if got := send(); got.Code != 200 {
				t.Errorf("a body within bounds: %d %s", got.Code, got.Body)
			}
		})
	}
	<-inside
	<-inside
	if got := send(); got.Header().Get("Retry-After") == "" {
		t.Errorf("a body too many: %d %s", got.Code, got.Body)
	}
	all.Go(func() {
		if got := sized(2000); got.Code != 200 {
			t.Errorf("a small body beside large ones: %d %s", got.Code, got.Body)
		}
	})
	<-inside
	close(leave)
	all.Wait()
	if got := send(); got.Code != 200 {
		t.Errorf("afterwards: %d %s", got.Code, got.Body)
	}
}

// TestHeavyBodies works on so many heavy bodies at once that others get their turn.
func TestHeavyBodies(t *testing.T) {
	size, atOnce := 2<<20, max(1, runtime.GOMAXPROCS(0)/2)
	inside, leave := make(chan struct{}, atOnce+2), make(chan struct{})
	w := &world{T: t, answer: func(c *rest.Call) (rest.Answer, error) {
		if _, err := c.Body(); err != nil {
			return rest.Answer{}, err
		}
		inside <- struct{}{}
		<-leave
		return rest.Answer{Status: 200}, nil
	}}
	h := w.handler(rest.WithInFlight(256<<20, 50*time.Millisecond))
	send := func() int {
		got := httptest.NewRecorder()
		h.ServeHTTP(got, httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, size))))
		return got.Code
	}
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			if status := send(); status != 200 {
				t.Errorf("a heavy body: %d", status)
			}
		})
		<-inside
	}
	if status := send(); status != 400 {
		t.Errorf("one too many: %d, want it turned away", status)
	}
	close(leave)
	all.Wait()
	if status := send(); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

// TestSlowClients sends part of a body and then nothing: the request ends in time, with a record.
func TestSlowClients(t *testing.T) {
	w := &world{T: t, answer: body}
	server := httptest.NewServer(w.handler(rest.WithSlowest(50*time.Millisecond, 1<<20)))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"a\":")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	got, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(got), rest.ErrTooSlow.Error()) {
		t.Errorf("got %q, %v", got, err)
	}
	if e, _ := w.only(); e != (access.Refused{Code: "400.refused"}) {
		t.Errorf("recorded %+v", e)
	}
}

// TestBodyThatNobodyReads holds back the body of a request that is refused without looking at it.
func TestBodyThatNobodyReads(t *testing.T) {
	w := &world{T: t, answer: fixed(rest.Answer{Status: 403, Code: "403.no", Body: []byte("no")}, nil)}
	server := httptest.NewServer(w.handler())
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if got, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 403") {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestBuffers makes sure that an answer leaves before its buffer is used again.
func TestBuffers(t *testing.T) {
	w := &world{T: t}
	w.answer = func(c *rest.Call) (rest.Answer, error) {
		return rest.Answer{Status: 200, Pooled: true, Body: append(c.Buffer(), c.Request().URL.Path...)}, nil
	}
	server := httptest.NewServer(w.handler())
	defer server.Close()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 50 {
				path := fmt.Sprintf("/%d-%s", g, strings.Repeat("y", i*100))
				got, err := http.Get(server.URL + path)
				if err != nil {
					t.Error(err)
					return
				}
				text, _ := io.ReadAll(got.Body)
				got.Body.Close()
				if string(text) != path {
					t.Errorf("got %.20q, want %.20q", text, path)
				}
			}
		})
	}
	all.Wait()
}

func TestSwitch(t *testing.T) {
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
	}
	s := rest.Switch{Segments: map[string]http.Handler{"strandline": named("api"), "livez": named("probe")}, Default: named("lamp")}
	for path, want := range map[string]string{
		"/": "lamp", "/researcher": "lamp", "/strandline": "api", "/strandline/v1/x": "api", "/livez": "probe",
		"/strandlines": "lamp", "//strandline": "lamp",
	} {
		got := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		s.ServeHTTP(got, r)
		if got.Body.String() != want {
			t.Errorf("%s goes to %s, want %s", path, got.Body, want)
		}
	}
}

// TestLargeAnswers has clients that do not read what they asked for: there is room for some, and others are told to come
// back. Small answers go out in any case.
func TestLargeAnswers(t *testing.T) {
	size := 1 << 20
	w := &world{T: t}
	w.answer = func(c *rest.Call) (rest.Answer, error) {
		if c.Request().URL.Path == "/small" {
			return rest.Answer{Status: 200, Body: make([]byte, 100)}, nil
		}
		return rest.Answer{Status: 200, Body: make([]byte, size)}, nil
	}
	h := w.handler(rest.WithBodyLimit(1), rest.WithInFlight(int64(4*size), 20*time.Millisecond))
	taken := make(chan struct{})
	var all sync.WaitGroup
	slow := make(chan *unread, 2)
	for range 2 {
		all.Go(func() {
			u := &unread{httptest.NewRecorder(), taken, slow}
			h.ServeHTTP(u, httptest.NewRequest("GET", "/large", nil))
		})
	}
	<-slow
	<-slow
	for path, want := range map[string]int{"/large": 400, "/small": 200} {
		got := httptest.NewRecorder()
		h.ServeHTTP(got, httptest.NewRequest("GET", path, nil))
		if got.Code != want {
			t.Errorf("%s beside answers that nobody takes: %d, want %d", path, got.Code, want)
		}
	}
	close(taken)
	all.Wait()
	got := httptest.NewRecorder()
	if h.ServeHTTP(got, httptest.NewRequest("GET", "/large", nil)); got.Code != 200 {
		t.Errorf("afterwards: %d", got.Code)
	}
}

// unread is a client that takes its answer when it likes.
type unread struct {
	http.ResponseWriter
	taken chan struct{}
	slow  chan *unread
}

func (u *unread) Write(b []byte) (int, error) {
	u.slow <- u
	<-u.taken
	return u.ResponseWriter.Write(b)
}

// TestRetryAfter tells clients when to ask again for what may be there then, and not for what will be no different.
func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{&rest.BusyError{With: "bodies", After: 5500 * time.Millisecond}, []string{"Retry-After", "6"}},
		{fmt.Errorf("append: %w: the event store is away", domain.ErrUnavailable), []string{"Retry-After", "2"}},
		{rest.ErrUnrecorded, []string{"Retry-After", "2"}},
		{context.DeadlineExceeded, []string{"Retry-After", "2"}},
		{domain.ErrRejected, nil},
	} {
		if got := rest.RetryAfter(tt.err); !slices.Equal(got, tt.want) {
			t.Errorf("RetryAfter(%v) = %q; want %q", tt.err, got, tt.want)
		}
	}
}
