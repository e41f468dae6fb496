package api_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"strandline/transport/rest/api"
)

// TestEveryRouteIsDocumented compares the document that is served, to anybody, with the routes.
func TestEveryRouteIsDocumented(t *testing.T) {
	w := newWorld(t)
	status, body := w.ask(t, "GET", "/openapi.json", "")
	var d struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID, Summary string
			Parameters           []struct{ Name, In string }
			Responses            map[string]any
		}
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || status != 200 || !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Fatalf("GET /openapi.json: %d, %v", status, err)
	}
	ids := map[string]bool{}
	documented := 0
	for _, path := range d.Paths {
		documented += len(path)
	}
	for _, r := range api.Routes() {
		path := regexp.MustCompile(`:[^}]*`).ReplaceAllString(r[1], "")
		o, ok := d.Paths[path][strings.ToLower(r[0])]
		if !ok || o.Summary == "" || o.Responses["401"] == nil || ids[o.OperationID] {
			t.Errorf("%s %s is documented as %+v", r[0], r[1], o)
		}
		ids[o.OperationID] = true
		for _, v := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
			if !slices.ContainsFunc(o.Parameters, func(p struct{ Name, In string }) bool { return p.Name == v[1] && p.In == "path" }) {
				t.Errorf("%s %s does not document {%s}", r[0], path, v[1])
			}
		}
	}
	if documented != len(api.Routes()) {
		t.Errorf("%d operations are documented, but there are %d routes", documented, len(api.Routes()))
	}
}

// TestEveryReferenceLeadsSomewhere follows all references in the document.
func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	c := newContract()
	found := regexp.MustCompile(`"\$ref":"#/([^"]*)"`).FindAllStringSubmatch(string(api.Documented()), -1)
	if len(found) < 10 {
		t.Fatalf("the document holds %d references: the test looks for something else", len(found))
	}
	for _, ref := range found {
		if c.at(strings.Split(ref[1], "/")...) == nil {
			t.Errorf("%s leads nowhere", ref[0])
		}
	}
}
