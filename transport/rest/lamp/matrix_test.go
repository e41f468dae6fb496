package lamp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/grant"
	"strandline/transport/rest/lamp"
	"strandline/transport/rest/signin"
)

// The authorisation matrix (decision 30): every route, for every kind of caller, on every kind of target. What is
// expected was written by hand from the contract "LAMP", section 4: its table of operations, the order of its steps
// (404 before 403) and its [FIX] items. Nothing here is derived from the policy.
//
// The tree: researcher R with studies S (participants P and Q, activity A, sensor N) and S2 (participant O, activity E,
// sensor G); researcher T with study U (participant X, activity B, sensor M). Gone are one of each kind: those named D….
// "none" is an id that never was.

// expectation says for one group of operations on one kind of target who may: a line for each caller, a column for each
// target. "ok" is allowed, 403 is 403.security-context-out-of-scope, 404 is 404.resource-not-found.
type expectation struct {
	source  string
	targets string
	cells   string
}

var expectations = map[string]expectation{
	"researcher": {
		"section 4, table: researcher view/update/delete, study list/create, look-ups, credentials: self, parent. " +
			"[FIX]: researchers are no siblings, so neither are their tags and events",
		/*     */ "R   T   DR  none", `
		root       ok  ok  404 404
		R          ok  403 404 404
		T          403 ok  404 404
		S          403 403 404 404
		P          403 403 404 404
		Q          403 403 404 404
		X          403 403 404 404`,
	},
	"study": {
		"section 4, table: study view/update/delete, lists and creations in it: self, parent. [FIX]: studies of one researcher are no siblings",
		/*     */ "S   S2  U   DS  none", `
		root       ok  ok  ok  404 404
		R          ok  ok  403 404 404
		T          403 403 ok  404 404
		S          ok  403 403 404 404
		P          403 403 403 404 404
		Q          403 403 403 404 404
		X          403 403 403 404 404`,
	},
	"participant": {
		"section 4, table: participants (every verb), events, tags, credentials: self, parent. [FIX]: never between participants",
		/*     */ "P   Q   O   X   DP  none", `
		root       ok  ok  ok  ok  404 404
		R          ok  ok  ok  403 404 404
		T          403 403 403 ok  404 404
		S          ok  ok  403 403 404 404
		P          ok  403 403 403 404 404
		Q          403 ok  403 403 404 404
		X          403 403 403 ok  404 404`,
	},
	"activity, reading": {
		"section 4, table: activities, tags, parent query: self, parent, sibling. [FIX]: siblings read only",
		/*     */ "A   E   B   DA  none", `
		root       ok  ok  ok  404 404
		R          ok  ok  403 404 404
		T          403 403 ok  404 404
		S          ok  403 403 404 404
		P          ok  403 403 404 404
		Q          ok  403 403 404 404
		X          403 403 ok  404 404`,
	},
	"activity, changing": {
		"section 4, [FIX]: siblings change nothing; credentials: self, parent; whom a study has is not for participants",
		/*     */ "A   E   B   DA  none", `
		root       ok  ok  ok  404 404
		R          ok  ok  403 404 404
		T          403 403 ok  404 404
		S          ok  403 403 404 404
		P          403 403 403 404 404
		Q          403 403 403 404 404
		X          403 403 403 404 404`,
	},
	"sensor, reading": {
		"as activities",
		/*     */ "N   G   M   DN  none", `
		root       ok  ok  ok  404 404
		R          ok  ok  403 404 404
		T          403 403 ok  404 404
		S          ok  403 403 404 404
		P          ok  403 403 404 404
		Q          ok  403 403 404 404
		X          403 403 ok  404 404`,
	},
	"sensor, changing": {
		"as activities",
		/*     */ "N   G   M   DN  none", `
		root       ok  ok  ok  404 404
		R          ok  ok  403 404 404
		T          403 403 ok  404 404
		S          ok  403 403 404 404
		P          403 403 403 404 404
		Q          403 403 403 404 404
		X          403 403 403 404 404`,
	},
	"installation": {
		"section 7: on null, root alone may read or write, others get 404.resource-not-found. Section 5.8 [FIX]: parent of null",
		/*     */ "null", `
		root       ok
		R          404
		T          404
		S          404
		P          404
		Q          404
		X          404`,
	},
	"root only": {
		"section 4, table: list/create researchers, create specs: root only",
		/*     */ "-", `
		root       ok
		R          403
		T          403
		S          403
		P          403
		Q          403
		X          403`,
	},
	"spec, changing": {
		"section 4, table: update/delete specs: root only; steps 3 and 6: one that is not there is 404 first",
		/*     */ "spec none", `
		root       ok   404
		R          403  404
		T          403  404
		S          403  404
		P          403  404
		Q          403  404
		X          403  404`,
	},
	"any caller": {
		"section 4, table: read specs: any authenticated caller. Sections 5.2 to 5.5: lists of what the caller may see",
		/*     */ "-", `
		root       ok
		R          ok
		T          ok
		S          ok
		P          ok
		Q          ok
		X          ok`,
	},
}

// Callers who have no valid credentials. Section 1: 401 without credentials, 403.no-such-credentials for wrong ones;
// section 5.7 [FIX]: and for those of a deleted object. They learn nothing of what exists.
var strangers = map[string]string{
	"nobody":          "401.missing-credentials",
	"wrong password":  "403.no-such-credentials",
	"unknown key":     "403.no-such-credentials",
	"revoked":         "403.no-such-credentials",
	"of a deleted":    "403.no-such-credentials",
	"below a deleted": "403.no-such-credentials",
}

// Callers who hold a role on study S, each with a credential of its own of researcher Y, who has nothing to do with the others:
// the issue "Doors for people", and decision 23 for auditors. Early is an owner from tomorrow on, late was one until yesterday,
// and withdrawn is one no more. The columns are what is in S (and S), what is elsewhere, and what is gone or never was.
var roleExpectations = map[string]string{
	"viewing": `
		reader    ok  403 404
		writer    ok  403 404
		owner     ok  403 404
		auditor   403 403 404
		early     403 403 404
		late      403 403 404
		withdrawn 403 403 404`,
	"changing": `
		reader    403 403 404
		writer    ok  403 404
		owner     ok  403 404
		auditor   403 403 404
		early     403 403 404
		late      403 403 404
		withdrawn 403 403 404`,
	"removing": `
		reader    403 403 404
		writer    403 403 404
		owner     ok  403 404
		auditor   403 403 404
		early     403 403 404
		late      403 403 404
		withdrawn 403 403 404`,
	"letting in": `
		reader    403 403 404
		writer    403 403 404
		owner     ok  403 404
		auditor   403 403 404
		early     403 403 404
		late      403 403 404
		withdrawn 403 403 404`,
	"root only": `
		reader    -   403 -
		writer    -   403 -
		owner     -   403 -
		auditor   -   403 -
		early     -   403 -
		late      -   403 -
		withdrawn -   403 -`,
	"any caller": `
		reader    -   ok  -
		writer    -   ok  -
		owner     -   ok  -
		auditor   -   ok  -
		early     -   ok  -
		late      -   ok  -
		withdrawn -   ok  -`,
	"spec, changing": `
		reader    -   403 404
		writer    -   403 404
		owner     -   403 404
		auditor   -   403 404
		early     -   403 404
		late      -   403 404
		withdrawn -   403 404`,
}

// roleTargets are the targets of each column. The installation is not there for anybody but root (section 7), so it counts as
// gone.
var roleTargets = map[string][3]string{
	"researcher":   {"", "R T", "DR none"},
	"study":        {"S", "S2 U", "DS none"},
	"participant":  {"P Q", "O X", "DP BP none"},
	"activity":     {"A", "E B", "DA none"},
	"sensor":       {"N", "G M", "DN none"},
	"installation": {"", "", "null"},
	"root only":    {"", "-", ""},
	"any caller":   {"", "-", ""},
	"spec":         {"", "spec", "none"},
}

// operations says for each route which expectations hold. {id} is a target. A body that is no JSON shows that a caller
// came past the policy (section 4 comes before the body is looked at) and changes nothing; what has no body is carried
// out, and what would take a target away happens in a world of its own.
var operations = []struct{ method, path, expected, role string }{
	{"GET", "/researcher", "root only", "root only"},
	{"POST", "/researcher", "root only", "root only"},
	{"GET", "/researcher/{id}", "researcher", "viewing"},
	{"PUT", "/researcher/{id}", "researcher", "changing"},
	{"DELETE", "/researcher/{id}", "researcher", "removing"},
	{"GET", "/researcher/{id}/study", "researcher", "viewing"},
	{"POST", "/researcher/{id}/study", "researcher", "changing"},
	{"GET", "/researcher/{id}/participant", "researcher", "viewing"},
	{"GET", "/researcher/{id}/activity", "researcher", "viewing"},
	{"GET", "/researcher/{id}/sensor", "researcher", "viewing"},
	{"GET", "/researcher/{id}/sensor_event", "researcher", "viewing"},
	{"POST", "/researcher/{id}/sensor_event", "researcher", "changing"},
	{"GET", "/researcher/{id}/activity_event", "researcher", "viewing"},
	{"GET", "/researcher/{id}/_lookup/participant", "researcher", "viewing"},
	{"GET", "/researcher/{id}/_lookup/activity", "researcher", "viewing"},
	{"GET", "/researcher/{id}/_lookup/sensor", "researcher", "viewing"},
	{"GET", "/study", "any caller", "any caller"},
	{"GET", "/study/{id}", "study", "viewing"},
	{"PUT", "/study/{id}", "study", "changing"},
	{"DELETE", "/study/{id}", "study", "removing"},
	{"GET", "/study/{id}/participant", "study", "viewing"},
	{"POST", "/study/{id}/participant", "study", "changing"},
	{"GET", "/study/{id}/activity", "study", "viewing"},
	{"POST", "/study/{id}/activity", "study", "changing"},
	{"GET", "/study/{id}/sensor", "study", "viewing"},
	{"POST", "/study/{id}/sensor", "study", "changing"},
	{"GET", "/study/{id}/sensor_event", "study", "viewing"},
	{"GET", "/study/{id}/activity_event", "study", "viewing"},
	{"GET", "/participant", "any caller", "any caller"},
	{"GET", "/participant/{id}", "participant", "viewing"},
	{"PUT", "/participant/{id}", "participant", "changing"},
	{"DELETE", "/participant/{id}", "participant", "removing"},
	{"GET", "/participant/{id}/activity", "participant", "viewing"},
	{"GET", "/participant/{id}/sensor", "participant", "viewing"},
	{"GET", "/participant/{id}/sensor_event", "participant", "viewing"},
	{"POST", "/participant/{id}/sensor_event", "participant", "changing"},
	{"DELETE", "/participant/{id}/sensor_event", "participant", "removing"},
	{"GET", "/participant/{id}/activity_event", "participant", "viewing"},
	{"POST", "/participant/{id}/activity_event", "participant", "changing"},
	{"DELETE", "/participant/{id}/activity_event", "participant", "removing"},
	{"GET", "/activity", "any caller", "any caller"},
	{"GET", "/activity/{id}", "activity, reading", "viewing"},
	{"PUT", "/activity/{id}", "activity, changing", "changing"},
	{"DELETE", "/activity/{id}", "activity, changing", "removing"},
	{"GET", "/activity/{id}/participant", "activity, changing", "viewing"},
	{"GET", "/sensor", "any caller", "any caller"},
	{"GET", "/sensor/{id}", "sensor, reading", "viewing"},
	{"PUT", "/sensor/{id}", "sensor, changing", "changing"},
	{"DELETE", "/sensor/{id}", "sensor, changing", "removing"},
	{"GET", "/sensor/{id}/participant", "sensor, changing", "viewing"},
	{"GET", "/activity_spec", "any caller", "any caller"},
	{"POST", "/activity_spec", "root only", "root only"},
	{"GET", "/activity_spec/{name}", "any caller", "any caller"},
	{"PUT", "/activity_spec/{name}", "spec, changing", "spec, changing"},
	{"DELETE", "/activity_spec/{name}", "spec, changing", "spec, changing"},
	{"GET", "/sensor_spec", "any caller", "any caller"},
	{"POST", "/sensor_spec", "root only", "root only"},
	{"GET", "/sensor_spec/{name}", "any caller", "any caller"},
	{"PUT", "/sensor_spec/{name}", "spec, changing", "spec, changing"},
	{"DELETE", "/sensor_spec/{name}", "spec, changing", "spec, changing"},
	{"GET", "/{kind}/{id}/parent", "researcher | study | participant | activity, reading | sensor, reading | installation", "viewing"},
	{"GET", "/{kind}/{id}/credential", "researcher | study | participant | activity, changing | sensor, changing | installation", "letting in"},
	{"POST", "/{kind}/{id}/credential", "researcher | study | participant | activity, changing | sensor, changing | installation", "letting in"},
	{"PUT", "/{kind}/{id}/credential/{access_key}", "researcher | study | participant | activity, changing | sensor, changing | installation", "letting in"},
	{"DELETE", "/{kind}/{id}/credential/{access_key}", "researcher | study | participant | activity, changing | sensor, changing | installation", "letting in"},
	{"GET", "/{kind}/{id}/attachment", "researcher | study | participant | activity, reading | sensor, reading | installation", "viewing"},
	{"GET", "/{kind}/{id}/attachment/{key}", "researcher | study | participant | activity, reading | sensor, reading | installation", "viewing"},
	{"GET", "/{kind}/{id}/attachment/{key}/{index}", "researcher | study | participant | activity, reading | sensor, reading | installation", "viewing"},
	{"PUT", "/{kind}/{id}/attachment/{key}/{target}", "researcher | study | participant | activity, changing | sensor, changing | installation", "changing"},
	{"GET", "/{kind}/{id}/tag", "researcher | study | participant | activity, reading | sensor, reading | installation", "viewing"},
	{"GET", "/{kind}/{id}/tag/{key}", "researcher | study | participant | activity, reading | sensor, reading | installation", "viewing"},
	{"GET", "/{kind}/{id}/tag/{key}/{index}", "researcher | study | participant | activity, reading | sensor, reading | installation", "viewing"},
	{"PUT", "/{kind}/{id}/tag/{key}/{target}", "researcher | study | participant | activity, changing | sensor, changing | installation", "changing"},
}

// Routes that anybody may ask, with or without credentials (sections 3.4, 4 and 8.3).
var open = map[string]bool{"GET /": true, "GET /server-info": true}

// passed tells whether an answer is one that only a caller who was let in can get.
func passed(method string, status int, code string) bool {
	switch {
	case status == 200:
		return true
	case method == "POST" || method == "PUT": // the body was no JSON
		return code == "400.bad-request" || code == "503.unimplemented" || code == "404.no-such-credentials"
	}
	return code == "404.object-not-found" || code == "404.no-such-credentials" // no such tag, no such credential
}

// forest is a world with the tree of the matrix in it.
type forest struct {
	*world
	ids     map[string]string // by name in the tables
	callers map[string]string // credentials by name in the tables
}

func newForest(t testing.TB) *forest {
	f := &forest{newWorld(t), map[string]string{"none": "0123456789abcdefghjk", "null": "null", "spec": "a.spec"}, map[string]string{}}
	f.researcher("R", "F")
	f.researcher("T", "V")
	f.researcher("DR", "W")
	for study, researcher := range map[string]string{"S": "R", "S2": "R", "U": "T", "DS": "R"} {
		f.add(study, "/researcher/"+f.ids[researcher]+"/study")
	}
	for name, place := range map[string]string{
		"P": "S/participant", "Q": "S/participant", "O": "S2/participant", "X": "U/participant", "DP": "S/participant", "BP": "DS/participant",
		"A": "S/activity", "E": "S2/activity", "B": "U/activity", "DA": "S/activity",
		"N": "S/sensor", "G": "S2/sensor", "M": "U/sensor", "DN": "S/sensor",
	} {
		study, word, _ := strings.Cut(place, "/")
		f.add(name, "/study/"+f.ids[study]+"/"+word)
	}
	f.ask(root, "POST", "/activity_spec", `{"name":"a.spec"}`)
	f.ask(root, "POST", "/sensor_spec", `{"name":"a.spec"}`)
	for _, name := range []string{"R", "T", "S", "P", "Q", "X"} {
		f.callers[name] = f.issue(name, f.ids[name], "s")
	}
	f.researcher("Y", "Y2")
	now := time.Now()
	for name, g := range map[string]grant.Give{
		"reader":    {Role: grant.Reader},
		"writer":    {Role: grant.Writer, From: now.Add(-time.Hour).UnixMilli()},
		"owner":     {Role: grant.Owner, To: now.Add(time.Hour).UnixMilli()},
		"auditor":   {Role: grant.Auditor},
		"early":     {Role: grant.Owner, From: now.Add(24 * time.Hour).UnixMilli()},
		"late":      {Role: grant.Owner, To: now.Add(-24 * time.Hour).UnixMilli()},
		"withdrawn": {Role: grant.Owner},
	} {
		f.callers[name] = f.issue(name, f.ids["Y"], "s")
		g.ID, g.Object, g.Credential = name, f.ids["S"], signin.CredentialID(f.keys, name)
		f.carryOut(g)
	}
	f.carryOut(grant.Withdraw{ID: "withdrawn", Object: f.ids["S"]})
	f.callers["root"] = root
	f.callers["nobody"] = ""
	f.callers["wrong password"] = "P:wrong"
	f.callers["unknown key"] = "stranger:s"
	f.callers["revoked"] = f.issue("revoked", f.ids["P"], "s")
	f.ask(root, "DELETE", "/type/"+f.ids["P"]+"/credential/revoked", "")
	f.callers["of a deleted"] = f.issue("gone", f.ids["DP"], "s")
	f.callers["below a deleted"] = f.issue("below", f.ids["BP"], "s")
	for name, word := range map[string]string{"DR": "researcher", "DS": "study", "DP": "participant", "DA": "activity", "DN": "sensor"} {
		f.ask(root, "DELETE", "/"+word+"/"+f.ids[name], "")
	}
	return f
}

func (f *forest) add(name, path string) { f.ids[name] = f.make(path, `{}`) }

func (f *forest) researcher(name, first string) {
	f.ids[name] = f.make("/researcher", `{"name":"`+name+`"}`)
	f.ids[first] = f.only(f.ask(root, "GET", "/researcher/"+f.ids[name]+"/study", ""))
}

// carryOut has the system carry out a command.
func (f *forest) carryOut(c domain.Command) {
	f.Helper()
	_, err := f.bus.Do(f.Context(), f.bus.System(), commands.Meta{Dialect: "system"}, c)
	f.must(err)
}

// cell is one question to a world.
type cell struct{ method, path, caller, target, want string }

// ask answers with the code of the refusal, "ok" if there was none.
func (f *forest) answer(c cell) string {
	path := strings.NewReplacer("{id}", f.ids[c.target], "{name}", "a.spec", "{access_key}", "not-there", "{key}", "k", "{index}", "0", "{target}", "me").Replace(c.path)
	if c.target == "none" {
		path = strings.Replace(path, "a.spec", "none", 1)
	}
	body := ""
	if c.method == "POST" || c.method == "PUT" {
		body = "{"
	}
	got := f.send(f.callers[c.caller], c.method, path, body)
	var refused struct{ Error string }
	if err := json.Unmarshal(got.Body.Bytes(), &refused); err != nil {
		return fmt.Sprintf("%d %s", got.Code, got.Body)
	}
	if passed(c.method, got.Code, refused.Error) {
		return "ok"
	}
	return refused.Error
}

// destructive tells whether an allowed request takes its target away.
func (c cell) destructive() bool {
	return c.want == "ok" && c.method == "DELETE" && !strings.Contains(c.path, "credential") && !strings.Contains(c.path, "_event")
}

// cells are all questions with the answers expected.
func cells(t *testing.T) []cell {
	var all []cell
	codes := map[string]string{"ok": "ok", "403": "403.security-context-out-of-scope", "404": "404.resource-not-found"}
	for _, o := range operations {
		for _, name := range strings.Split(o.expected, " | ") {
			e, ok := expectations[name]
			if !ok {
				t.Fatalf("%s %s: there are no expectations %q", o.method, o.path, name)
			}
			word, _, _ := strings.Cut(name, ",")
			if word == "installation" {
				word = "type"
			}
			for _, kind := range []string{"type", word} {
				path := strings.Replace(o.path, "{kind}", kind, 1)
				targets := strings.Fields(e.targets)
				for _, line := range strings.Split(strings.TrimSpace(e.cells), "\n") {
					fields := strings.Fields(line)
					if len(fields) != len(targets)+1 {
						t.Fatalf("%s: line %q does not fit %q", name, line, e.targets)
					}
					for i, target := range targets {
						all = append(all, cell{o.method, path, fields[0], target, codes[fields[i+1]]})
					}
				}
				for _, line := range strings.Split(strings.TrimSpace(roleExpectations[o.role]), "\n") {
					fields := strings.Fields(line)
					for i, column := range roleTargets[roleWord(name)] {
						for _, target := range strings.Fields(column) {
							all = append(all, cell{o.method, path, fields[0], target, codes[fields[i+1]]})
						}
					}
				}
				for stranger, code := range strangers {
					for _, target := range targets {
						all = append(all, cell{o.method, path, stranger, target, code})
					}
				}
				if !strings.Contains(o.path, "{kind}") || kind == word {
					break
				}
			}
		}
	}
	return all
}

// roleWord is the kind of the targets of an expectation.
func roleWord(name string) string {
	word, _, _ := strings.Cut(name, ",")
	return word
}

func TestAuthorisationMatrix(t *testing.T) {
	f, unexpected, asked := newForest(t), 0, 0
	check := func(f *forest, c cell) {
		asked++
		if got := f.answer(c); got != c.want {
			unexpected++
			t.Errorf("%s %s on %s as %s: %s, want %s", c.method, c.path, c.target, c.caller, got, c.want)
		}
	}
	var later []cell
	before := len(f.recorded())
	all := cells(t)
	for _, c := range all {
		if c.destructive() {
			later = append(later, c)
			continue
		}
		check(f, c)
	}
	if got := len(f.recorded()) - before; got != asked {
		t.Errorf("%d requests left %d events, want one each", asked, got)
	}
	for _, c := range later {
		check(newForest(t), c)
	}
	t.Logf("%d cells, %d unexpected answers", asked, unexpected)
}

// TestEveryRouteIsInTheMatrix fails for a route that nobody has written expectations for, and for one without a verb.
func TestEveryRouteIsInTheMatrix(t *testing.T) {
	listed := map[string]bool{}
	for _, o := range operations {
		listed[o.method+" "+o.path] = true
	}
	for _, r := range lamp.Routes() {
		name := r.Method + " " + r.Path
		if r.Verb == "" {
			t.Errorf("%s has no verb, so the policy is not asked", name)
		}
		if r.Open != open[name] {
			t.Errorf("%s: open is %v, want %v", name, r.Open, open[name])
		}
		if !listed[name] && !open[name] {
			t.Errorf("%s is not in the matrix", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("the matrix has %s, which is no route", name)
	}
}

// TestMe asks for "me" wherever an id can stand: it is the caller's own object, and for root there is none (section 2).
func TestMe(t *testing.T) {
	f := newForest(t)
	own := map[string]string{"researcher": "R", "study": "S", "participant": "P"}
	for _, o := range operations {
		if o.method == "DELETE" || !strings.Contains(o.path, "{id}") {
			continue
		}
		path := strings.Replace(strings.Replace(o.path, "{id}", "me", 1), "{kind}", "type", 1)
		if got := f.answer(cell{method: o.method, path: path, caller: "root"}); got != "400.context-substitution-failed" {
			t.Errorf("%s %s as root: %s", o.method, path, got)
		}
		word, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		caller, ok := own[word]
		if word == "type" {
			caller, ok = "P", true
		}
		if got := f.answer(cell{method: o.method, path: path, caller: caller}); ok && got != "ok" {
			t.Errorf("%s %s as %s: %s", o.method, path, caller, got)
		}
	}
}
