package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // of the page
	"encoding/base64"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"strandline/commands/policy"
	"strandline/transport/rest"
)

func docsRoutes() []route {
	return []route{
		{method: "GET", path: docsPath, verb: policy.ServerView, handle: (*call).docs, operation: operation{
			summary: "This API as a page for people", media: mediaHTML,
			about: "It needs nothing but itself: no other host is asked for anything.",
		}},
	}
}

const mediaHTML = "text/html"

//go:embed docs.html
var docsText string

var docsTemplate = template.Must(template.New("docs").Funcs(template.FuncMap{"anchor": anchor, "name": nameOf, "kind": kindOf}).Parse(docsText))

// page is a page with the headers that let it, and nothing else, be shown.
type page struct {
	body    []byte
	headers []string
}

// docs shows the page.
func (c *call) docs() (rest.Answer, error) {
	manual := c.manual()
	return rest.Answer{Status: http.StatusOK, Body: manual.body, Headers: manual.headers}, nil
}

// newManual makes the page of the routes.
func newManual(routes []route, d *document) page {
	var text bytes.Buffer
	if err := docsTemplate.Execute(&text, manualOf(routes, d)); err != nil {
		panic(err) // the template is tested with the routes that there are, and nothing else goes into it
	}
	return page{text.Bytes(), []string{
		"Content-Type", mediaHTML + "; charset=utf-8",
		"Content-Security-Policy", "default-src 'none'; style-src " + sources(text.Bytes(), "style") + "; script-src " + sources(text.Bytes(), "script") +
			"; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"Referrer-Policy", "no-referrer",
	}}
}

// sources allows what stands in the page between the tags of a name, by its hash.
func sources(text []byte, name string) string {
	var all []string
	for _, found := range regexp.MustCompile(`(?s)<`+name+`>(.*?)</`+name+`>`).FindAllSubmatch(text, -1) {
		sum := sha256.Sum256(found[1])
		all = append(all, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	return strings.Join(all, " ")
}

// What the page shows.
type (
	manual struct {
		Groups   []manualGroup
		Headers  []argument
		Schemas  []manualSchema
		Problems []manualProblem
	}
	manualGroup struct {
		Name   string
		Routes []manualRoute
	}
	manualRoute struct {
		*described
		Method, Path, Curl string
		Short              string     // the path without what all paths begin with
		Own                []argument // parameters that are not everybody's
		Sent               *schema
		Answers            []manualAnswer
		Problems           []manualProblem
		Open, Tryable      bool
	}
	manualAnswer struct {
		Status int
		Media  string
		Schema *schema
	}
	manualSchema struct {
		Name string
		*schema
	}
	manualProblem struct {
		Status              int
		Code, Title, Remedy string
	}
)

func manualOf(routes []route, d *document) manual {
	m := manual{Problems: manualProblems(func(known) bool { return true })}
	for _, p := range slices.Concat(everywhere, onWrites) {
		m.Headers = append(m.Headers, d.Components.Parameters[p.name])
	}
	for _, name := range d.Components.Schemas.names() {
		m.Schemas = append(m.Schemas, manualSchema{name, d.Components.Schemas[name]})
	}
	for _, r := range routes {
		name := tag(r.path)
		i := slices.IndexFunc(m.Groups, func(g manualGroup) bool { return g.Name == name })
		if i < 0 {
			i, m.Groups = len(m.Groups), append(m.Groups, manualGroup{Name: name})
		}
		m.Groups[i].Routes = append(m.Groups[i].Routes, d.manual(r))
	}
	return m
}

// manual is what the page shows of one route.
func (d *document) manual(r route) manualRoute {
	path := templateOf(r.path)
	o := d.Paths[path][strings.ToLower(r.method)]
	m := manualRoute{described: o, Method: r.method, Path: path, Short: strings.TrimPrefix(path, "/strandline/v1"), Open: r.open(), Curl: curl(r), Tryable: r.method == http.MethodGet && r.path != docsPath}
	for _, a := range o.Parameters {
		if a.Ref == "" {
			m.Own = append(m.Own, a)
		}
	}
	if o.Body != nil {
		m.Sent = o.Body.Content[mediaJSON].Schema
	}
	for status, a := range o.Responses {
		code, _ := strconv.Atoi(status) // it was made of a number
		for media, c := range a.Content {
			m.Answers = append(m.Answers, manualAnswer{code, media, c.Schema})
		}
		if a.Ref == "" && len(a.Content) == 0 {
			m.Answers = append(m.Answers, manualAnswer{Status: code})
		}
	}
	slices.SortFunc(m.Answers, func(a, b manualAnswer) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Media, b.Media))
	})
	m.Problems = manualProblems(r.mayFailWith)
	return m
}

// manualProblems are the problems that are wanted, by status.
func manualProblems(wanted func(known) bool) (all []manualProblem) {
	for _, k := range problems {
		if wanted(k) {
			all = append(all, manualProblem{k.status, k.code, k.title, k.remedy})
		}
	}
	slices.SortStableFunc(all, func(a, b manualProblem) int { return cmp.Compare(a.Status, b.Status) })
	return all
}

// curl is a line to try.
func curl(r route) string {
	line := "curl -s"
	if !r.open() {
		line += "u ACCESS_KEY:SECRET"
	}
	if r.method != http.MethodGet {
		line += " -X " + r.method
	}
	if r.operation.body != nil {
		line += " -H 'Content-Type: application/json' -d '{…}'"
	}
	return line + " \"$SERVER" + variable.ReplaceAllStringFunc(templateOf(r.path), func(v string) string {
		return strings.ToUpper(strings.Trim(v, "{}"))
	}) + `"`
}

// anchor is where a schema is shown, from a reference to it.
func anchor(ref string) string { return "schema-" + nameOf(ref) }

// nameOf is the name of the schema that a reference leads to.
func nameOf(ref string) string { return strings.TrimPrefix(ref, schemaPath) }

// kindOf says in words what a schema takes.
func kindOf(s *schema) string {
	switch {
	case s.Format != "":
		return s.Format
	case len(s.Enum) > 0:
		return strings.Join(s.Enum, " | ")
	case s.Type == "":
		return "any JSON"
	}
	return s.Type
}
