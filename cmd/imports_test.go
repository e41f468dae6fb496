// Package cmd_test holds the arrows between the folders of Strandline: who may import whom.
package cmd_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// module is the path of this module, as go.mod names it.
const module = "strandline"

// arrows says for each folder what its code may import of this module: a package, or with /** all that lie below it too.
// The longest folder that holds a package rules it. Below transport every folder needs its own line.
var arrows = map[string][]string{
	"domain":                               {},
	"domain/access":                        {"domain"},
	"domain/account":                       {"domain"},
	"domain/apikey":                        {"domain"},
	"domain/attachment":                    {"domain"},
	"domain/grant":                         {"domain"},
	"domain/observation":                   {"domain"},
	"domain/plan":                          {"domain"},
	"domain/projection":                    {"domain"},
	"domain/registry":                      {"domain"},
	"domain/rawjson":                       {"domain"},
	"domain/codec":                         {"domain/**"},
	"commands":                             {"domain/**", "commands/**"},
	"readmodels":                           {"domain/**", "readmodels/sqlite"},
	"readmodels/sqlite":                    {},
	"readmodels/directory":                 {"domain/**", "readmodels"},
	"readmodels/documents":                 {"domain/**", "readmodels"},
	"readmodels/documents/couch":           {"domain/**", "readmodels", "readmodels/documents"},
	"readmodels/documents/couch/pouchtest": {},
	"readmodels/documents/documentstest":   {"domain/**", "readmodels/documents"},
	"readmodels/series":                    {"domain/**", "readmodels"},
	"readmodels/series/influx":             {"domain/**", "readmodels", "readmodels/series"},
	"readmodels/series/seriestest":         {"domain/**", "readmodels/series"},
	"readmodels/audit":                     {"domain/**", "readmodels"},
	"projections":                          {"domain/**", "readmodels/**"},
	"transport/files":                      {},
	"transport/files/faultfs":              {"transport/files"},
	"transport/keys":                       {"domain/**", "commands", "transport/files"},
	"transport/redis":                      {"domain/**"},
	"transport/zstd":                       {"domain/**"},
	"transport/eventstore/door":            {"domain/**", "commands", "transport/eventstore/external"},
	"transport/eventstore/esdb":            {"domain/**", "commands", "transport/eventstore/external"},
	"transport/eventstore/external":        {"domain/**"},
	"transport/eventstore/embedded":        {"domain/**", "commands", "transport/files"},
	"transport/eventstore/memory":          {"domain/**", "commands"},
	"transport/eventstore/storetest":       {"domain/**", "commands"},
	"transport/rest":                       {"domain/**", "commands/**", "readmodels/**"},
	"transport/rest/signin":                {"domain/**", "commands/**", "readmodels/**", "transport/rest"},
	"transport/rest/lamp":                  {"domain/**", "commands/**", "readmodels/**", "transport/rest", "transport/rest/signin"},
	"transport/rest/api":                   {"domain/**", "commands/**", "readmodels/**", "transport/rest", "transport/rest/signin"},
	"transport/metrics":                    {"transport/rest", "transport/rest/signin"},
	"transport/tracing":                    {"domain/**", "commands", "transport/rest"},
	"cmd":                                  {"domain/**", "commands/**", "readmodels/**", "projections", "transport/**"},
	"cmd/strandline":                       {"domain/**", "commands/**", "readmodels/**", "projections", "transport/**", "cmd/strandline/backup"},
}

// homes names the only folders that may import a library of others. A library that is not named here is not used.
var homes = map[string][]string{
	"github.com/go-kivik/kivik":                  {"readmodels/documents/couch"},
	"github.com/gorilla/mux":                     {"transport/rest"},
	"modernc.org/sqlite":                         {"readmodels/sqlite"},
	"modernc.org/libc":                           {"readmodels/sqlite"}, // SQLite's own C library, for its memory
	"github.com/cedar-policy/cedar-go":           {"commands/policy"},
	"golang.org/x/crypto/argon2":                 {"transport/rest/signin"},
	"golang.org/x/net/http2":                     {"cmd/strandline"},
	"golang.org/x/sys":                           {"transport/files", "transport/eventstore/embedded", "cmd"},
	"github.com/EventStore/EventStore-Client-Go": {"transport/eventstore"},
	"google.golang.org/grpc":                     {"transport/eventstore", "cmd"},
	"google.golang.org/protobuf":                 {"transport/eventstore"},
	"google.golang.org/genproto":                 {"transport/eventstore"},
	"github.com/ThreeDotsLabs":                   {"transport/redis"},
	"github.com/redis/go-redis":                  {"transport/redis"},
	"github.com/klauspost/compress":              {"transport/zstd", "readmodels/series"},
	"github.com/influxdata/influxdb-client-go":   {"readmodels/series/influx"},
	"github.com/google/uuid":                     {"commands", "transport", "cmd"},
	"github.com/prometheus":                      {"transport/metrics"},
	"go.opentelemetry.io/otel":                   {"transport/tracing"},
	"github.com/spf13/cobra":                     {"cmd"},
	"github.com/spf13/pflag":                     {"cmd"},
	"go.yaml.in/yaml/v3":                         {"cmd"},
	"github.com/anishathalye/porcupine":          {"transport/eventstore/storetest"},
	"pgregory.net/rapid":                         {"transport/eventstore/storetest"},
}

// goPackage is what `go list` tells of a package.
type goPackage struct {
	ImportPath string
	Imports    []string
}

// TestImports fails for every import that goes against an arrow. The imports of tests are free.
func TestImports(t *testing.T) {
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages of %s: the test looks in the wrong place", len(packages), module)
	}
	for _, p := range packages {
		folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, imported := range p.Imports {
			if reason := judge(folder, imported); reason != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, reason)
			}
		}
	}
}

// TestImportRulesBite shows that the rules refuse what they are for.
func TestImportRulesBite(t *testing.T) {
	for _, tt := range []struct {
		folder, imported string
		allowed          bool
	}{
		{"domain/registry", "strandline/domain", true},
		{"domain/registry", "strings", true},
		{"domain/registry", "strandline/domain/account", false},
		{"domain/codec", "strandline/domain/account", true},
		{"domain/codec", "github.com/klauspost/compress/zstd", false},
		{"domain", "strandline/commands", false},
		{"commands", "strandline/readmodels/directory", false},
		{"commands", "strandline/transport/keys", false},
		{"commands", "github.com/cedar-policy/cedar-go", false},
		{"commands/policy", "github.com/cedar-policy/cedar-go", true},
		{"projections", "strandline/commands", false},
		{"readmodels/series", "strandline/readmodels", true},
		{"readmodels/series", "strandline/readmodels/documents", false},
		{"transport/rest/lamp", "strandline/projections", false},
		{"transport/rest/lamp", "strandline/transport/rest/api", false},
		{"transport/rest/lamp", "strandline/transport/rest", true},
		{"transport/rest/lamp", "modernc.org/sqlite", false},
		{"transport/eventstore/embedded", "github.com/gorilla/mux", false},
		{"transport/new", "strandline/domain", false},
		{"cmd/strandline", "strandline/projections", true},
		{"readmodels", "strandline/cmd/strandline", false},
		{"cmd/strandline", "example.org/unheard/of", false},
	} {
		if reason := judge(tt.folder, tt.imported); (reason == "") != tt.allowed {
			t.Errorf("%s importing %s: got %q, want allowed %v", tt.folder, tt.imported, reason, tt.allowed)
		}
	}
}

// judge returns why code in folder may not import the package, or nothing.
func judge(folder, imported string) string {
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		return judgeOwn(folder, own)
	}
	if isStandard(imported) {
		return ""
	}
	for library, folders := range homes {
		if !within(imported, library) {
			continue
		}
		for _, home := range folders {
			if within(folder, home) {
				return ""
			}
		}
		return "this library stays inside " + strings.Join(folders, ", ")
	}
	return "no folder is named for this library: add it to homes, and say why in the commit"
}

// judgeOwn is judge for packages of this module.
func judgeOwn(folder, imported string) string {
	rule, allowed := ruleOf(folder)
	if rule == "" {
		return "the folder has no arrows yet: add it to the table"
	}
	for _, a := range allowed {
		if tree, ok := strings.CutSuffix(a, "/**"); ok && within(imported, tree) || a == imported {
			return ""
		}
	}
	return "the arrows of " + rule + " lead only to " + strings.Join(allowed, ", ")
}

// ruleOf finds the longest folder in the table that holds this one.
func ruleOf(folder string) (string, []string) {
	best := ""
	for rule := range arrows {
		if within(folder, rule) && len(rule) > len(best) {
			best = rule
		}
	}
	return best, arrows[best]
}

// within tells whether path is folder or lies below it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// isStandard tells whether the package comes with Go: the first part of its path has no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// list asks the go command for all packages of the module.
func list(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}
