package lamp

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"

	"github.com/gorilla/mux"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/registry"
	"strandline/readmodels/directory"
	"strandline/readmodels/documents"
	"strandline/readmodels/series"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// Documents is what the dialect asks of readmodels/documents.
type Documents interface {
	readModel
	Get(ctx context.Context, kind registry.Kind, ids ...string) ([]documents.Document, error)
	Attachments(ctx context.Context, owners, targets []string, key string) ([]documents.Attachment, error)
	AttachmentKeys(ctx context.Context, owners, targets []string) ([]documents.Attachment, error)
}

// Series is what the dialect asks of readmodels/series.
type Series interface {
	readModel
	Each(ctx context.Context, q series.Query) iter.Seq2[series.Sample, error]
}

// readModel is what all read models have in common.
type readModel interface {
	Wait(ctx context.Context, position domain.Position) error
	Checkpoint() domain.Position
}

// Parts are what a Door is made of.
type Parts struct {
	Bus       *commands.Bus
	Keys      rest.Hasher
	Directory *directory.Directory
	Documents Documents
	Series    Series
	SignIn    *signin.Checker
}

// Door is the dialect: a rest.Dialect.
type Door struct {
	Parts
	router *mux.Router
	routes map[*mux.Route]*route
	about  []byte // the OpenAPI document

	backlog backlog // of observations
}

// New returns the dialect over its parts.
func New(parts Parts) *Door {
	d := &Door{Parts: parts, router: mux.NewRouter().SkipClean(true).UseEncodedPath(), routes: map[*mux.Route]*route{}}
	for _, r := range table() {
		r.shown = r.template()
		methods := []string{r.method}
		if r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		d.routes[d.router.NewRoute().Methods(methods...).Path(r.path)] = r
	}
	d.about = describe(table())
	return d
}

// Name implements rest.Dialect.
func (d *Door) Name() string { return "lamp" }

// call is one request on its way: what the path named, and the permit for it.
type call struct {
	*rest.Call
	*Door
	vars   map[string]string
	id     string          // the object that the path names, empty for the installation
	object registry.Object // the same as the directory knows it; zero for the installation and for specifications
	asked  policy.Object   // what the path names, there or not
	permit commands.Permit
	gone   error // set where what is asked for is not there, but may have been when the same request came before
	told   bool  // what came of it then is known
}

// Answer implements rest.Dialect.
func (d *Door) Answer(c *rest.Call) (rest.Answer, error) {
	found, vars := d.route(c.Request())
	if found == nil {
		return rest.Answer{}, rest.ErrNoSuchRoute
	}
	c.Meta.Details.Route = found.shown
	if !found.open {
		if err := d.SignIn.Authenticate(c); err != nil {
			return rest.Answer{}, err
		}
	}
	if err := c.Demands(); err != nil {
		return rest.Answer{}, err
	}
	in := &call{Call: c, Door: d, vars: vars}
	if err := in.resolve(found); err != nil {
		return rest.Answer{}, err
	}
	return in.again(found.handle(in))
}

// longestPath bounds what the router looks at, in bytes: its work grows with the length of a path.
const longestPath = 4096

// route finds the route of a request and what its path says; nil if there is none. The router only matches: calling
// its handlers would copy the request.
func (d *Door) route(r *http.Request) (*route, map[string]string) {
	var match mux.RouteMatch
	if len(r.URL.Path) > longestPath || len(r.URL.RawPath) > longestPath {
		return nil, nil
	}
	if !d.router.Match(r, &match) || match.MatchErr != nil {
		return nil, nil
	}
	for name, value := range match.Vars {
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil, nil
		}
		match.Vars[name] = plain
	}
	return d.routes[match.Route], match.Vars
}

// do carries out a command and waits until the next read sees what it did. Nobody waits for a read model that stands
// still: its events are on disk, and readyz names it.
func (c *call) do(cmd domain.Command, models ...rest.Waiter) (rest.Answer, error) {
	receipt, err := c.carryOut(cmd)
	if err != nil {
		return rest.Answer{}, err
	}
	return c.done(receipt, models...), nil
}

// done is the answer to a command that worked.
func (c *call) done(receipt commands.Receipt, models ...rest.Waiter) rest.Answer {
	c.Happened(receipt)
	c.await(receipt.Position, models...)
	return rest.Answer{Status: 200, Body: nothing, Quiet: !receipt.Changed}
}

// nothing is the answer of commands that return nothing.
var nothing = []byte(`{"data":{}}`)

// await waits a bounded time until each model has reached a position.
func (c *call) await(position domain.Position, models ...rest.Waiter) {
	ctx, stop := c.Waiting()
	defer stop()
	for _, m := range models {
		_ = m.Wait(ctx, position) // late is not lost
	}
}

// ready waits until the read models have seen all that had happened when the request came, and says up to where the
// answer knows what happened.
func (c *call) ready(models ...readModel) {
	ctx, stop := c.Waiting()
	defer stop()
	at := make([]domain.Position, 0, 2)
	for _, m := range models {
		_ = m.Wait(ctx, c.Arrival) // a read model that stands still answers with what it has, and tells up to where
		at = append(at, m.Checkpoint())
	}
	c.ReadFrom(slices.MinFunc(at, domain.Position.Compare))
}
