package api

import (
	"context"
	"iter"
	"net/http"
	"sync"

	"github.com/gorilla/mux"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// Bus is what the dialect asks of commands.Bus.
type Bus interface {
	Permit(p commands.Principal, verb policy.Verb, object policy.Object) (commands.Permit, error)
}

// Log is what the dialect asks of an event store.
type Log interface {
	ReadAll(ctx context.Context, from domain.Position, limit int, direction commands.Direction) iter.Seq2[domain.Record, error]
	Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error]
}

// Decoder opens and decodes records, those that are in parts too.
type Decoder interface {
	Decode(ctx context.Context, r domain.Record) (domain.Recorded, error)
}

// SignIn finds out who is calling. It is a signin.Checker.
type SignIn interface {
	Check(ctx context.Context, at domain.Position, address, accessKey, secret string) (commands.Principal, error)
}

// Projections is what the dialect asks of the projections' runner.
type Projections interface {
	// Status tells how far each projection is, ordered by name.
	Status(ctx context.Context) ([]Projection, error)
	// Rebuild begins to make a projection again, beside the one that serves. Unknown names are domain.ErrNotFound; one
	// that is being rebuilt already is domain.ErrRejected.
	Rebuild(name string) error
}

// Parts are what a Door is made of.
type Parts struct {
	Bus         Bus
	Log         Log
	Decoder     Decoder
	SignIn      SignIn
	Projections Projections
}

// mostStreams bounds how many streams of events are open at a time.
const mostStreams = 64

// Door is the dialect: a rest.Dialect.
type Door struct {
	Parts
	router  *mux.Router
	routes  map[*mux.Route]route
	streams chan struct{}
	closing chan struct{}
	stop    sync.Once
}

// New returns the dialect over its parts.
func New(parts Parts) *Door {
	d := &Door{
		Parts: parts, router: mux.NewRouter().SkipClean(true).UseEncodedPath(), routes: map[*mux.Route]route{},
		streams: make(chan struct{}, mostStreams), closing: make(chan struct{}),
	}
	for _, r := range table() {
		d.routes[d.router.NewRoute().Methods(r.method).Path(r.path)] = r
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
	vars       map[string]string
	permit     commands.Permit        // for the route's verb, on the route's object
	everything *bool                  // whether the caller may open all events, nil until somebody asks
	may        map[policy.Object]bool // which objects' events the caller may open, as far as asked
}

// Answer implements rest.Dialect.
func (d *Door) Answer(c *rest.Call) (_ rest.Answer, err error) {
	var match mux.RouteMatch
	if !d.router.Match(c.Request(), &match) || match.MatchErr != nil {
		return rest.Answer{}, rest.ErrNoSuchRoute
	}
	found := d.routes[match.Route]
	c.Meta.Details.Route = found.path
	if err := d.authenticate(c); err != nil {
		return rest.Answer{}, err
	}
	if err := c.Demands(); err != nil {
		return rest.Answer{}, err
	}
	asked := &call{Call: c, Door: d, vars: match.Vars}
	if asked.permit, err = d.Bus.Permit(c.Meta.Principal, found.verb, found.on(asked)); err != nil {
		return rest.Answer{}, err
	}
	return found.handle(asked)
}

func (d *Door) authenticate(c *rest.Call) error {
	accessKey, secret, err := signin.Basic(c.Request().Header.Get("Authorization"))
	if err != nil {
		return err
	}
	ctx, stop := c.Waiting()
	defer stop()
	principal, err := d.SignIn.Check(ctx, c.Arrival, c.Meta.Details.Address, accessKey, secret)
	if err != nil {
		c.Attempted = accessKey
		return err
	}
	c.Meta.Principal = principal
	return nil
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

// served is the answer that everything went as asked.
func served(body []byte, rows int) rest.Answer {
	return rest.Answer{Status: http.StatusOK, Body: body, Rows: rows}
}
