package main_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what the test reads of a dashboard.
type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct{ Expr, LegendFormat string }
	}
}

var (
	inExpr   = regexp.MustCompile(`\b((?:strandline|process|go)_[a-z_]+)(\{[^}]*\})?`)
	grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)
	inLegend = regexp.MustCompile(`\{\{(\w+)\}\}`)
	matcher  = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
	ofPage   = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{([^}]*)\})? `)
)

// TestGrafana holds cmd/deploy/grafana.json against the page of a server that has seen some work: each metric and each
// label that it asks for is there, no panel lies on another, and every metric of our own that is shown is drawn.
func TestGrafana(t *testing.T) {
	text, err := os.ReadFile("../deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	labels := shown(t)
	asked := map[string]bool{}
	check := func(where, expr, legend string) {
		var names []string
		for _, m := range inExpr.FindAllStringSubmatch(expr, -1) {
			asked[m[1]] = true
			if _, ok := labels[m[1]]; !ok {
				t.Errorf("%s: /metrics has no %s", where, m[1])
			}
			names = append(names, labels[m[1]]...)
			for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(append(labels[m[1]], "job", "instance"), l[1]) {
					t.Errorf("%s: %s has no label %s", where, m[1], l[1])
				}
			}
		}
		if len(names) == 0 && !strings.Contains(expr, "_") {
			t.Errorf("%s asks for nothing: %q", where, expr)
		}
		kept := append(names, "job", "instance")
		for _, by := range grouping.FindAllStringSubmatch(expr, -1) {
			kept = strings.Split(strings.ReplaceAll(by[1], " ", ""), ",")
			for _, l := range kept {
				if !slices.Contains(append(names, "job", "instance", "le"), l) {
					t.Errorf("%s groups by %s, which is no label of what it asks for", where, l)
				}
			}
		}
		for _, l := range inLegend.FindAllStringSubmatch(legend, -1) {
			if !slices.Contains(kept, l[1]) {
				t.Errorf("%s: the legend names %s, which is not in the answer", where, l[1])
			}
		}
	}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[at]; ok || at[0] >= 24 {
					t.Fatalf("panel %q lies on %q, or beyond the edge", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q lacks a title, a description or a query", p.ID, p.Title)
		}
		for _, target := range p.Targets {
			check(p.Title, target.Expr, target.LegendFormat)
		}
	}
	for _, a := range d.Annotations.List {
		check("annotation", a.Expr, "")
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			check("variable "+v.Name, v.Definition, "")
		}
	}
	for name := range labels {
		family := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		drawn := asked[name] || asked[family+"_bucket"] || asked[family+"_sum"]
		if strings.HasPrefix(name, "strandline_") && !drawn && name != "strandline_body_waiting" {
			t.Errorf("%s is drawn nowhere", name)
		}
	}
}

// shown are the labels of each metric that a server shows which has seen some work.
func shown(t *testing.T) map[string][]string {
	t.Helper()
	s := startNode(t, t.TempDir())
	newStudy(t, s, 1)
	s.as(t, "nobody:guess", "GET", "/researcher", "")
	_, page := s.as(t, "", "GET", "/metrics", "")
	found := map[string][]string{}
	for _, m := range ofPage.FindAllStringSubmatch(page, -1) {
		var names []string
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			names = append(names, l[1])
		}
		found[m[1]] = names
	}
	return found
}
