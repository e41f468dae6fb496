package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// example is how a route is asked for. Words in braces stand for things that are made afresh for each route.
type example struct {
	route string // method and path as the dialect's OpenAPI document has them
	path  string // with the words filled in
	body  string
	other string // a different body, or query ("?…", or "&…" for more of it), that makes sense too, sent under the same idempotency key
	again string // why a repetition is not answered the same; empty if it is
}

// examples has every route of every dialect.
var examples = slices.Concat(lampExamples(), nativeExamples())

func lampExamples() []example {
	const unimplemented = "the contract wants no answer but 503"
	all := []example{
		{"GET /", "/", "", "", ""}, {"GET /server-info", "/server-info", "", "", ""},
		{"GET /researcher", "/researcher", "", "", ""},
		{"POST /researcher", "/researcher", `{"name":"a"}`, `{"name":"b"}`, ""},
		{"GET /researcher/{id}/study", "/researcher/{researcher}/study", "", "", ""},
		{"POST /researcher/{id}/study", "/researcher/{researcher}/study", `{"name":"a"}`, `{"name":"b"}`, ""},
		{"GET /study", "/study", "", "", ""}, {"GET /participant", "/participant", "", "", ""},
		{"GET /study/{id}/participant", "/study/{study}/participant", "", "", ""},
		{"POST /study/{id}/participant", "/study/{study}/participant", `{}`, `{"a":1}`, ""},
		{"GET /participant/{id}", "/participant/{participant}", "", "", ""},
		{"PUT /participant/{id}", "/participant/{participant}", `{}`, `{"a":1}`, unimplemented},
		{"DELETE /participant/{id}", "/participant/{participant}", "", "?x=1", ""},
		{"GET /researcher/{id}/participant", "/researcher/{researcher}/participant", "", "", ""},
		{"POST /researcher/{id}/sensor_event", "/researcher/{researcher}/sensor_event", `{"sensor":"s"}`, `{"sensor":"t"}`, ""},
	}
	for _, kind := range []string{"researcher", "study"} {
		one, named := "/"+kind+"/{id}", "/"+kind+"/{"+kind+"}"
		all = append(all, example{"GET " + one, named, "", "", ""}, example{"PUT " + one, named, `{"name":"a"}`, `{"name":"b"}`, ""},
			example{"DELETE " + one, named, "", "?x=1", ""})
		for _, channel := range []string{"sensor_event", "activity_event"} {
			all = append(all, example{"GET " + one + "/" + channel, named + "/" + channel, "", "", ""})
		}
	}
	for _, kind := range []string{"activity", "sensor"} {
		one, named := "/"+kind+"/{id}", "/"+kind+"/{"+kind+"}"
		all = append(all,
			example{"GET /" + kind, "/" + kind, "", "", ""}, example{"GET " + one, named, "", "", ""},
			example{"PUT " + one, named, `{"name":"a"}`, `{"name":"b"}`, ""}, example{"DELETE " + one, named, "", "?x=1", ""},
			example{"GET " + one + "/participant", named + "/participant", "", "", ""},
			example{"GET /study/{id}/" + kind, "/study/{study}/" + kind, "", "", ""},
			example{"POST /study/{id}/" + kind, "/study/{study}/" + kind, `{"name":"a","spec":"s"}`, `{"name":"b","spec":"s"}`, ""},
			example{"GET /participant/{id}/" + kind, "/participant/{participant}/" + kind, "", "", ""},
			example{"GET /researcher/{id}/" + kind, "/researcher/{researcher}/" + kind, "", "", ""},
			example{"GET /researcher/{id}/_lookup/" + kind, "/researcher/{researcher}/_lookup/" + kind, "", "", ""},
			example{"GET /" + kind + "_spec", "/" + kind + "_spec", "", "", ""},
			example{"POST /" + kind + "_spec", "/" + kind + "_spec", `{"name":"{fresh}"}`, `{"name":"{fresh}","description":"b","settings_schema":{"b":1}}`, ""},
			example{"GET /" + kind + "_spec/{name}", "/" + kind + "_spec/{" + kind + "_spec}", "", "", ""},
			example{"PUT /" + kind + "_spec/{name}", "/" + kind + "_spec/{" + kind + "_spec}", `{"description":"a","settings_schema":{}}`, `{"description":"b","settings_schema":{"b":1}}`, ""},
			example{"DELETE /" + kind + "_spec/{name}", "/" + kind + "_spec/{" + kind + "_spec}", "", "?x=1", ""},
			example{"GET /participant/{id}/" + kind + "_event", "/participant/{participant}/" + kind + "_event", "", "", ""},
			example{"POST /participant/{id}/" + kind + "_event", "/participant/{participant}/" + kind + "_event", `{"` + kind + `":"s"}`, `{"` + kind + `":"t"}`, ""},
			example{"DELETE /participant/{id}/" + kind + "_event", "/participant/{participant}/" + kind + "_event", "", "?from=1", ""})
	}
	all = append(all, example{"GET /researcher/{id}/_lookup/participant", "/researcher/{researcher}/_lookup/participant", "", "", ""})
	const one, named = "/{kind}/{id}", "/type/{participant}"
	for _, word := range []string{"attachment", "tag"} {
		all = append(all,
			example{"GET " + one + "/" + word, "/type/{tagged}/" + word, "", "", ""},
			example{"GET " + one + "/" + word + "/{key}", "/type/{tagged}/" + word + "/k", "", "", ""},
			example{"GET " + one + "/" + word + "/{key}/{index}", "/type/{tagged}/" + word + "/k/0", "", "", ""},
			example{"PUT " + one + "/" + word + "/{key}/{target}", named + "/" + word + "/k/me", `1`, `2`, ""})
	}
	return append(all,
		example{"GET " + one + "/parent", named + "/parent", "", "", ""},
		example{"GET " + one + "/credential", named + "/credential", "", "", ""},
		example{"POST " + one + "/credential", named + "/credential", `{"origin":"{participant}","access_key":"{fresh}","secret_key":"s"}`, `{"origin":"{participant}","access_key":"{fresh}","secret_key":"t"}`, ""},
		example{"PUT " + one + "/credential/{access_key}", "/type/{held}", `{"description":"a"}`, `{"description":"b"}`, ""},
		example{"DELETE " + one + "/credential/{access_key}", "/type/{held}", "", "?x=1", ""})
}

func nativeExamples() []example {
	const v1 = "/strandline/v1"
	all := []example{
		{"GET /strandline/docs", "/strandline/docs", "", "", ""}, {"GET /strandline/v1/openapi.json", v1 + "/openapi.json", "", "", ""},
		{"GET /strandline/v1/events", v1 + "/events", "", "", ""}, {"GET /strandline/v1/audit", v1 + "/audit", "", "", ""},
		{"GET /strandline/v1/streams/{name}", v1 + "/streams/registry-{study}", "", "", ""},
		{"GET /strandline/v1/subjects/{id}/series", v1 + "/subjects/{participant}/series", "", "", ""},
		{"GET /strandline/v1/subjects/{id}/series/latest", v1 + "/subjects/{participant}/series/latest", "", "", ""},
		{"GET /strandline/v1/services", v1 + "/services", "", "", ""}, {"GET /strandline/v1/projections", v1 + "/projections", "", "", ""},
		{"GET /strandline/v1/projections/{name}/parked", v1 + "/projections/documents/parked", "", "", ""},
		{"POST /strandline/v1/projections/{name}/park", v1 + "/projections/documents/park?position=1", "", "&position=2", ""},
		{"POST /strandline/v1/projections/{name}/retry", v1 + "/projections/audit/retry", "", "?position=1", ""},
		{"POST /strandline/v1/projections/{name}/discard", v1 + "/projections/series/discard", "", "?position=1", ""},
		{"POST /strandline/v1/projections/{name}/rebuild", v1 + "/projections/directory/rebuild", "", "", ""},
		{"POST /strandline/v1/projections/{name}/revert", v1 + "/projections/{kept}/revert", "", "", ""},
		{"GET /strandline/v1/grants", v1 + "/grants", "", "", ""}, {"GET /strandline/v1/api-keys", v1 + "/api-keys", "", "", ""},
		{"POST /strandline/v1/grants", v1 + "/grants", `{"object":"{study}","role":"reader","access_key":"{credential}"}`, `{"object":"{study}","role":"owner","access_key":"{credential}"}`, ""},
		{"DELETE /strandline/v1/grants", v1 + "/grants?id={grant}", "", "x", ""}, {"DELETE /strandline/v1/grants/{id}", v1 + "/grants/{grant}", "", "x", ""},
		{"POST /strandline/v1/api-keys", v1 + "/api-keys", `{"origin":"{study}"}`, `{"origin":"{study}","name":"b"}`, ""},
		{"DELETE /strandline/v1/api-keys", v1 + "/api-keys?id={key}", "", "x", ""}, {"DELETE /strandline/v1/api-keys/{id}", v1 + "/api-keys/{key}", "", "x", ""},
		{"POST /strandline/v1/backups", v1 + "/backups", `{"to":"{folder}/log","keys_to":"{folder}/keys"}`, "", "a backup is brought up to date when it is asked for again"},
	}
	for kind, parent := range map[string]string{"researcher": "", "study": "researcher", "participant": "study", "activity": "study", "sensor": "study", "activity_spec": "", "sensor_spec": ""} {
		base := v1 + "/documents/" + kind
		add, other, changed := `{"parent":"{`+parent+`}","body":{}}`, `{"parent":"{`+parent+`}"}`, `{"name":"b"}`
		switch {
		case kind == "researcher":
			add, other = `{"body":{}}`, `{}`
		case kind == "activity_spec":
			add, other, changed = `{"id":"{fresh}"}`, `{"id":"{fresh}","body":{}}`, `{"description":"b"}`
		case kind == "sensor_spec":
			add, other, changed = `{"id":"{fresh}"}`, `{"id":"{fresh}","body":{}}`, `{"settings_schema":[1]}`
		case kind == "participant":
			changed = `{}`
		}
		all = append(all, example{"GET " + base, base, "", "", ""}, example{"POST " + base, base, add, other, ""},
			example{"GET " + base + "/{id}", base + "/{" + kind + "}", "", "", ""},
			example{"PUT " + base + "/{id}", base + "/{" + kind + "}", changed, `{"body":{}}`, ""},
			example{"DELETE " + base + "/{id}", base + "/{" + kind + "}", "", "x", ""})
	}
	return all
}

// maker makes the things that examples are about.
type maker struct {
	*testing.T
	s *server
	n int
}

var word = regexp.MustCompile(`\{([a-z_]+)\}`)

// fill fills in the words of an example, the same ones with the same things.
func (m *maker) fill(e example) example {
	made := map[string]string{}
	for _, text := range []*string{&e.path, &e.body, &e.other} {
		*text = word.ReplaceAllStringFunc(*text, func(w string) string {
			if made[w] == "" {
				made[w] = m.make(strings.Trim(w, "{}"))
			}
			return made[w]
		})
	}
	return e
}

func (m *maker) make(what string) string {
	m.n++
	name := fmt.Sprint("thing ", m.n)
	study := func() string {
		return m.s.create(m, "/researcher/"+m.s.create(m, "/researcher", `{"name":"r"}`)+"/study", `{"name":"s"}`)
	}
	native := func(path, body string) string {
		status, text := m.s.as(m, root, "POST", "/strandline/v1"+path, body)
		var thing struct{ ID string }
		if err := json.Unmarshal([]byte(text), &thing); err != nil || status != 201 {
			m.Fatalf("POST %s: %d %s", path, status, text)
		}
		return thing.ID
	}
	switch what {
	case "researcher":
		return m.s.create(m, "/researcher", `{"name":"r"}`)
	case "study":
		return study()
	case "participant":
		return m.s.create(m, "/study/"+study()+"/participant", `{}`)
	case "tagged":
		id := m.make("participant")
		m.must("PUT", "/type/"+id+"/tag/k/me", `[1]`)
		return id
	case "activity", "sensor":
		return m.s.create(m, "/study/"+study()+"/"+what, `{"name":"a","spec":"s"}`)
	case "activity_spec", "sensor_spec":
		m.must("POST", "/"+what, fmt.Sprintf(`{"name":%q}`, strings.ReplaceAll(name, " ", ".")))
		return strings.ReplaceAll(name, " ", ".")
	case "credential":
		id := m.make("participant")
		m.must("POST", "/type/"+id+"/credential", fmt.Sprintf(`{"origin":%q,"access_key":%q,"secret_key":"s"}`, id, strings.ReplaceAll(name, " ", ".")))
		return strings.ReplaceAll(name, " ", ".")
	case "held": // the path of a credential below what it signs in for
		id, key := m.make("participant"), strings.ReplaceAll(name, " ", ".")
		m.must("POST", "/type/"+id+"/credential", fmt.Sprintf(`{"origin":%q,"access_key":%q,"secret_key":"s"}`, id, key))
		return id + "/credential/" + key
	case "grant":
		return native("/grants", fmt.Sprintf(`{"object":%q,"role":"reader","access_key":%q}`, study(), m.make("credential")))
	case "key":
		return native("/api-keys", fmt.Sprintf(`{"origin":%q}`, study()))
	case "kept": // a projection with a build before the present one
		if status, text := m.s.as(m, root, "POST", "/strandline/v1/projections/audit/rebuild", ""); status != 202 {
			m.Fatalf("rebuild: %d %s", status, text)
		}
		m.s.settled(m.T, "audit")
		return "audit"
	case "folder":
		return m.TempDir()
	}
	return strings.ReplaceAll(name, " ", ".")
}

func (m *maker) must(method, path, body string) {
	m.Helper()
	if status, text := m.s.as(m, root, method, path, body); status != 200 {
		m.Fatalf("%s %s: %d %s", method, path, status, text)
	}
}

// documented are the routes in a dialect's OpenAPI document.
func (s *server) documented(t *testing.T, path string) (routes []string) {
	t.Helper()
	_, text := s.as(t, root, "GET", path, "")
	var d struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	for path, methods := range d.Paths {
		for method := range methods {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	return routes
}

// TestHeadersOnEveryRoute asks for every route of every dialect. Each successful answer says up to where it knows the log;
// the reason given is on the record; a write sent again under its idempotency key is answered the same and changes nothing,
// and another one under that key is refused; and nothing is answered that is to know more than there is.
func TestHeadersOnEveryRoute(t *testing.T) {
	s := startNode(t, t.TempDir())
	m := &maker{T: t, s: s}
	var known []string
	for _, e := range examples {
		known = append(known, e.route)
	}
	routes := append(s.documented(t, "/"), s.documented(t, "/strandline/v1/openapi.json")...)
	slices.Sort(known)
	slices.Sort(routes)
	if !slices.Equal(known, routes) {
		t.Fatalf("examples are for\n%s\nbut the routes are\n%s", strings.Join(known, "\n"), strings.Join(routes, "\n"))
	}
	var early sync.WaitGroup
	filled := make([]example, len(examples))
	for i, e := range examples {
		e = m.fill(e)
		filled[i] = e
		early.Go(func() { // each waits for two seconds
			method, _, _ := strings.Cut(e.route, " ")
			status, text, _, err := s.try(root, method, e.path, e.body, "Strandline-Min-Position", "ffffffffffff", "Content-Type", "application/json")
			if err != nil || status != http.StatusPreconditionFailed || !strings.Contains(text, "position-not-reached") {
				t.Errorf("%s, beyond the head: %d %.200s, %v", e.route, status, text, err)
			}
		})
	}
	early.Wait()
	for i, e := range filled {
		s.once(t, e, fmt.Sprint("reason ", i))
	}
	reasons := s.reasons(t)
	for i, e := range filled {
		method, path, _ := strings.Cut(e.route, " ")
		if got := reasons[fmt.Sprint("reason ", i)]; got != method+" "+path {
			t.Errorf("%s: the record of its reason is of %q", e.route, got)
		}
	}
}

// once asks for a route, and if it writes, asks again, and for something else, under the same idempotency key.
func (s *server) once(t *testing.T, e example, reason string) {
	method, _, _ := strings.Cut(e.route, " ")
	headers := []string{"Strandline-Reason", reason, "Content-Type", "application/json"}
	if method != "GET" {
		headers = append(headers, "Idempotency-Key", reason)
	}
	status, text, header, err := s.try(root, method, e.path, e.body, headers...)
	at := header.Get("Strandline-Position")
	if served := status < 300 && at != ""; err != nil || !served && !strings.HasPrefix(e.again, "the contract") {
		t.Errorf("%s: %d at %q, %v: %.300s", e.route, status, at, err, text)
		return
	}
	if method == "GET" || e.again != "" {
		return
	}
	again, same, header, err := s.try(root, method, e.path, e.body, headers...)
	if err != nil || again != status || same != text {
		t.Errorf("%s: %d %.300s\nagain: %d %.300s, %v", e.route, status, text, again, same, err)
	}
	if method != "GET" && header.Get("Strandline-Position") == "" {
		t.Errorf("%s: the repetition has no Strandline-Position", e.route)
	}
	var page struct {
		Events []struct{ Type, Command string }
	}
	s.native(t, "GET", "/events?limit=1000&after="+url.QueryEscape(at), &page)
	for _, event := range page.Events {
		if !strings.HasPrefix(event.Type, "access.") {
			t.Errorf("%s: the repetition led to %s", e.route, event.Type)
		}
	}
	if e.other == "" {
		return // the path says everything
	}
	path, body := e.path, e.other
	if strings.HasPrefix(e.other, "?") || strings.HasPrefix(e.other, "&") {
		path, body = e.path+e.other, e.body
	}
	if other, text, _, err := s.try(root, method, path, body, headers...); err != nil || other != http.StatusUnprocessableEntity {
		t.Errorf("%s, another request under its key: %d %.300s, %v; want 422", e.route, other, text, err)
	}
}

// reasons are the routes of all requests that gave one, the first with each.
func (s *server) reasons(t *testing.T) map[string]string {
	t.Helper()
	found, after := map[string]string{}, ""
	for {
		var page struct {
			Records []struct{ Method, Route, Reason string }
			Next    string
			End     bool
		}
		s.native(t, "GET", "/audit?limit=1000&after="+url.QueryEscape(after), &page)
		for _, r := range page.Records {
			if found[r.Reason] == "" {
				found[r.Reason] = r.Method + " " + r.Route
			}
		}
		if after = page.Next; page.End || len(page.Records) == 0 {
			return found
		}
	}
}
