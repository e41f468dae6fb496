package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"strandline/domain/observation"
)

// TestRolesOnNativeRoutes is the matrix of callers who hold a role on the study, and of routes: written by hand from the issue
// "Doors for people" and decision 23. Each caller signs in for another researcher.
func TestRolesOnNativeRoutes(t *testing.T) {
	w := newReal(t)
	w.observe("c", observation.Item{Series: "s", Value: []byte("1")})
	later, earlier := time.Now().Add(time.Hour).Format(time.RFC3339), time.Now().Add(-time.Hour).Format(time.RFC3339)
	for caller, extra := range map[string]string{
		"reader": ``, "writer": ``, "owner": ``, "auditor": ``,
		"early": `,"from":"` + later + `"`, "late": `,"to":"` + earlier + `"`, "withdrawn": ``,
	} {
		role := caller
		if extra != "" || caller == "withdrawn" {
			role = "owner"
		}
		w.issue(caller, rivalID)
		g := w.give("admin", fmt.Sprintf(`{"access_key":%q,"object":%q,"role":%q%s}`, caller, studyID, role, extra))
		if caller == "withdrawn" {
			w.send("admin", "DELETE", "/grants/"+g.ID, "")
		}
	}
	const columns = "reader writer owner auditor early late withdrawn"
	for _, tt := range []struct {
		method, path, body string
		cells              string // in the order of the columns
	}{
		{"GET", "/documents/study/{S}", "", "200 200 200 403 403 403 403"},
		{"GET", "/documents/participant/{P}", "", "200 200 200 403 403 403 403"},
		{"GET", "/documents/participant/{other}", "", "403 403 403 403 403 403 403"},
		{"PUT", "/documents/study/{S}", `{"name":"x"}`, "403 200 200 403 403 403 403"},
		{"POST", "/documents/sensor", `{"parent":"{S}","body":{"name":"n"}}`, "403 201 201 403 403 403 403"},
		{"POST", "/documents/study", `{"parent":"{R}","body":{"name":"n"}}`, "403 403 403 403 403 403 403"},
		{"DELETE", "/documents/sensor/{sensor}", "", "403 403 200 403 403 403 403"},
		{"GET", "/subjects/{P}/series", "", "200 200 200 403 403 403 403"},
		{"GET", "/subjects/{P}/series/latest", "", "200 200 200 403 403 403 403"},
		{"GET", "/subjects/{other}/series", "", "403 403 403 403 403 403 403"},
		{"POST", "/api-keys", `{"origin":"{P}"}`, "403 403 201 403 403 403 403"},
		{"POST", "/grants", `{"access_key":"{stranger}","object":"{P}","role":"reader"}`, "403 403 201 403 403 403 403"},
		{"POST", "/grants", `{"access_key":"{stranger}","object":"{P}","role":"auditor"}`, "403 403 403 403 403 403 403"},
		{"POST", "/projections/series/rebuild", "", "403 403 403 403 403 403 403"},
	} {
		for i, caller := range strings.Fields(columns) {
			fill := strings.NewReplacer("{S}", studyID, "{R}", researcherID, "{P}", participantID, "{other}", strangerID, "{stranger}", strangerID)
			path := strings.Replace(fill.Replace(tt.path), "{sensor}", w.addSensor(), 1)
			got := w.send(caller, tt.method, path, fill.Replace(tt.body))
			if want := strings.Fields(tt.cells)[i]; fmt.Sprint(got.Code) != want {
				t.Errorf("%s %s as %s: %d %s, want %s", tt.method, tt.path, caller, got.Code, got.Body, want)
			}
		}
	}
	// Stored events are for auditors of what they are about: the study, its participant with one observation, and its sensors.
	for i, caller := range strings.Fields(columns) {
		answer := w.send(caller, "GET", "/events?type=observation.recorded,study.added,participant.added", "")
		if got, want := strings.Count(answer.Body, `"stream"`), []int{0, 0, 0, 3, 0, 0, 0}[i]; answer.Code != 200 || got != want {
			t.Errorf("%s sees %d events, want %d: %s", caller, got, want, answer.Body)
		}
	}
}

// addSensor adds a sensor to the study, and returns its id.
func (w *real) addSensor() string {
	w.Helper()
	made, _ := w.make("sensor", `{"parent":"`+studyID+`","body":{"name":"n"}}`)
	return made.ID
}
