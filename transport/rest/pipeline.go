package rest

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
)

// Dialect is one outside vocabulary.
type Dialect interface {
	// Name is the dialect's name in the record.
	Name() string
	// Answer does what a request asks for. An error is worded by Refuse.
	Answer(c *Call) (Answer, error)
	// Refuse words an error. It must not fail, whatever the error is.
	Refuse(c *Call, err error) Answer
}

// Answer is what a client gets to see, and what the record says of it.
type Answer struct {
	Status  int
	Body    []byte
	Code    string   // the dialect's error code, empty if the request was served
	Rows    int      // objects or observations shown
	Quiet   bool     // a command that found nothing to do
	Pooled  bool     // Body was built in the call's Buffer
	Headers []string // names and values in turn, beyond those that every answer has

	// Stream, unless it is nil, writes the body in place of Body, until ctx ends, and returns how many rows it showed.
	Stream func(ctx context.Context, to *Stream) (rows int, err error)
}

// Recorder puts a request on the record that left no events of its own. It is a commands.Bus.
type Recorder interface {
	Record(ctx context.Context, meta commands.Meta, e domain.Event) (domain.Position, error)
}

// Head tells where the store ends. It is an event store.
type Head interface {
	Head(ctx context.Context) (domain.Position, error)
}

// Waiter is a read model that can be waited for.
type Waiter interface {
	Wait(ctx context.Context, position domain.Position) error
}

// Hasher makes keyed hashes. It is a commands.Keys.
type Hasher interface {
	Hash(purpose, text string) [32]byte
}

// Pipeline carries requests from net/http to dialects and answers back.
type Pipeline struct {
	recorder  Recorder
	store     Head
	directory Waiter
	keys      Hasher
	known     func(apiKey string) (id string, ok bool)
	log       *slog.Logger
	patience  time.Duration
	bodies    reader
	inFlight  int64
	queue     time.Duration
	answers   sync.Pool // of *[]byte
	observer  Observer
	tracer    Tracer // nil for none
	clock     func() time.Time
	burst     int // see WithFlood
	total     int
	floods    *floods
	leaving   *budget // large answers on their way to clients
}

// Option changes a default of a Pipeline.
type Option func(*Pipeline)

// WithBodyLimit bounds one body. The default is 50 MB.
func WithBodyLimit(bytes int64) Option { return func(p *Pipeline) { p.bodies.limit = bytes } }

// WithInFlight bounds the bodies of all requests in memory together, a quarter of it for small ones, and how long a
// request queues for room before it is turned away: at least half of that. The default is 128 MiB and 5 s. Half as much
// again is for large answers that clients have not taken yet.
func WithInFlight(bytes int64, queue time.Duration) Option {
	return func(p *Pipeline) { p.inFlight, p.queue = bytes, queue }
}

// WithSlowest cuts clients off that send or take slower: grace is what a body of any size has, least the bytes a second
// to be reached after it. The default is 10 s and 32 KiB/s.
func WithSlowest(grace time.Duration, least int64) Option {
	return func(p *Pipeline) { p.bodies.grace, p.bodies.least = grace, least }
}

// WithPatience sets how long a reply waits for read models. The default is 2 s.
func WithPatience(d time.Duration) Option { return func(p *Pipeline) { p.patience = d } }

// WithFlood sets how many requests a second of nobody known have a record each, from one source and from all together.
// Further ones are counted, in one record for each source and second (decision 10). The default is 50 and 500.
func WithFlood(source, all int) Option { return func(p *Pipeline) { p.burst, p.total = source, all } }

// WithClock sets the clock that tells one second from the next. The default is time.Now.
func WithClock(now func() time.Time) Option { return func(p *Pipeline) { p.clock = now } }

// WithAPIKeys sets how an API key is found that was issued here, by its text. The default knows none.
func WithAPIKeys(find func(text string) (id string, ok bool)) Option {
	return func(p *Pipeline) { p.known = find }
}

// WithLogger sets where failures of the server are logged. The default is slog.Default.
func WithLogger(l *slog.Logger) Option { return func(p *Pipeline) { p.log = l } }

// NewPipeline returns a Pipeline. Several dialects can share one, and should: its bounds are for all together.
func NewPipeline(recorder Recorder, store Head, directory Waiter, keys Hasher, options ...Option) *Pipeline {
	p := &Pipeline{
		recorder: recorder, store: store, directory: directory, keys: keys,
		log: slog.Default(), patience: 2 * time.Second, inFlight: 128 << 20, queue: 5 * time.Second, observer: nobody{},
		bodies: reader{limit: 50_000_000, least: 32 << 10, grace: 10 * time.Second},
		known:  func(string) (string, bool) { return "", false },
		clock:  time.Now, burst: 50, total: 500,
	}
	for _, o := range options {
		o(p)
	}
	p.inFlight = max(p.inFlight, 2*p.bodies.limit)
	p.bodies.small = newBudget(max(p.inFlight/4, smallBody), p.queue)
	p.bodies.large = newBudget(max(p.inFlight-p.inFlight/4, p.bodies.limit+1, keptBuffer), p.queue)
	p.bodies.spare.most = p.bodies.large.total
	p.bodies.pace = newPace(p.bodies.limit)
	p.bodies.heavy = newBudget(heavyAtOnce(), p.queue)
	p.leaving = newBudget(p.inFlight/2, p.queue)
	p.floods = newFloods(recorder, p.clock, p.log, p.burst, p.total)
	return p
}

// Close puts on the record what has been counted of a flood. Call it when no more requests come.
func (p *Pipeline) Close() { p.floods.close() }

// Handler serves one dialect.
func (p *Pipeline) Handler(d Dialect) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header(), r.TLS != nil)
		if r.Method == http.MethodOptions {
			preflight(w)
			return
		}
		p.serve(p.call(w, r, d.Name()), d)
	})
}

// serve answers a call, while the observer looks on.
func (p *Pipeline) serve(c *Call, d Dialect) {
	defer c.body.release()
	defer func() { p.leaving.put(c.leaving) }()
	seen := Seen{Request: c.Meta.Request, Dialect: d.Name(), Method: method(c.request.Method), Status: http.StatusInternalServerError}
	came := time.Now()
	if size := c.request.ContentLength; size >= 0 && size <= smallBody {
		p.bodies.pace.somebody(came)
	}
	p.observer.Came()
	defer func() { p.observer.Left(seen) }()
	answered := p.begin(c, came, seen)
	a := p.answer(c, d)
	if err := p.room(c, a); err != nil {
		a = d.Refuse(c, err)
	}
	a = p.onRecord(c, d, a)
	seen.Request = c.Meta.Request // of a flood, that of the count
	seen.Route, seen.Status, seen.Took = c.Meta.Details.Route, a.Status, time.Since(came)
	answered(seen)
	p.send(c, a)
	p.logged(c, seen)
}

func (p *Pipeline) call(w http.ResponseWriter, r *http.Request, dialect string) *Call {
	return &Call{
		Meta: commands.Meta{
			Principal: commands.Principal{Anonymous: true},
			Request:   domain.ID(uuid.Must(uuid.NewV7())), // fails only where the machine has no randomness left
			Dialect:   dialect,
			Details: domain.Request{
				Address: address(r),
				Agent:   clip(printable(r.UserAgent()), longestAgent),
				Method:  clip(r.Method, 16),
				Status:  http.StatusOK,
			},
		},
		request: r, writer: w, pipeline: p,
	}
}

// answer asks the dialect. A panic ends the request, not the server.
func (p *Pipeline) answer(c *Call, d Dialect) (a Answer) {
	defer func() {
		if v := recover(); v != nil {
			p.log.Error("a request made the server panic", "request", c.Meta.Request.String(),
				"route", c.Meta.Details.Route, "panic", v, "stack", string(debug.Stack()))
			a = d.Refuse(c, ErrInternal)
		}
	}()
	a, err := p.ask(c, d)
	if err != nil {
		p.complain(c, err)
		return d.Refuse(c, err)
	}
	if c.request.Method == http.MethodHead {
		a.Rows = 0 // net/http keeps the body back
	}
	return a
}

func (p *Pipeline) ask(c *Call, d Dialect) (Answer, error) {
	head, err := p.store.Head(c.Context())
	if err != nil {
		return Answer{}, errors.Join(domain.ErrUnavailable, err)
	}
	c.Arrival = head
	c.senseless = c.understand()
	return d.Answer(c)
}

// complain logs an error that is the server's own, which are those of no kind.
func (p *Pipeline) complain(c *Call, err error) {
	for _, kind := range []error{domain.ErrInvalid, domain.ErrForbidden, domain.ErrNotFound, domain.ErrRejected} {
		if errors.Is(err, kind) {
			return
		}
	}
	var busy *BusyError
	if errors.As(err, &busy) || c.Context().Err() != nil {
		return
	}
	p.log.Error("a request failed", "request", c.Meta.Request.String(), "route", c.Meta.Details.Route, "error", err)
}

// room claims room for an answer that is large, until the client has taken it. Those who read slowly share what there is
// for all of them.
func (p *Pipeline) room(c *Call, a Answer) error {
	size := min(int64(len(a.Body)), p.leaving.total)
	if size <= smallBody || c.recorded { // what has happened is told in any case
		return nil
	}
	if err := p.leaving.take(c.Context(), size); err != nil {
		c.answer = nil // large as it is
		return err
	}
	c.leaving = size
	return nil
}

// onRecord makes sure that the request is on the record before it is answered. What cannot be recorded is not served.
func (p *Pipeline) onRecord(c *Call, d Dialect, a Answer) Answer {
	if c.recorded {
		return a
	}
	c.Meta.Details.Status = a.Status
	if c.Meta.Anonymous && a.Stream == nil && p.floods.count(c, a) {
		return a
	}
	c.Meta.Remember = a.Quiet && a.Code == "" && !c.repeated && c.Meta.IdempotencyKey != ""
	_, err := p.recorder.Record(c.Lasting(), c.Meta, p.access(c, a))
	var mismatch *commands.IdempotencyMismatchError
	if errors.As(err, &mismatch) {
		return p.onRecord(c, d, d.Refuse(c, err))
	}
	if err != nil {
		p.log.Error("a request could not be recorded", "request", c.Meta.Request.String(), "error", err)
		return d.Refuse(c, ErrUnrecorded)
	}
	return a
}

func (p *Pipeline) access(c *Call, a Answer) domain.Event {
	switch {
	case a.Code != "" && c.Attempted != "":
		sum := p.keys.Hash("attempted-access-key", c.Attempted)
		return access.Refused{Code: a.Code, Attempted: hex.EncodeToString(sum[:])}
	case a.Code != "":
		return access.Refused{Code: a.Code}
	case a.Quiet:
		return access.Served{Rows: a.Rows, Outcome: access.OutcomeQuiet}
	}
	return access.Served{Rows: a.Rows}
}

// send writes the answer: in one piece, unless it is a stream.
func (p *Pipeline) send(c *Call, a Answer) {
	if a.Stream != nil {
		p.stream(c, a)
		return
	}
	p.head(c, a)
	if a.Status != http.StatusNotModified { // which tells nothing of the body that there would have been
		c.writer.Header()["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	}
	c.deadlines(len(a.Body))
	c.writer.WriteHeader(a.Status)
	_, _ = c.writer.Write(a.Body) // the client has gone away: it is on the record that it was answered
	p.giveBack(c, a)
}

// head sets the headers of an answer.
func (p *Pipeline) head(c *Call, a Answer) {
	h := c.writer.Header()
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = jsonContent
	}
	if c.request.ProtoMajor == 1 && len(c.request.TransferEncoding) > 0 {
		h["Connection"] = closing
	}
	h[headerRequest] = []string{c.Meta.Request.String()}
	if !c.known && a.Status < http.StatusInternalServerError { // what depends on nothing, or on the directory, which has been waited for
		c.ReadFrom(c.Arrival)
	}
	if c.known {
		h[headerPosition] = []string{c.position.String()}
	}
	for i := 0; i+1 < len(a.Headers); i += 2 {
		h.Set(a.Headers[i], a.Headers[i+1])
	}
}

func (p *Pipeline) borrowAnswer() *[]byte {
	if b, ok := p.answers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 1<<10)
	return &b
}

// giveBack keeps the buffer of an answer for the next, if the dialect asked for one.
func (p *Pipeline) giveBack(c *Call, a Answer) {
	if c.answer == nil {
		return
	}
	if a.Pooled {
		*c.answer = a.Body
	}
	if cap(*c.answer) <= keptBuffer {
		p.answers.Put(c.answer)
	}
	c.answer = nil
}

// soon is when to ask again for what cannot be done now: what is away comes back, if it does, at any moment.
const soon = 2 * time.Second

// RetryAfter is the header that tells when to ask again, if that may help against err.
func RetryAfter(err error) []string {
	var busy *BusyError
	after := soon
	switch {
	case errors.As(err, &busy):
		after = busy.After
	case !errors.Is(err, domain.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded):
		return nil
	}
	seconds := max(1, int(math.Ceil(after.Seconds())))
	return []string{"Retry-After", strconv.Itoa(seconds)}
}
