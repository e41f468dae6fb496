package main_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDrillDiscreet asks every route for everything that it refuses, with a word in each field that a client can choose,
// and looks for the word where others than the client read: in the log at level debug, in the metrics, in traces, in what
// probes are answered, and in the bodies and headers of all refusals.
func TestDrillDiscreet(t *testing.T) {
	traces := newCollector(t)
	s := startNode(t, t.TempDir(), withArgs("--log-level", "debug", "--otlp-endpoint", traces.URL))
	d := &discretion{T: t, server: s, statuses: map[int]int{}, real: map[string]string{}}
	made := newStudy(t, s, 2)
	d.real["researcher"], d.real["study"], d.real["participant"] = made.researcher, made.id, made.participants[0]
	d.real["activity"] = s.create(t, "/study/"+made.id+"/activity", `{"spec":"lamp.survey","name":"x","category":[],"settings":[],"schedule":[]}`)
	d.real["sensor"] = s.create(t, "/study/"+made.id+"/sensor", `{"spec":"lamp.steps","name":"x","settings":{}}`)
	if status, answer := s.as(t, root, "POST", "/type/"+made.participants[1]+"/credential",
		`{"origin":"`+made.participants[1]+`","access_key":"other","secret_key":"secret","description":""}`); status != 200 {
		t.Fatal(status, answer)
	}
	routes := append(d.routes("/"), d.routes("/strandline/v1/openapi.json")...)
	if len(routes) < 70 {
		t.Fatalf("only %d routes are described", len(routes))
	}
	for _, r := range routes {
		d.tease(r)
	}
	d.mutter()
	d.ask(root, "GET", "/researcher?"+canary, "", "Strandline-Min-Position", "ffffffff")
	if _, history := s.as(t, root, "GET", "/strandline/v1/events?limit=1000", ""); disguised(history) == "" {
		t.Error("the word was not planted: it is not in the log, as those who may open it read it")
	}
	for _, where := range []string{"/metrics", "/readyz", "/livez"} {
		_, answer := s.as(t, "", "GET", where, "")
		d.look(where, answer)
	}
	s.stop(t) // sends the last traces
	d.look("the traces", traces.text.String())
	if spans := len(traces.spans); spans < d.asked {
		t.Errorf("%d requests left %d spans", d.asked, spans)
	}
	d.look("the server's log", s.log.String())
	if lines := strings.Count(s.log.String(), "a request was answered"); lines < d.asked/2 {
		t.Errorf("%d requests left %d lines in the log at level debug", d.asked, lines)
	}
	kinds := slices.Sorted(maps.Keys(d.statuses))
	for _, status := range []int{400, 401, 403, 404, 405, 412, 422} {
		if d.statuses[status] == 0 {
			t.Errorf("no request was answered %d: the drill has missed something", status)
		}
	}
	t.Logf("%d routes, %d requests, answered with %v: the word was found %d times", len(routes), d.asked, kinds, d.found)
}

// discretion is the drill under way.
type discretion struct {
	*testing.T
	server   *server
	real     map[string]string // ids of things that are there, by their kind
	asked    int
	found    int
	statuses map[int]int
}

// teased is a route as the drill has it.
type teased struct {
	method, path string
	query        []string
}

// routes reads what a dialect says of itself. What removes comes last, so that what is there stays there.
func (d *discretion) routes(document string) (all []teased) {
	d.Helper()
	_, text := d.server.as(d.T, root, "GET", document, "")
	var about struct {
		Servers []struct{ URL string }
		Paths   map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &about); err != nil {
		d.Fatalf("%s: %v", document, err)
	}
	for path, methods := range about.Paths {
		if len(about.Servers) > 0 && !strings.HasPrefix(path, "/strandline") && document != "/" {
			path = strings.TrimSuffix(about.Servers[0].URL, "/") + path
		}
		for method, raw := range methods {
			var operation struct{ Parameters []struct{ Name, In string } }
			_ = json.Unmarshal(raw, &operation) // beside the methods there may be things of another form
			r := teased{method: strings.ToUpper(method), path: path}
			for _, p := range operation.Parameters {
				if p.In == "query" {
					r.query = append(r.query, p.Name)
				}
			}
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b teased) int {
		return cmp.Or(cmp.Compare(removes(a), removes(b)), cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method))
	})
	return all
}

func removes(r teased) int {
	if r.method == "DELETE" {
		return 1
	}
	return 0
}

// followed keeps streams from going on for ever.
const followed = "follow"

// tease asks a route for what it refuses, and for what it does not.
func (d *discretion) tease(r teased) {
	bodies := []string{""}
	if r.method != "GET" && r.method != "HEAD" {
		bodies = []string{"", `"` + canary + `"`, `{"` + canary + `":"` + canary + `"}`, `[{"` + canary + `":"` + canary + `"}]`, `{"` + canary, canary,
			fullBody(canary), fullBody(`7`), strings.ReplaceAll(fullBody(canary), `"`+canary+`"`, `["`+canary+`"]`)}
	}
	for _, path := range []string{d.path(r.path, false), d.path(r.path, true)} {
		for _, body := range bodies {
			d.ask(root, r.method, path, body)
		}
		d.ask("", r.method, path, bodies[0])
		d.ask(canary+"stranger:"+canary+"guess", r.method, path, bodies[0])
		d.ask("other:secret", r.method, path, bodies[len(bodies)-1])
		d.ask(root, canary, path, "")
		d.ask(root, "PATCH", path, `"`+canary+`"`)
		d.ask(root, r.method, path+"?"+canary+"="+canary+"&%zz"+canary, "")
		for _, name := range r.query {
			if name != followed {
				d.ask(root, r.method, path+"?"+url.QueryEscape(name)+"="+canary, bodies[len(bodies)-1])
			}
		}
		for _, name := range []string{"Strandline-Min-Position", "Accept", "Content-Type", "If-Match", "If-None-Match", "Authorization", "Range", "Expect"} {
			d.ask(root, r.method, path, bodies[len(bodies)-1], name, canary)
		}
		d.ask("", r.method, path, "", "Authorization", "Bearer "+canary)
	}
}

// fullBody has a member of every name that some route reads.
func fullBody(value string) string {
	var members []string
	for _, name := range []string{"name", "spec", "description", "origin", "access_key", "secret_key", "role", "object", "credential", "from", "to",
		"timestamp", "sensor", "activity", "duration", "static_data", "temporal_slices", "data", "category", "settings", "schedule", "study_code", "event", "position", "subject"} {
		members = append(members, fmt.Sprintf("%q:%q", name, value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

var pathParameter = regexp.MustCompile(`\{([a-z_]+)\}`)

// path fills in what a route's path leaves open: with the word, or with ids of what is there.
func (d *discretion) path(template string, real bool) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(template, "/"), "/")
	return pathParameter.ReplaceAllStringFunc(template, func(parameter string) string {
		switch {
		case parameter == "{kind}":
			return "participant"
		case !real:
			return canary + parameter[1:len(parameter)-1]
		case parameter == "{id}" && d.real[first] != "":
			return d.real[first]
		case parameter == "{id}":
			return d.real["participant"]
		}
		return canary + parameter[1:len(parameter)-1]
	})
}

// ask sends a request with the word in all headers that anybody reads, and looks at what comes back.
func (d *discretion) ask(who, method, path, body string, headers ...string) {
	d.Helper()
	r, err := http.NewRequestWithContext(d.Context(), method, d.server.url+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	if r.URL.RawQuery != "" && strings.Contains(path, "%zz") {
		r.URL.RawQuery = path[strings.Index(path, "?")+1:]
	}
	if who != "" {
		r.Header.Set("Authorization", "Basic "+who)
	}
	for _, name := range []string{"User-Agent", "Strandline-Reason", "Strandline-Api-Key", "Cookie", "Referer", "Origin", "Traceparent", "Tracestate", "X-Request-Id"} {
		r.Header.Set(name, canary+name)
	}
	if d.asked++; d.asked%3 == 0 {
		r.Header.Set("Idempotency-Key", canary+method+r.URL.Path)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	d.statuses[answer.StatusCode]++
	where := fmt.Sprintf("%s %s, %d", method, path, answer.StatusCode)
	for name, values := range answer.Header {
		d.look(where+", in the header "+name, name+strings.Join(values, " "))
	}
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode >= 400 {
		d.look(where, string(text))
	}
	inContract := answer.StatusCode == 503 || strings.Contains(string(text), "spec-creation-failed")
	if err != nil || answer.StatusCode >= 500 && !inContract {
		d.Errorf("%s: %s, %v", where, text, err)
	}
}

// mutter sends what net/http refuses itself, and what no route is for.
func (d *discretion) mutter() {
	address := strings.TrimPrefix(d.server.url, "http://")
	for _, raw := range []string{
		canary + "\r\n\r\n",
		"GET /" + canary + " HTTP/9." + canary + "\r\n\r\n",
		"GET /%zz" + canary + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /" + canary + " HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n" + canary + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: " + canary + "/\x01\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + canary + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + canary + "\r\n\r\n",
		"POST /researcher HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + root + "\r\nContent-Length: 99999999\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n" + canary + ": " + strings.Repeat(canary, 8000) + "\r\n\r\n",
		"OPTIONS /" + canary + " HTTP/1.1\r\nHost: x\r\nOrigin: " + canary + "\r\nAccess-Control-Request-Headers: " + canary + "\r\nConnection: close\r\n\r\n",
		"GET /livez/" + canary + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /metrics?" + canary + "=" + canary + " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + canary + "\r\nConnection: close\r\n\r\n",
		canary + " /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	} {
		d.asked++
		c, err := net.Dial("tcp", address)
		if err != nil {
			d.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // of a socket that is open
		_, _ = io.WriteString(c, raw)                      // the server may have heard enough
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			text, _ := io.ReadAll(answer.Body) // what has come is what is looked at
			d.statuses[answer.StatusCode]++
			d.look(fmt.Sprintf("%.60q, %d", raw, answer.StatusCode), fmt.Sprint(answer.Header)+string(text))
		}
		c.Close()
	}
}

// look looks for the word in a text that others read.
func (d *discretion) look(where, text string) {
	d.Helper()
	if form := disguised(text); form != "" {
		if d.found++; d.found < 20 {
			d.Errorf("%s: a client's word, %s, in %.500s", where, form, text)
		}
	}
}
