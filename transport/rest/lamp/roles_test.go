package lamp_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"strandline/domain/grant"
	"strandline/transport/rest/signin"
)

// names are the ids in a list, by their names in the tables.
func (f *forest) names(data json.RawMessage) []string {
	f.Helper()
	var list []struct{ ID string }
	f.must(json.Unmarshal(data, &list))
	names := []string{}
	for _, o := range list {
		for name, id := range f.ids {
			if id == o.ID {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// TestListsWithRoles: lists of what a caller may view hold what it holds a role on, and lists of what is beside an object hold
// nothing that the caller may not view by itself.
func TestListsWithRoles(t *testing.T) {
	f := newForest(t)
	give := func(caller, object string, role grant.Role) {
		f.carryOut(grant.Give{ID: caller + " " + object, Object: f.ids[object], Credential: signin.CredentialID(f.keys, caller), Role: role})
	}
	give("X", "P", grant.Reader)  // a participant of another researcher, on one participant
	give("X", "S2", grant.Writer) // and on a study
	give("T", "A", grant.Reader)
	for _, tt := range []struct {
		caller, path string
		want         []string
	}{
		{"reader", "/study", []string{"S", "Y2"}},
		{"reader", "/participant", []string{"P", "Q"}},
		{"owner", "/activity", []string{"A"}},
		{"reader", "/study/{S}/participant", []string{"P", "Q"}},
		{"reader", "/participant/{P}/activity", []string{"A"}},
		{"reader", "/activity/{A}/participant", []string{"P", "Q"}},
		{"auditor", "/study", []string{"Y2"}},
		{"early", "/study", []string{"Y2"}},
		{"late", "/participant", []string{}},
		{"withdrawn", "/participant", []string{}},
		{"X", "/study", []string{"S2"}},
		{"X", "/participant", []string{"O", "P", "X"}},
		{"X", "/activity", []string{"B", "E"}},
		{"X", "/participant/{P}/activity", []string{}}, // the study's surveys are not the participant's
		{"X", "/participant/{X}/activity", []string{"B"}},
		{"T", "/activity", []string{"A", "B"}},
		{"T", "/activity/{A}/participant", []string{}},
	} {
		path := tt.path
		for name, id := range f.ids {
			path = strings.ReplaceAll(path, "{"+name+"}", id)
		}
		if got := f.names(f.ask(f.callers[tt.caller], "GET", path, "")); !slices.Equal(got, tt.want) {
			t.Errorf("GET %s as %s: %v, want %v", tt.path, tt.caller, got, tt.want)
		}
	}
	f.carryOut(grant.Withdraw{ID: "X P", Object: f.ids["P"]})
	if got := f.names(f.ask(f.callers["X"], "GET", "/participant", "")); !slices.Equal(got, []string{"O", "X"}) {
		t.Errorf("with the next request after a role was withdrawn: %v", got)
	}
	if got := f.send(f.callers["X"], "GET", "/participant/"+f.ids["P"], ""); got.Code != 403 {
		t.Errorf("what was granted on: %d", got.Code)
	}
	f.carryOut(grant.Give{ID: "all", Credential: signin.CredentialID(f.keys, "X"), Role: grant.Reader})
	if got := f.names(f.ask(f.callers["X"], "GET", "/study", "")); !slices.Equal(got, []string{"F", "S", "S2", "U", "V", "Y2"}) {
		t.Errorf("a reader of the installation: %v", got)
	}
	if got := f.names(f.ask(f.callers["X"], "GET", "/researcher", "")); !slices.Equal(got, []string{"R", "T", "Y"}) {
		t.Errorf("researchers, for a reader of the installation: %v", got)
	}
}
