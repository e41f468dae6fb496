package api

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/rawjson"
	"strandline/domain/registry"
	"strandline/readmodels/directory"
	"strandline/readmodels/documents"
	"strandline/transport/rest"
)

// Documents is what the dialect asks of readmodels/documents.
type Documents interface {
	readModel
	Get(ctx context.Context, kind registry.Kind, ids ...string) ([]documents.Document, error)
}

// documentKind is what the routes of one kind of document need to know.
type documentKind struct {
	kind, parent                 registry.Kind // parent is empty for what stands below the installation
	view, create, update, remove policy.Verb
}

var documentKinds = []documentKind{
	{registry.Researcher, "", policy.ResearcherView, policy.ResearcherCreate, policy.ResearcherUpdate, policy.ResearcherDelete},
	{registry.Study, registry.Researcher, policy.StudyView, policy.StudyCreate, policy.StudyUpdate, policy.StudyDelete},
	{registry.Participant, registry.Study, policy.ParticipantView, policy.ParticipantCreate, policy.ParticipantUpdate, policy.ParticipantDelete},
	{registry.Activity, registry.Study, policy.ActivityView, policy.ActivityCreate, policy.ActivityUpdate, policy.ActivityDelete},
	{registry.Sensor, registry.Study, policy.SensorView, policy.SensorCreate, policy.SensorUpdate, policy.SensorDelete},
	{registry.ActivitySpec, "", policy.SpecView, policy.SpecCreate, policy.SpecUpdate, policy.SpecDelete},
	{registry.SensorSpec, "", policy.SpecView, policy.SpecCreate, policy.SpecUpdate, policy.SpecDelete},
}

const documentsPath = "/strandline/v1/documents/"

func documentRoutes() (routes []route) {
	for _, k := range documentKinds {
		routes = append(routes, k.routes()...)
	}
	return routes
}

// routes are those of one kind. Each has a path of its own, so that each has a verb of its own.
func (k documentKind) routes() []route {
	all := documentsPath + string(k.kind)
	one := all + "/{id}"
	ifMatch := []parameter{{"If-Match", "string", "only if the document still has this ETag"}}
	named := strings.ReplaceAll(string(k.kind), "_", " ")
	a := "a " + named
	if strings.HasPrefix(named, "a") {
		a = "an " + named
	}
	return []route{
		// Whoever has signed in may ask: which documents it gets to see is asked for each.
		{method: "GET", path: all, verb: policy.OwnList, handle: k.list, operation: operation{
			summary: "The " + named + " documents that the caller may see, in the order of their coming",
			query: []parameter{
				{"parent", "string", "only those directly below this object"},
				{"id", "texts", "only this one; it may be given several times"},
				{"after", "string", "go on after this place: next of the page before"},
				{"limit", "integer", "at most so many documents"},
			},
			answer: documentPage{}, lines: entity{},
		}},
		{method: "POST", path: all, verb: k.create, object: k.parentOf, again: true, handle: k.add, operation: operation{
			summary: "Add " + a, body: addition{}, answer: entity{}, status: http.StatusCreated, also: []int{http.StatusAccepted},
		}},
		{method: "GET", path: one, verb: k.view, object: k.named, handle: k.show, operation: operation{
			summary: "One " + named + " document, with its ETag", answer: entity{}, also: []int{http.StatusNotModified},
			headers: []parameter{{"If-None-Match", "string", "not if the document still has this ETag"}},
		}},
		{method: "PUT", path: one, verb: k.update, object: k.named, again: true, handle: k.revise, operation: operation{
			summary: "Give attributes of " + a + " new values",
			about:   "What is not named stays as it is. The attributes may also stand in a member body, as they do in the answer.",
			headers: ifMatch, body: map[string]json.RawMessage{}, answer: entity{}, also: []int{http.StatusAccepted},
		}},
		{method: "DELETE", path: one, verb: k.remove, object: k.named, again: true, handle: k.take, operation: operation{
			summary: "Remove " + a + ", with all that stands below it", headers: ifMatch, answer: accepted{}, also: []int{http.StatusAccepted},
		}},
	}
}

// entity is a document as clients see it.
type entity struct {
	Kind     registry.Kind   `json:"kind"`
	ID       string          `json:"id" about:"of a specification its name"`
	Parent   string          `json:"parent,omitempty"`
	Created  domain.Position `json:"created" about:"of the event that brought it into being"`
	Revised  domain.Position `json:"revised" about:"of the event that changed it last"`
	Revision uint64          `json:"revision" about:"of that event in its stream"`
	Body     json.RawMessage `json:"body" about:"its attributes, each as it was sent"`
}

// documentPage is one page of documents.
type documentPage struct {
	Documents []entity `json:"documents"`
	Next      *string  `json:"next" about:"to be given as after, for the page that follows; null where there is nothing left"`
	End       bool     `json:"end" about:"there was nothing more when the request came; later there may be"`
}

// addition is what a new document is made of.
type addition struct {
	ID     string          `json:"id,omitempty" about:"the name of a specification; other ids are drawn here"`
	Parent string          `json:"parent,omitempty" about:"the object that it is to stand below, if its kind stands below one"`
	Body   json.RawMessage `json:"body,omitempty" about:"its attributes, an object"`
}

// accepted tells where in the log a change is: it is on disk, and what is asked later will show it.
type accepted struct {
	Position domain.Position `json:"position,omitzero" about:"left out where there was nothing to do"`
}

// named is the document that the path names.
func (k documentKind) named(c *call) policy.Object {
	return policy.Object{Kind: k.kind, ID: c.vars["id"]}
}

// parentOf is the object that the body names as the parent of what is to be added.
func (k documentKind) parentOf(c *call) policy.Object {
	add := &addition{}
	if c.wrong = c.sent(add); c.wrong != nil {
		return policy.Object{}
	}
	if (add.Parent == "") != (k.parent == "") {
		c.wrong = fmt.Errorf("%w: parent is the id of the %s above the %s", domain.ErrInvalid, k.parent, k.kind)
		if k.parent == "" {
			c.wrong = fmt.Errorf("%w: no %s has a parent", domain.ErrInvalid, k.kind)
		}
		return policy.Object{}
	}
	if c.add = add; k.parent == "" {
		return policy.Object{}
	}
	return policy.Object{Kind: k.parent, ID: add.Parent}
}

// isSpec tells the kinds whose ids are names that clients choose.
func (k documentKind) isSpec() bool {
	return k.kind == registry.ActivitySpec || k.kind == registry.SensorSpec
}

// key is what stands for a document in the name of its stream.
func (k documentKind) key(c *call, id string) string {
	if k.isSpec() {
		return rest.SpecKey(c.Keys, id)
	}
	return id
}

// list answers with the documents that the caller may see: as a page, or as lines of JSON.
func (k documentKind) list(c *call) (rest.Answer, error) {
	after, err := readPlace(c.query.text("after"))
	if err != nil {
		return rest.Answer{}, err
	}
	c.ready(c.Documents)
	if c.media == mediaLines {
		return c.lines(func(ctx context.Context, w *lineWriter) error { return k.write(ctx, w, after) }), nil
	}
	page, err := k.page(c, after)
	if err != nil {
		return rest.Answer{}, err
	}
	return shows(page, len(page.Documents))
}

// page is a page of the documents that the caller may see.
func (k documentKind) page(c *call, after uint64) (documentPage, error) {
	page, n, weight := documentPage{Documents: []entity{}, End: true}, 0, 0
	for o := range k.visible(c, after) {
		if n == c.query.page() || weight >= heavyPage {
			page.End = false
			break
		}
		found, err := c.Documents.Get(c.Context(), k.kind, o.ID)
		if err != nil {
			return page, err
		}
		for _, d := range found {
			page.Documents, weight = append(page.Documents, shownDocument(d)), weight+len(d.Body)
		}
		page.Next, n = orNull(placeCursor(o.Place)), n+1
	}
	return page, nil
}

// atATime is how many objects are looked at before others get a turn at the directory.
const atATime = 256

// visible yields the objects that are asked for and that the caller may see, each of them asked for by itself.
func (k documentKind) visible(c *call, after uint64) iter.Seq[directory.Placed] {
	only := c.query.texts("id")
	return func(yield func(directory.Placed) bool) {
		for {
			found := c.Directory.From(k.kind, c.query.text("parent"), after, atATime)
			for _, o := range found {
				after = o.Place
				if len(only) > 0 && !slices.Contains(only, o.ID) || !k.maySee(c, o.ID) {
					continue
				}
				if !yield(o) {
					return
				}
			}
			if len(found) < atATime {
				return
			}
		}
	}
}

func (k documentKind) maySee(c *call, id string) bool {
	_, err := c.Bus.Permit(c.Meta.Principal, k.view, policy.Object{Kind: k.kind, ID: id})
	return err == nil
}

// write writes the documents as lines.
func (k documentKind) write(ctx context.Context, w *lineWriter, after uint64) error {
	for o := range k.visible(w.call, after) {
		found, err := w.Documents.Get(ctx, k.kind, o.ID)
		if err != nil {
			return err
		}
		for _, d := range found {
			if err := w.write(shownDocument(d)); err != nil {
				return err
			}
		}
		if err := w.pass(); err != nil {
			return err
		}
	}
	return nil
}

func shownDocument(d documents.Document) entity {
	return entity{Kind: d.Kind, ID: d.ID, Parent: d.Parent, Created: d.Created, Revised: d.Revised, Revision: d.Revision, Body: d.Body}
}

// show answers with one document, or that it is still the one that the caller has.
func (k documentKind) show(c *call) (rest.Answer, error) {
	c.ready(c.Documents)
	found, err := c.Documents.Get(c.Context(), k.kind, c.vars["id"])
	if err != nil {
		return rest.Answer{}, err
	}
	if len(found) == 0 {
		return rest.Answer{}, fmt.Errorf("%w: the document", domain.ErrNotFound)
	}
	if tag := etag(found[0].Revised); isOneOf(tag, c.Request().Header.Values("If-None-Match")) {
		return rest.Answer{Status: http.StatusNotModified, Headers: []string{"ETag", tag}}, nil
	}
	return showsDocument(found[0], http.StatusOK)
}

func showsDocument(d documents.Document, status int) (rest.Answer, error) {
	a, err := shows(shownDocument(d), 1)
	a.Status, a.Headers = status, append(a.Headers, "ETag", etag(d.Revised))
	return a, err
}

// add adds a document under a fresh id, or a specification under its name.
func (k documentKind) add(c *call) (rest.Answer, error) {
	attributes, err := readAttributes(c.add.Body)
	if err != nil {
		return rest.Answer{}, err
	}
	id, receipt, err := k.added(c, attributes)
	if err != nil {
		return rest.Answer{}, err
	}
	answer, err := k.written(c, id, receipt, http.StatusCreated)
	answer.Headers = append(answer.Headers, "Location", documentsPath+string(k.kind)+"/"+url.PathEscape(id))
	return answer, err
}

func (k documentKind) added(c *call, attributes registry.Attributes) (id string, receipt commands.Receipt, err error) {
	take := func(id string) (err error) {
		receipt, err = c.carryOut(registry.Add{
			Key: k.key(c, id), Kind: k.kind, ID: id, Parent: c.add.Parent, ParentKind: k.parent, Attributes: attributes,
		})
		return err
	}
	if k.isSpec() {
		return c.add.ID, receipt, take(c.add.ID)
	}
	if c.add.ID != "" {
		return "", receipt, fmt.Errorf("%w: the id of the %s is drawn here, not sent", domain.ErrInvalid, k.kind)
	}
	id, err = rest.DrawFree(c.Bus.IDs(c.Meta), k.kind, take)
	return id, receipt, err
}

// revise merges new attributes over those that the document has.
func (k documentKind) revise(c *call) (rest.Answer, error) {
	var err error
	if c.Meta.Expected, err = expected(c.Request().Header); err != nil {
		return rest.Answer{}, err
	}
	body, err := c.Body()
	if err != nil {
		return rest.Answer{}, err
	}
	if !isJSON(c.Request().Header.Get("Content-Type")) {
		return rest.Answer{}, errMedia
	}
	attributes, err := readAttributes(body)
	if err != nil {
		return rest.Answer{}, err
	}
	id := c.vars["id"]
	receipt, err := c.carryOut(registry.Revise{Key: k.key(c, id), Kind: k.kind, ID: id, Attributes: attributes})
	if err != nil {
		return rest.Answer{}, err
	}
	return k.written(c, id, receipt, http.StatusOK)
}

// take removes a document.
func (k documentKind) take(c *call) (_ rest.Answer, err error) {
	if c.Meta.Expected, err = expected(c.Request().Header); err != nil {
		return rest.Answer{}, err
	}
	id := c.vars["id"]
	receipt, err := c.carryOut(registry.Remove{Key: k.key(c, id), Kind: k.kind, ID: id})
	if err != nil {
		return rest.Answer{}, err
	}
	return c.done(receipt, c.Directory, c.Documents)
}

// written is the answer to a command that worked: the document as it is now, once it can be read.
func (k documentKind) written(c *call, id string, receipt commands.Receipt, status int) (rest.Answer, error) {
	answer, err := c.done(receipt, c.Directory, c.Documents)
	if err != nil || answer.Status == http.StatusAccepted {
		return answer, err
	}
	found, err := c.Documents.Get(c.Context(), k.kind, id)
	if err != nil || len(found) == 0 { // it has been removed since
		return answer, err
	}
	quiet := answer.Quiet
	answer, err = showsDocument(found[0], status)
	answer.Quiet, answer.Rows = quiet, 0
	return answer, err
}

// done is the answer to a command that worked: where it is in the log. It waits a while until the next read of each model
// sees what it did, and says if that does not.
func (c *call) done(receipt commands.Receipt, models ...readModel) (rest.Answer, error) {
	c.Happened(receipt)
	at := receipt.Position
	if at.IsZero() { // nothing to do
		at = c.Arrival
		c.ReadFrom(at)
	}
	ctx, stop := c.Waiting()
	defer stop()
	status := http.StatusOK
	for _, m := range models {
		if m.Wait(ctx, at) != nil {
			status = http.StatusAccepted // late is not lost
		}
	}
	answer, err := shows(accepted{receipt.Position}, 0)
	answer.Status, answer.Quiet = status, !receipt.Changed || receipt.Repeated
	return answer, err
}

// readAttributes reads attributes from a body: an object of them, or one with them in its member body.
func readAttributes(raw []byte) (registry.Attributes, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	body, err := rawjson.Compact(make([]byte, 0, len(raw)), raw)
	if err != nil {
		return nil, err
	}
	if body[0] != '{' {
		return nil, fmt.Errorf("%w: the attributes of a document are an object", domain.ErrInvalid)
	}
	attributes := registry.Attributes{}
	for name, value := range rawjson.Members(body) {
		attributes[name] = value
	}
	inner, wrapped := attributes["body"]
	if !wrapped {
		return attributes, nil
	}
	return readAttributes(inner)
}

// etag is the entity tag of a document that an event at this position changed last.
func etag(revised domain.Position) string { return `"` + revised.String() + `"` }

// isOneOf tells whether a tag is among those that headers list, or they list any (RFC 9110, section 13.1.2).
func isOneOf(tag string, headers []string) bool {
	for _, one := range tags(headers) {
		if one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

func tags(headers []string) (all []string) {
	for _, h := range headers {
		for one := range strings.SplitSeq(h, ",") {
			all = append(all, strings.TrimSpace(one))
		}
	}
	return all
}

// expected are the positions that the tags of If-Match stand for; none is any. A tag that this server does not give
// stands for no document, and so do weak ones (RFC 9110, section 13.1.1).
func expected(h http.Header) (all []domain.Position, err error) {
	given := tags(h.Values("If-Match"))
	for _, tag := range given {
		if tag == "*" {
			return nil, nil // that it is there has been seen to
		}
		inside, opened := strings.CutPrefix(tag, `"`)
		inside, closed := strings.CutSuffix(inside, `"`)
		if at, err := domain.ParsePosition(inside); err == nil && opened && closed && !at.IsZero() {
			all = append(all, at)
		}
	}
	if len(given) > 0 && len(all) == 0 {
		return nil, commands.ErrChanged
	}
	return all, nil
}
