package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/transport/rest"
)

func aboutRoutes() []route {
	return []route{
		{method: "GET", path: "/strandline/v1/openapi.json", verb: policy.ServerView, handle: (*call).openapi, operation: operation{
			summary: "This API as an OpenAPI document",
			answer:  map[string]any{},
		}},
	}
}

// openapi shows the document.
func (c *call) openapi() (rest.Answer, error) {
	return rest.Answer{Status: http.StatusOK, Body: c.about}, nil
}

// Of OpenAPI 3.1, no more than the document uses.
type (
	document struct {
		OpenAPI    string                           `json:"openapi"`
		Info       map[string]any                   `json:"info"`
		Servers    []map[string]string              `json:"servers"`
		Security   []map[string][]string            `json:"security"`
		Paths      map[string]map[string]*described `json:"paths"`
		Components components                       `json:"components"`
	}
	components struct {
		Schemas    schemas                      `json:"schemas"`
		Responses  map[string]response          `json:"responses"`
		Parameters map[string]argument          `json:"parameters"`
		Headers    map[string]header            `json:"headers"`
		Security   map[string]map[string]string `json:"securitySchemes"`
	}
	described struct {
		ID          string                 `json:"operationId"`
		Tags        []string               `json:"tags"`
		Summary     string                 `json:"summary"`
		Description string                 `json:"description,omitempty"`
		Parameters  []argument             `json:"parameters,omitempty"`
		Body        *body                  `json:"requestBody,omitempty"`
		Responses   map[string]response    `json:"responses"`
		Security    *[]map[string][]string `json:"security,omitempty"`
	}
	argument struct {
		Ref         string  `json:"$ref,omitempty"`
		Name        string  `json:"name,omitempty"`
		In          string  `json:"in,omitempty"`
		Description string  `json:"description,omitempty"`
		Required    bool    `json:"required,omitempty"`
		Schema      *schema `json:"schema,omitempty"`
	}
	body struct {
		Required bool               `json:"required"`
		Content  map[string]content `json:"content"`
	}
	response struct {
		Ref         string             `json:"$ref,omitempty"`
		Description string             `json:"description,omitempty"`
		Headers     map[string]header  `json:"headers,omitempty"`
		Content     map[string]content `json:"content,omitempty"`
	}
	header struct {
		Ref         string  `json:"$ref,omitempty"`
		Description string  `json:"description,omitempty"`
		Schema      *schema `json:"schema,omitempty"`
	}
	content struct {
		Schema *schema `json:"schema"`
	}
)

// Headers that every route takes, and one that only writes heed.
var (
	everywhere = []parameter{
		{"Strandline-Min-Position", "position", "answer only once everything up to this position can be read"},
		{"Strandline-Reason", "string", "why this is asked, in the caller's words: kept with what is recorded"},
		{"Strandline-Api-Key", "string", "the key of the program that asks, besides the credential of whom it asks for"},
	}
	onWrites = []parameter{
		{"Idempotency-Key", "string", "of this request alone: sent again under the same key, it has no second effect"},
	}
)

// newDocument describes the routes.
func newDocument(routes []route) *document {
	d := &document{
		OpenAPI: "3.1.0",
		Info: map[string]any{
			"title": "Strandline", "version": "1",
			"description": "The native API: the log of events, who did or saw what, and what is made of the log.",
			"license":     map[string]string{"name": "BSD-2-Clause", "identifier": "BSD-2-Clause"},
		},
		Servers:  []map[string]string{{"url": "/"}},
		Security: []map[string][]string{{"basic": {}}, {"bearer": {}}},
		Paths:    map[string]map[string]*described{},
		Components: components{
			Schemas: schemas{}, Responses: map[string]response{}, Parameters: map[string]argument{}, Headers: answerHeaders,
			Security: map[string]map[string]string{
				"basic":  {"type": "http", "scheme": "basic", "description": "access key and secret"},
				"bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
			},
		},
	}
	for _, p := range slices.Concat(everywhere, onWrites) {
		d.Components.Parameters[p.name] = p.argument("header")
	}
	d.problems()
	for _, r := range routes {
		path := templateOf(r.path)
		if d.Paths[path] == nil {
			d.Paths[path] = map[string]*described{}
		}
		d.Paths[path][strings.ToLower(r.method)] = d.describe(r)
	}
	return d
}

// answerHeaders are those that routes answer with.
var answerHeaders = map[string]header{
	"Strandline-Request":  {Description: "id of the request, under which it is on the record", Schema: &schema{Type: "string", Format: "uuid"}},
	"Strandline-Position": {Description: "the answer knows everything up to here", Schema: &schema{Type: "string"}},
}

// problems describes what goes wrong, one response for each status.
func (d *document) problems() {
	shown := map[string]content{mediaProblem: {d.Components.Schemas.of(problem{})}}
	for _, k := range problems {
		name := problemOf(k.status)
		r := d.Components.Responses[name]
		r.Content = shown
		r.Description = strings.TrimSpace(r.Description + " `" + k.code + "`: " + k.title)
		d.Components.Responses[name] = r
	}
}

func problemOf(status int) string { return "Problem" + strconv.Itoa(status) }

var variable = regexp.MustCompile(`\{(\w+)(:[^}]*)?\}`)

// templateOf is a path without what the router alone needs to know.
func templateOf(path string) string { return variable.ReplaceAllString(path, "{$1}") }

// describe describes one route.
func (d *document) describe(r route) *described {
	o := &described{
		ID: operationID(r), Tags: []string{tag(r.path)}, Summary: r.operation.summary, Description: r.operation.about,
		Parameters: r.arguments(), Responses: map[string]response{strconv.Itoa(r.success()): d.success(r)},
	}
	for _, status := range r.operation.also {
		o.Responses[strconv.Itoa(status)] = d.also(r, status)
	}
	if r.operation.body != nil {
		o.Body = &body{true, map[string]content{mediaJSON: {d.Components.Schemas.of(r.operation.body)}}}
	}
	for _, k := range problems {
		if r.mayFailWith(k) {
			o.Responses[strconv.Itoa(k.status)] = response{Ref: "#/components/responses/" + problemOf(k.status)}
		}
	}
	if r.open() {
		o.Security = &[]map[string][]string{{}, {"basic": {}}, {"bearer": {}}}
	}
	return o
}

// success is the status of a route where all goes well.
func (r route) success() int {
	if r.operation.status != 0 {
		return r.operation.status
	}
	return http.StatusOK
}

// also describes another status of success.
func (d *document) also(r route, status int) response {
	r.operation.status, r.operation.answer, r.operation.lines = status, accepted{}, nil
	return d.success(r)
}

func (d *document) success(r route) response {
	a := response{Description: http.StatusText(r.success()), Content: map[string]content{}, Headers: map[string]header{}}
	for name := range answerHeaders {
		a.Headers[name] = header{Ref: "#/components/headers/" + name}
	}
	if r.success() == http.StatusNoContent || r.success() == http.StatusNotModified {
		a.Content = nil
		return a
	}
	for _, media := range r.operation.offers() {
		s := d.Components.Schemas.of(r.operation.answer)
		switch media {
		case mediaHTML:
			s = &schema{Type: "string"}
		case mediaLines:
			s = &schema{AnyOf: []*schema{d.Components.Schemas.of(r.operation.lines), d.Components.Schemas.of(broken{})}}
		}
		a.Content[media] = content{s}
	}
	return a
}

// mayFailWith tells whether a route has anything to do with a problem.
func (r route) mayFailWith(k known) bool {
	if errors.Is(k.err, commands.ErrChanged) {
		return r.method != http.MethodGet
	}
	switch k.status {
	case http.StatusMethodNotAllowed:
		return false // the route is another one then
	case http.StatusNotFound:
		return r.object != nil || strings.Contains(r.path, "{") || r.method != http.MethodGet
	case http.StatusForbidden:
		return !r.open()
	case http.StatusUnsupportedMediaType:
		return r.operation.body != nil
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		return r.operation.body != nil || r.method == http.MethodPost // see saysNothing
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return r.method != http.MethodGet
	}
	return true
}

// arguments are what stands in the path, the query and the headers.
func (r route) arguments() (all []argument) {
	for _, v := range variable.FindAllStringSubmatch(r.path, -1) {
		all = append(all, argument{Name: v[1], In: "path", Required: true, Schema: &schema{Type: "string"}})
	}
	for _, p := range r.operation.query {
		all = append(all, p.argument("query"))
	}
	for _, p := range r.operation.headers {
		all = append(all, p.argument("header"))
	}
	shared := everywhere
	if r.method != http.MethodGet {
		shared = slices.Concat(everywhere, onWrites)
	}
	for _, p := range shared {
		all = append(all, argument{Ref: "#/components/parameters/" + p.name})
	}
	return all
}

func (p parameter) argument(in string) argument {
	return argument{Name: p.name, In: in, Description: p.about, Schema: p.schema()}
}

// tag is the word of a path that says what it is about; of those about the API itself, about.
func tag(path string) string {
	within, of := strings.CutPrefix(path, "/strandline/v1/")
	word, _, _ := strings.Cut(within, "/")
	if !of || strings.Contains(word, ".") {
		return "about"
	}
	return word
}

var notWord = regexp.MustCompile(`\W+`)

func operationID(r route) string {
	path := strings.TrimPrefix(strings.TrimPrefix(templateOf(r.path), "/strandline/"), "v1/")
	return strings.ToLower(r.method) + "_" + strings.Trim(notWord.ReplaceAllString(path, "_"), "_")
}

// text is the document as it is served.
func (d *document) text() []byte {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // texts, numbers, and maps and lists of them always have a JSON form
	}
	return text
}
