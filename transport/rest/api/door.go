package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/readmodels/directory"
	"strandline/transport/rest"
)

// Bus is what the dialect asks of commands.Bus.
type Bus interface {
	Permit(p commands.Principal, verb policy.Verb, object policy.Object) (commands.Permit, error)
	Do(ctx context.Context, permit commands.Permit, meta commands.Meta, cmd domain.Command) (commands.Receipt, error)
	Earlier(ctx context.Context, meta commands.Meta, cmd domain.Command) (commands.Receipt, bool, error)
	IDs(meta commands.Meta) io.Reader
}

// Log is what the dialect asks of an event store.
type Log interface {
	ReadAll(ctx context.Context, from domain.Position, limit int, direction commands.Direction) iter.Seq2[domain.Record, error]
	ReadStream(ctx context.Context, stream string, from uint64, limit int, direction commands.Direction) iter.Seq2[domain.Record, error]
	Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error]
}

// Decoder opens and decodes records, those that are in parts too.
type Decoder interface {
	Decode(ctx context.Context, r domain.Record) (domain.Recorded, error)
}

// SignIn finds out who is calling. It is a signin.Checker.
type SignIn interface {
	// Authenticate tells the call who makes it. Errors are those of signin.
	Authenticate(c *rest.Call) error
}

// Projections is what the dialect asks of the projections' runner.
type Projections interface {
	// Status tells how far each projection is, ordered by name.
	Status(ctx context.Context) ([]Projection, error)
	// Parked lists the events that a projection does not hold, in their order. An unknown name is domain.ErrNotFound.
	Parked(ctx context.Context, name string) ([]Parked, error)
	// Rebuild begins to make a projection again, beside the one that serves, without what has been decided to be left out.
	// An unknown name is domain.ErrNotFound. One that is being rebuilt already is domain.ErrRejected, and is rebuilt once
	// more afterwards.
	Rebuild(name string) error
	// Revert begins to bring the build that served before up to date, to let it serve again. The errors are those of
	// Rebuild; a projection that is being rebuilt already is not reverted.
	Revert(name string) error
}

// Parts are what a Door is made of.
type Parts struct {
	Bus         Bus
	Log         Log
	Decoder     Decoder
	SignIn      SignIn
	Projections Projections
	Audit       Audit
	Series      Series
	Documents   Documents
	Directory   *directory.Directory
	Services    func() []Service // that make up the installation
	Keys        rest.Hasher
	Backups     Backups
}

// mostStreams bounds how many streams of events are open at a time.
const mostStreams = 64

// Door is the dialect: a rest.Dialect.
type Door struct {
	Parts
	router  *mux.Router
	routes  map[*mux.Route]route
	about   []byte      // the OpenAPI document
	manual  func() page // the same for people, made when somebody first asks for it
	streams chan struct{}
	pulse   time.Duration // between signs of life in answers that go on
	trust   time.Duration // for which a long answer relies on what its caller was allowed
	scan    int           // rows that are looked at for one page, whoever may see them
	closing chan struct{}
	stop    sync.Once
}

// New returns the dialect over its parts.
func New(parts Parts) *Door {
	d := &Door{
		Parts: parts, router: mux.NewRouter().SkipClean(true).UseEncodedPath(), routes: map[*mux.Route]route{},
		streams: make(chan struct{}, mostStreams), pulse: 15 * time.Second, trust: time.Second, scan: longestScan, closing: make(chan struct{}),
	}
	all := table()
	described := newDocument(all)
	d.about, d.manual = described.text(), sync.OnceValue(func() page { return newManual(all, described) })
	for _, r := range all {
		methods := []string{r.method}
		if r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		d.routes[d.router.NewRoute().Methods(methods...).Path(r.path)] = r
	}
	return d
}

// Stop ends all streams, so that the server can stop.
func (d *Door) Stop() { d.stop.Do(func() { close(d.closing) }) }

// Name implements rest.Dialect.
func (d *Door) Name() string { return "api" }

// call is one request on its way.
type call struct {
	*rest.Call
	*Door
	vars   map[string]string
	query  query
	media  string          // of the answer, as the caller likes it best
	verb   policy.Verb     // the route's
	object policy.Object   // whom it is asked of
	permit commands.Permit // for the route's verb, on the route's object
	wrong  error           // in the body, where that says whom the verb is asked of
	add    *addition       // the body, where it has been read for that
	gone   error           // set where what is asked for is not there, but may have been when the same request came before
	may    map[demand]bool // what the caller is allowed, as far as asked
}

// Answer implements rest.Dialect.
func (d *Door) Answer(c *rest.Call) (rest.Answer, error) {
	found, vars, err := d.route(c)
	if err != nil {
		return rest.Answer{}, err
	}
	c.Meta.Details.Route = found.path
	c.Meta.Details.Status = cmp.Or(found.operation.status, http.StatusOK) // as a command's events have it, which come before the answer
	if !found.open() || c.Request().Header.Get("Authorization") != "" {
		if err := d.SignIn.Authenticate(c); err != nil {
			return rest.Answer{}, err
		}
	}
	if err := c.Demands(); err != nil {
		return rest.Answer{}, err
	}
	in := &call{Call: c, Door: d, vars: vars}
	if err := in.understand(found); err != nil {
		return rest.Answer{}, err
	}
	return found.handle(in)
}

// longestPath bounds what the router looks at, in bytes: its work grows with the length of a path.
const longestPath = 4096

// route finds the route of a request and what its path says.
func (d *Door) route(c *rest.Call) (route, map[string]string, error) {
	u := c.Request().URL
	if len(u.Path) > longestPath || len(u.RawPath) > longestPath {
		return route{}, nil, rest.ErrNoSuchRoute
	}
	var match mux.RouteMatch
	if !d.router.Match(c.Request(), &match) {
		return route{}, nil, d.otherwise(c)
	}
	for name, text := range match.Vars {
		plain, err := url.PathUnescape(text)
		if err != nil || !utf8.ValidString(plain) {
			return route{}, nil, rest.ErrNoSuchRoute
		}
		match.Vars[name] = plain
	}
	return d.routes[match.Route], match.Vars, nil
}

// methods are all that routes have.
var methods = []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}

// errMethod says that a path is there, but not for the method.
var errMethod = fmt.Errorf("%w: there is no such method", domain.ErrInvalid)

// methodError is errMethod with the methods that there are.
type methodError struct{ allow []string }

func (e *methodError) Error() string {
	return errMethod.Error() + ", but " + strings.Join(e.allow, ", ")
}

func (e *methodError) Unwrap() error { return errMethod }

// otherwise says why no route matches: there is none, or none for this method. The record has the path's template.
func (d *Door) otherwise(c *rest.Call) error {
	var allow []string
	for _, method := range methods {
		asked, match := *c.Request(), mux.RouteMatch{}
		asked.Method = method
		if d.router.Match(&asked, &match) {
			allow, c.Meta.Details.Route = append(allow, method), d.routes[match.Route].path
		}
	}
	if len(allow) == 0 {
		return rest.ErrNoSuchRoute
	}
	return &methodError{allow}
}

// understand reads what is asked for and makes sure that it may be.
func (c *call) understand(found route) (err error) {
	r := c.Request()
	if c.query, err = readQuery(r.URL.RawQuery, found.operation.query); err != nil {
		return err
	}
	if c.media, err = negotiate(r.Header.Get("Accept"), found.operation.offers()); err != nil {
		return err
	}
	if found.operation.body == nil {
		if err := c.saysNothing(); err != nil {
			return err
		}
	}
	object := found.on(c)
	if c.wrong != nil {
		return c.wrong
	}
	c.verb, c.object = found.verb, object
	c.Meta.Details.Object = object.ID
	c.permit, err = c.Bus.Permit(c.Meta.Principal, found.verb, object)
	if found.again && errors.Is(err, domain.ErrNotFound) && c.Meta.IdempotencyKey != "" {
		c.gone, err = err, nil
	}
	return err
}

// saysNothing makes sure that no command is sent what it would not listen to: who names in a body what to discard must not
// have everything discarded. Elsewhere a body says nothing, but belongs to what an idempotency key stands for.
func (c *call) saysNothing() error {
	if c.Request().Method != http.MethodPost && c.Meta.IdempotencyKey == "" {
		return nil
	}
	body, err := c.Body()
	if err != nil || c.Request().Method != http.MethodPost {
		return err
	}
	switch string(bytes.TrimSpace(body)) {
	case "", "{}", "null":
		return nil
	}
	return fmt.Errorf("%w: this route takes no body; what it is to know stands in its path and query", domain.ErrInvalid)
}

// carryOut gives a command to the bus. Where what it is about is gone, it finds out what came of it when the same request
// came before (decision 8).
func (c *call) carryOut(cmd domain.Command) (commands.Receipt, error) {
	if c.gone == nil {
		return c.Bus.Do(c.Lasting(), c.permit, c.Meta, cmd)
	}
	receipt, found, err := c.Bus.Earlier(c.Lasting(), c.Meta, cmd)
	if err == nil && !found {
		err = c.gone
	}
	return receipt, err
}

// untilStop ends with ctx, or when the dialect is stopped.
func (d *Door) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-d.closing:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
