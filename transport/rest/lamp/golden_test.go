package lamp_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// script plays requests against a world and writes down what is answered, with names in place of drawn ids.
type script struct {
	*world
	text  strings.Builder
	names map[string]string // ids by name
}

// play sends a request. In path and body, words in braces stand for ids that have been kept under these names.
func (s *script) play(credentials, method, path, body string) []byte {
	s.Helper()
	replace := func(text string) string {
		for name, id := range s.names {
			text = strings.ReplaceAll(text, "{"+name+"}", id)
		}
		return text
	}
	got := s.send(replace(credentials), method, replace(path), replace(body))
	fmt.Fprintf(&s.text, "%s %s  as %s\n", method, path, strings.Split(credentials, ":")[0])
	if body != "" {
		fmt.Fprintf(&s.text, "%s\n", body)
	}
	fmt.Fprintf(&s.text, "%d %s\n\n", got.Code, s.anonymous(indent(got.Body.Bytes())))
	return got.Body.Bytes()
}

// keep plays a request that answers with an id, and keeps that under a name.
func (s *script) keep(name, credentials, method, path, body string) {
	s.Helper()
	s.names[name] = "" // until it is known
	delete(s.names, name)
	before := s.text.Len()
	got := s.play(credentials, method, path, body)
	var id struct{ Data string }
	if json.Unmarshal(got, &id) != nil {
		var object struct{ Data struct{ ID string } }
		_ = json.Unmarshal(got, &object)
		id.Data = object.Data.ID
	}
	if id.Data == "" {
		s.Fatalf("%s %s: no id in %s", method, path, got)
	}
	s.names[name] = id.Data
	written := s.text.String()
	s.text.Reset()
	s.text.WriteString(written[:before] + s.anonymous(written[before:]))
}

var drawnNumber = regexp.MustCompile(`("notification_ids": \[)[0-9,\s]+\]`)

func (s *script) anonymous(text string) string {
	for name, id := range s.names {
		text = strings.ReplaceAll(text, id, "{"+name+"}")
	}
	return drawnNumber.ReplaceAllString(text, "${1}…]")
}

// TestGolden plays a script for each part of the contract and compares the answers with those in testdata.
func TestGolden(t *testing.T) {
	for name, play := range map[string]func(*script){
		"researchers": researchersScript, "studies": studiesScript, "participants": participantsScript,
		"activities": activitiesScript, "sensors": sensorsScript, "specs": specsScript,
		"credentials": credentialsScript, "parents": parentsScript, "events": eventsScript, "tags": tagsScript,
		"dashboard": dashboardScript, "transport": transportScript, "deletion": deletionScript,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{world: newWorld(t), names: map[string]string{}}
			play(s)
			compare(t, filepath.Join("testdata", name+".golden"), s.text.String())
		})
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("answers differ from %s (go test -rewrite writes it anew):\n%s", file, firstDifference(got, string(want)))
	}
}

// firstDifference shows the lines around the first that differs.
func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			from := max(0, i-4)
			return fmt.Sprintf("line %d\n got: %s\nwant: %s\nafter:\n%s", i+1, a[i], b[i], strings.Join(a[from:i], "\n"))
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}

// tree makes a researcher R with study S (its second; F is the first) and participants P and Q.
func (s *script) tree() {
	s.keep("R", root, "POST", "/researcher", `{"name":"Ada"}`)
	s.names["F"] = s.only(s.ask(root, "GET", "/researcher/"+s.names["R"]+"/study", ""))
	s.keep("S", root, "POST", "/researcher/{R}/study", `{"name":"Sleep"}`)
	s.keep("P", root, "POST", "/study/{S}/participant", `{}`)
	s.keep("Q", root, "POST", "/study/{S}/participant", `{}`)
	s.text.Reset()
}

// Contract, section 5.1.
func researchersScript(s *script) {
	s.play(root, "GET", "/researcher", "")
	s.keep("R", root, "POST", "/researcher", `{"name":"Ada","email":"a@example.org"}`)
	s.names["F"] = s.only(s.ask(root, "GET", "/researcher/"+s.names["R"]+"/study", ""))
	s.play(root, "GET", "/researcher/{R}", "")
	s.play(root, "GET", "/researcher/{R}/study", "")
	s.keep("T", root, "POST", "/researcher", `{"name":"Grace \u00e9 \"x\""}`)
	s.play(root, "GET", "/researcher", "")
	s.play(root, "PUT", "/researcher/{R}", `{"name":"Ada L."}`)
	s.play(root, "PUT", "/researcher/{R}", `{}`)
	s.play(root, "PUT", "/researcher/{R}", `{"id":"x","other":1}`)
	s.play(root, "GET", "/researcher/{R}", "")
	s.play(root, "PUT", "/researcher/{R}", `{"name":7}`)
	s.play(root, "POST", "/researcher", `"Ada"`)
	s.play(root, "GET", "/researcher/me", "")
	s.play(root, "GET", "/researcher/null", "")
	s.play(root, "GET", "/researcher/0123456789abcdefghjk", "")
	s.names["login"] = s.issue("ada@example.org", s.names["R"], "s")
	s.play("{login}", "GET", "/researcher/me", "")
	s.play("{login}", "GET", "/researcher", "")
	s.play("{login}", "POST", "/researcher", `{"name":"x"}`)
	s.play("{login}", "GET", "/researcher/{T}", "")
	s.play(root, "DELETE", "/researcher/{T}", "")
	s.play(root, "DELETE", "/researcher/{T}", "")
	s.play(root, "GET", "/researcher", "")
}

// Contract, section 5.2.
func studiesScript(s *script) {
	s.tree()
	s.play(root, "GET", "/researcher/{R}/study", "")
	s.play(root, "GET", "/study/{S}", "")
	s.play(root, "PUT", "/study/{S}", `{"isMessagingEnabled":false}`)
	s.play(root, "PUT", "/study/{S}", `{"name":"Sleep 2"}`)
	s.play(root, "PUT", "/study/{S}", `{"isMessagingEnabled":"no"}`)
	s.play(root, "GET", "/study/{S}", "")
	s.play(root, "GET", "/study/{R}", "")
	s.play(root, "GET", "/study", "")
	s.names["login"] = s.issue("ada", s.names["R"], "s")
	s.play("{login}", "GET", "/study", "")
	s.play("{login}", "GET", "/researcher/me/study", "")
	s.names["patient"] = s.issue("p", s.names["P"], "s")
	s.play("{patient}", "GET", "/study", "")
	s.play("{login}", "DELETE", "/study/{F}", "")
	s.play("{login}", "GET", "/study", "")
}

// Contract, section 5.3.
func participantsScript(s *script) {
	s.tree()
	s.play(root, "GET", "/study/{S}/participant", "")
	s.play(root, "GET", "/researcher/{R}/participant", "")
	s.play(root, "GET", "/participant", "")
	s.play(root, "GET", "/participant/{P}", "")
	s.play(root, "PUT", "/participant/{P}", `{"language":"de"}`)
	s.keep("X", root, "POST", "/study/{S}/participant", `{"study_code":"1","id":"mine"}`)
	s.keep("Y", root, "POST", "/study/{S}/participant", "")
	s.play(root, "POST", "/study/{S}/participant", "{")
	s.names["login"] = s.issue("p", s.names["P"], "s")
	s.play("{login}", "GET", "/participant/me", "")
	s.play("{login}", "GET", "/participant", "")
	s.play("{login}", "GET", "/participant/{Q}", "")
	s.play(root, "DELETE", "/participant/{Y}", "")
	s.play(root, "GET", "/study/{S}/participant", "")
}

// Contract, section 5.4.
func activitiesScript(s *script) {
	s.tree()
	s.keep("A", root, "POST", "/study/{S}/activity", `{"spec":"lamp.survey","name":"Mood","settings":[{"text":"How are you?","n":1.0}],
		"schedule":[{"start_date":"2026-01-01T00:00:00.000Z","time":"2026-01-01T08:00:00.000Z","repeat_interval":"daily","custom_time":null}],
		"category":["assess"],"photo":"x"}`)
	s.keep("B", root, "POST", "/study/{S}/activity", `{}`)
	s.play(root, "GET", "/activity/{A}", "")
	s.play(root, "GET", "/activity/{A}?ignore_binary=true", "")
	s.play(root, "GET", "/study/{S}/activity?ignore_binary=false", "")
	s.play(root, "GET", "/study/{S}/activity?ignore_binary=true", "")
	s.play(root, "GET", "/participant/{P}/activity?ignore_binary=true", "")
	s.play(root, "GET", "/researcher/{R}/activity?ignore_binary=true", "")
	s.play(root, "GET", "/activity/{A}/participant", "")
	s.play(root, "PUT", "/activity/{A}", `{"spec":"lamp.group","name":"Mood 2","category":null}`)
	s.play(root, "PUT", "/activity/{A}", `{"schedule":[{"repeat_interval":"weekly","time":"t","notification_ids":[]},
		{"repeat_interval":"custom","custom_time":["a","b","c"]}]}`)
	s.play(root, "GET", "/activity/{A}", "")
	s.play(root, "PUT", "/activity/{A}", `{"settings":null,"schedule":null,"name":null}`)
	s.play(root, "GET", "/activity/{A}", "")
	s.play(root, "PUT", "/activity/{A}", `{"schedule":{}}`)
	s.play(root, "PUT", "/activity/{A}", `{"schedule":[1]}`)
	s.play(root, "POST", "/study/{S}/activity", `{"name":{}}`)
	s.play(root, "POST", "/study/{S}/activity", `{"category":"assess"}`)
	s.names["login"] = s.issue("p", s.names["P"], "s")
	s.play("{login}", "GET", "/participant/me/activity?ignore_binary=true", "")
	s.play("{login}", "GET", "/activity/{A}", "")
	s.play("{login}", "GET", "/activity", "")
	s.play("{login}", "PUT", "/activity/{A}", `{"name":"x"}`)
	s.play("{login}", "DELETE", "/activity/{A}", "")
	s.play(root, "DELETE", "/activity/{B}", "")
	s.play(root, "GET", "/activity", "")
}

// Contract, section 5.5.
func sensorsScript(s *script) {
	s.tree()
	s.keep("N", root, "POST", "/study/{S}/sensor", `{"spec":"lamp.gps","name":"Where","settings":{"frequency":0.10}}`)
	s.keep("M", root, "POST", "/study/{S}/sensor", `{}`)
	s.play(root, "GET", "/sensor/{N}", "")
	s.play(root, "GET", "/study/{S}/sensor?ignore_binary=false", "")
	s.play(root, "GET", "/participant/{P}/sensor?ignore_binary=true", "")
	s.play(root, "GET", "/researcher/{R}/sensor", "")
	s.play(root, "GET", "/sensor/{N}/participant", "")
	s.play(root, "PUT", "/sensor/{N}", `{"spec":"lamp.steps","settings":{}}`)
	s.play(root, "GET", "/sensor/{N}", "")
	s.play(root, "DELETE", "/sensor/{M}", "")
	s.play(root, "GET", "/sensor", "")
}

// Contract, section 5.6.
func specsScript(s *script) {
	s.names["R"] = s.make("/researcher", `{"name":"Ada"}`)
	s.names["login"] = s.issue("ada", s.names["R"], "s")
	s.play(root, "GET", "/activity_spec", "")
	s.play(root, "POST", "/activity_spec", `{"name":"my.game","executable":"PGh0bWw+","static_data":{"a":1},"category":["learn"]}`)
	s.play(root, "POST", "/activity_spec", `{"name":"my.game"}`)
	s.play(root, "POST", "/sensor_spec", `{"name":"my.sensor","settings_schema":{"type":"object"}}`)
	s.play(root, "POST", "/sensor_spec", `{"name":"my.sensor"}`)
	s.play(root, "POST", "/sensor_spec", `{"settings_schema":{}}`)
	s.play(root, "POST", "/sensor_spec", `{"name":""}`)
	s.play("{login}", "GET", "/activity_spec", "")
	s.play("{login}", "GET", "/activity_spec/my.game", "")
	s.play("{login}", "GET", "/sensor_spec", "")
	s.play("{login}", "GET", "/sensor_spec/my.sensor", "")
	s.play("{login}", "GET", "/sensor_spec/none", "")
	s.play("{login}", "PUT", "/sensor_spec/my.sensor", `{}`)
	s.play("{login}", "POST", "/sensor_spec", `{"name":"x"}`)
	s.play(root, "PUT", "/activity_spec/my.game", `{"description":"A game","category":null}`)
	s.play(root, "GET", "/activity_spec/my.game", "")
	s.play(root, "PUT", "/activity_spec/none", `{}`)
	s.play(root, "DELETE", "/activity_spec/my.game", "")
	s.play(root, "DELETE", "/activity_spec/my.game", "")
	s.play(root, "GET", "/activity_spec/my.game", "")
	s.play(root, "POST", "/activity_spec", `{"name":"my.game","description":"Another"}`)
	s.play(root, "GET", "/activity_spec/my.game", "")
	s.play(root, "POST", "/activity_spec", `{"name":"a/b c"}`)
	s.play(root, "GET", "/activity_spec/a%2Fb%20c", "")
}

// Contract, section 5.7.
func credentialsScript(s *script) {
	s.tree()
	s.play(root, "GET", "/type/{P}/credential", "")
	s.play(root, "POST", "/type/{P}/credential", `{"origin":"{P}","access_key":"{P}@digitalpsych.org","secret_key":"{P}","description":"Temporary Login"}`)
	s.play(root, "POST", "/type/{P}/credential", `{"origin":"me","access_key":"two","secret_key":"a:b"}`)
	s.play(root, "POST", "/participant/{P}/credential", `{"origin":null,"access_key":"three","secret_key":"x","description":null}`)
	s.play(root, "POST", "/type/{Q}/credential", `{"access_key":"two","secret_key":"x"}`)
	for _, body := range []string{
		`{"origin":"{Q}","access_key":"four","secret_key":"x"}`, `{"access_key":"four"}`, `{"secret_key":"x"}`, `{}`, `[]`,
		`{"access_key":4,"secret_key":"x"}`, `{"access_key":"four","secret_key":"x","description":7}`, `{"access_key":"a:b","secret_key":"x"}`,
	} {
		s.play(root, "POST", "/type/{P}/credential", body)
	}
	s.play(root, "GET", "/type/{P}/credential", "")
	s.play("{P}@digitalpsych.org:{P}", "GET", "/participant/me", "")
	s.play("two:a:b", "GET", "/type/me/credential", "")
	s.play("two:a:b", "PUT", "/type/me/credential/two", `{"origin":"{P}","access_key":"two","secret_key":"new","description":"Mine"}`)
	s.play("two:a:b", "GET", "/participant/me", "")
	s.play("two:new", "PUT", "/type/me/credential/two", `"newer"`)
	s.play("two:newer", "PUT", "/type/me/credential/two", `{"secret_key":null,"description":null}`)
	s.play("two:newer", "PUT", "/type/me/credential/two", `{}`)
	s.play("two:newer", "PUT", "/type/me/credential/two", `""`)
	s.play("two:newer", "PUT", "/type/me/credential/two", `7`)
	s.play("two:newer", "GET", "/type/{Q}/credential", "")
	s.play("two:newer", "POST", "/type/{Q}/credential", `{"access_key":"x","secret_key":"x"}`)
	s.play(root, "PUT", "/type/{P}/credential/none", `{"secret_key":"x"}`)
	s.play(root, "PUT", "/type/{Q}/credential/two", `{"secret_key":"x"}`)
	s.play(root, "DELETE", "/type/{Q}/credential/two", "")
	s.play(root, "DELETE", "/type/{P}/credential/{P}@digitalpsych.org", "")
	s.play("{P}@digitalpsych.org:{P}", "GET", "/participant/me", "")
	s.play(root, "DELETE", "/type/{P}/credential/none", "")
	s.play(root, "DELETE", "/type/{P}/credential/two", "")
	s.play(root, "POST", "/type/{Q}/credential", `{"access_key":"two","secret_key":"again"}`)
	s.play("two:newer", "GET", "/participant/me", "")
	s.play("two:again", "GET", "/participant/me", "")
	s.play(root, "POST", "/type/null/credential", `{"origin":null,"access_key":"second","secret_key":"s","description":"Another root"}`)
	s.play("second:s", "GET", "/type/null/credential", "")
	s.play("two:again", "GET", "/type/null/credential", "")
	s.play(root, "GET", "/type/me/credential", "")
}

// Contract, section 5.8.
func parentsScript(s *script) {
	s.tree()
	s.names["A"] = s.make("/study/"+s.names["S"]+"/activity", `{}`)
	s.names["N"] = s.make("/study/"+s.names["S"]+"/sensor", `{}`)
	s.names["researcher"], s.names["patient"], s.names["study"] = s.issue("r", s.names["R"], "s"), s.issue("p", s.names["P"], "s"), s.issue("s", s.names["S"], "s")
	for _, path := range []string{"/type/me/parent", "/type/null/parent", "/type/{R}/parent", "/type/{S}/parent", "/type/{P}/parent",
		"/type/{A}/parent", "/type/{N}/parent", "/sensor/{P}/parent", "/researcher/{P}/parent", "/type/nobody/parent"} {
		s.play(root, "GET", path, "")
	}
	s.play("{researcher}", "GET", "/type/me/parent", "")
	s.play("{study}", "GET", "/type/me/parent", "")
	s.play("{patient}", "GET", "/type/me/parent", "")
	s.play("{patient}", "GET", "/type/{A}/parent", "")
	s.play("{patient}", "GET", "/type/{Q}/parent", "")
	s.play("{patient}", "GET", "/type/null/parent", "")
}

// Contract, section 6.
func eventsScript(s *script) {
	s.tree()
	s.names["login"] = s.issue("p", s.names["P"], "s")
	events := "/participant/{P}/sensor_event"
	s.play("{login}", "POST", "/participant/me/sensor_event", `{"timestamp":3,"sensor":"a","data":{"x":1.50,"y":"\u0000"}}`)
	s.play("{login}", "POST", events, `[{"timestamp":1,"sensor":"a","data":1},{"timestamp":2,"sensor":"b","data":[]},{"timestamp":"3","sensor":"a","data":{"x":1.50,"y":"\u0000"}}]`)
	s.play("{login}", "POST", events, `{"sensor":"b"}`)
	s.play("{login}", "POST", events, `[]`)
	s.play("{login}", "POST", events, `[{"sensor":"b"},{"timestamp":"x","sensor":"b"}]`)
	for _, query := range []string{"", "?origin=a", "?origin=none", "?from=2", "?to=3", "?from=2&to=2", "?from=1&to=3", "?limit=2",
		"?limit=-2", "?limit=0", "?limit=x", "?from=1.5&limit=-1", "?from=x", "?to=1e", "?from=3&to=1", "?from=1e300", "?unknown=1"} {
		s.play("{login}", "GET", events+query, "")
	}
	events = "/participant/{P}/activity_event"
	s.play("{login}", "POST", events, `{"timestamp":10,"duration":"5","activity":"none","static_data":{"url":"data:audio/mp3;base64,AA","n":1},
		"temporal_slices":[{"item":"q","value":"v","type":null,"duration":1,"level":null}],"_parent":"x"}`)
	s.play("{login}", "POST", events, `[{"activity":"other"}]`)
	s.play("{login}", "GET", events+"?ignore_binary=false", "")
	s.play("{login}", "GET", events+"?ignore_binary=true&origin=none", "")
	s.play("{login}", "GET", "/participant/{Q}/sensor_event", "")
	s.play("{login}", "POST", "/participant/{Q}/sensor_event", `{"sensor":"a"}`)
	s.play(root, "POST", "/participant/{Q}/sensor_event", `{"timestamp":2,"sensor":"q"}`)
	s.play(root, "GET", "/study/{S}/sensor_event?limit=3", "")
	s.play(root, "GET", "/study/{S}/sensor_event?limit=-3", "")
	s.play(root, "GET", "/study/{S}/activity_event", "")
	s.play(root, "GET", "/researcher/{R}/activity_event?ignore_binary=true", "")
	s.play(root, "POST", "/researcher/{R}/sensor_event", `{"timestamp":7,"sensor":"r"}`)
	s.play(root, "GET", "/researcher/{R}/sensor_event", "")
	s.play("{login}", "DELETE", "/participant/me/sensor_event?origin=a&from=1&to=3", "")
	s.play("{login}", "DELETE", "/participant/me/sensor_event?from=soon", "")
	s.play("{login}", "GET", "/participant/me/sensor_event", "")
	s.play("{login}", "DELETE", "/participant/me/sensor_event", "")
	s.play("{login}", "GET", "/participant/me/sensor_event", "")
	s.play("{login}", "GET", "/participant/me/activity_event?limit=1", "")
	s.play(root, "GET", "/participant/U9999999999/sensor_event", "")
	s.play(root, "POST", "/participant/U9999999999/sensor_event", `{"sensor":"a"}`)
}

// Contract, section 7.
func tagsScript(s *script) {
	s.tree()
	s.names["researcher"], s.names["patient"] = s.issue("r", s.names["R"], "s"), s.issue("p", s.names["P"], "s")
	tag := "/type/{P}/attachment"
	s.play(root, "GET", tag, "")
	s.play(root, "GET", tag+"/k", "")
	// from the weakest place to the strongest
	for _, path := range []string{"/type/{P}/attachment/k/me", "/type/{P}/attachment/k/{P}", "/type/{S}/attachment/k/*",
		"/type/{R}/attachment/k/*", "/type/null/attachment/k/*", "/type/{S}/attachment/k/Participant",
		"/type/{R}/attachment/k/Participant", "/type/null/attachment/k/Participant", "/type/{S}/attachment/k/{P}",
		"/type/{R}/attachment/k/{P}", "/type/null/attachment/k/{P}"} {
		s.play(root, "PUT", path, `"`+path+`"`)
		s.play("{patient}", "GET", "/type/me/attachment/k", "")
	}
	s.play(root, "PUT", "/type/{R}/attachment/mine/me", `1`)
	s.play(root, "GET", tag+"/mine", "")
	s.play(root, "PUT", "/type/{R}/attachment/others/Activity", `1`)
	s.play(root, "PUT", tag+"/lamp.name/me", `"Jo"`)
	s.play("{patient}", "GET", "/participant/me/tag", "")
	s.play("{patient}", "GET", "/participant/me/tag/lamp.name", "")
	for _, value := range []string{`0`, `false`, `""`, `[]`, `{}`, `{"b": 1.0, "a": "\u0000\ud800"}`, `[1,[2],3]`} {
		s.play("{patient}", "PUT", "/type/me/attachment/v/me", value)
		s.play("{patient}", "GET", "/type/me/attachment/v", "")
	}
	for _, index := range []string{"0", "-1", "3", "length", "x", "1"} {
		s.play("{patient}", "GET", "/type/me/attachment/v/"+index, "")
	}
	s.play("{patient}", "PUT", "/type/me/attachment/v/me", `null`)
	s.play("{patient}", "PUT", "/type/me/attachment/v/me", `null`)
	s.play("{patient}", "GET", "/type/me/attachment/v", "")
	s.play("{patient}", "GET", "/type/me/attachment/v/0", "")
	s.play("{patient}", "GET", "/type/me/attachment/dynamic/key", "")
	s.play("{patient}", "PUT", "/type/me/attachment/dynamic/key/target", `{}`)
	s.play("{patient}", "PUT", "/type/{Q}/attachment/k/me", `1`)
	s.play("{patient}", "GET", "/type/{Q}/attachment/k", "")
	s.play(root, "PUT", "/type/null/attachment/lamp.dashboard.hide_activities/me", `["x"]`)
	s.play(root, "GET", "/type/null/attachment", "")
	s.play(root, "GET", "/type/null/attachment/lamp.dashboard.hide_activities", "")
	s.play("{patient}", "GET", "/type/null/attachment/lamp.dashboard.hide_activities", "")
	s.play("{patient}", "PUT", "/type/null/attachment/k/me", `1`)
	s.play("{researcher}", "GET", "/type/null/attachment", "")
	s.play("{researcher}", "PUT", "/researcher/me/tag/lamp.automation/me", `"data:application/zip"`)
	s.play("{researcher}", "GET", "/researcher/me/tag", "")
	s.play("{patient}", "GET", "/type/{R}/tag/lamp.automation", "")
	s.play(root, "GET", "/type/me/attachment/k", "")
}

// Contract, sections 3.4, 8.3 and 9.
func dashboardScript(s *script) {
	s.tree()
	s.names["A"] = s.make("/study/"+s.names["S"]+"/activity", `{"spec":"lamp.survey","name":"Mood","settings":[1]}`)
	s.names["N"] = s.make("/study/"+s.names["S"]+"/sensor", `{"spec":"lamp.gps","name":"Where","settings":{"a":1}}`)
	for _, word := range []string{"participant", "activity", "sensor"} {
		s.play(root, "GET", "/researcher/{R}/_lookup/"+word, "")
		s.play(root, "GET", "/researcher/{R}/_lookup/"+word+"?study_id={F}", "")
	}
	s.play(root, "PUT", "/type/{R}/attachment/to.unityhealth.psychiatry.enabled/me", `true`)
	s.play(root, "GET", "/researcher/{R}/_lookup/participant?study_id={S}", "")
	s.play(root, "GET", "/researcher/{R}/_lookup/participant?study_id=none", "")
	s.play("", "GET", "/server-info", "")
}

// Contract, section 1.
func transportScript(s *script) {
	s.play(root, "GET", "/nothing", "")
	s.play("", "GET", "/nothing", "")
	s.play(root, "PATCH", "/researcher", "")
	s.play(root, "GET", "/researcher/", "")
	s.play(root, "GET", "//researcher", "")
	s.play("", "GET", "/researcher", "")
	s.play("admin", "GET", "/researcher", "")
	s.play("admin:", "GET", "/researcher", "")
	s.play("YWRtaW46c2VjcmV0", "GET", "/researcher", "")
	s.play("admin:wrong", "GET", "/researcher", "")
	s.play("nobody:secret", "GET", "/researcher", "")
	s.play(root, "POST", "/researcher", "")
	s.play(root, "POST", "/researcher", `{"name":"a"`)
	s.play(root, "POST", "/researcher", `{"name":"a","name":"b"}`)
	s.play(root, "POST", "/researcher", strings.Repeat("[", 65)+strings.Repeat("]", 65))
	s.play(root, "GET", "/researcher/%00", "")
	s.play(root, "GET", "/researcher/a%2Fb", "")
	s.play(root, "POST", "/login", `{"accessKey":"admin","secretKey":"secret"}`)
	s.play(root, "POST", "/", `"$LAMP"`)
}

// Contract, section 12.
func deletionScript(s *script) {
	s.tree()
	s.names["A"] = s.make("/study/"+s.names["S"]+"/activity", `{"name":"Mood"}`)
	s.names["patient"] = s.issue("p", s.names["P"], "s")
	s.play("{patient}", "POST", "/participant/me/activity_event", `{"activity":"{A}","timestamp":1}`)
	s.play(root, "DELETE", "/activity/{A}", "")
	s.play("{patient}", "GET", "/participant/me/activity_event", "")
	s.play(root, "DELETE", "/study/{S}", "")
	s.play(root, "GET", "/participant/{P}", "")
	s.play(root, "GET", "/participant/{P}/activity_event", "")
	s.play(root, "GET", "/type/{P}/credential", "")
	s.play("{patient}", "GET", "/type/me/parent", "")
	s.play(root, "DELETE", "/study/{S}", "")
	s.play(root, "POST", "/type/{R}/credential", `{"access_key":"p","secret_key":"x"}`)
	s.play("p:x", "GET", "/type/me/parent", "")
}
