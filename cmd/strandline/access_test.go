package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// bearer asks with an API key and returns the status of the answer.
func (s *server) bearer(t *testing.T, key, path string) int {
	t.Helper()
	status, _ := s.as(t, "", "GET", path, "", "Authorization", "Bearer "+key)
	return status
}

// post sends what must answer 201, and reads the answer.
func (s *server) post(t *testing.T, who, path, body string) (made struct{ ID, Key string }) {
	t.Helper()
	status, answer := s.as(t, who, "POST", path, body)
	if err := json.Unmarshal([]byte(answer), &made); status != 201 || err != nil {
		t.Fatalf("POST %s %s: %d %s", path, body, status, answer)
	}
	return made
}

// TestKeysAndRoles lets programs and another researcher in and out again, through every door and across kill -9.
func TestKeysAndRoles(t *testing.T) {
	s := startNode(t, t.TempDir())
	made, other := newStudy(t, s, 2), newStudy(t, s, 1)
	for key, origin := range map[string]string{"owner@example.org": made.researcher, "guest@example.org": other.researcher} {
		body := fmt.Sprintf(`{"access_key":%q,"secret_key":"s"}`, key)
		if status, answer := s.as(t, root, "POST", "/type/"+origin+"/credential", body); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	owner, guest := "owner@example.org:s", "guest@example.org:s"
	lamp, native := "/study/"+made.id+"/participant", "/strandline/v1/documents/study/"+made.id

	own := s.post(t, owner, "/strandline/v1/api-keys", `{"name":"export"}`)
	admin := s.post(t, root, "/strandline/v1/api-keys", `{}`)
	doomed := s.post(t, root, "/strandline/v1/api-keys", fmt.Sprintf(`{"origin":%q}`, made.participants[1]))
	foreign := s.post(t, guest, "/strandline/v1/api-keys", `{}`)
	keys := func(when string, want map[string][4]int) {
		t.Helper()
		for name, key := range map[string]string{"own": own.Key, "admin": admin.Key, "foreign": foreign.Key, "doomed": doomed.Key} {
			got := [4]int{s.bearer(t, key, lamp), s.bearer(t, key, native), s.bearer(t, key, "/type/me/parent"), s.bearer(t, key, "/strandline/v1/projections")}
			if got != want[name] {
				t.Errorf("%s, the key %s: %v, want %v", when, name, got, want[name])
			}
		}
	}
	all := map[string][4]int{"own": {200, 200, 200, 403}, "admin": {200, 200, 400, 200}, "foreign": {403, 403, 200, 403}, "doomed": {403, 403, 200, 403}}
	keys("at first", all)
	if _, list := s.as(t, root, "GET", "/type/"+made.researcher+"/credential", ""); strings.Count(list, "access_key") != 1 {
		t.Errorf("the LAMP list of credentials: %s", list)
	}
	s.kill()
	s = startNode(t, s.data)
	keys("after kill -9", all)

	grant := func(to string) string {
		return s.post(t, owner, "/strandline/v1/grants", fmt.Sprintf(`{"access_key":"guest@example.org","object":%q,"role":"reader"%s}`, made.id, to)).ID
	}
	reads := func(when string, want int) {
		t.Helper()
		for _, path := range []string{lamp, native, "/participant/" + made.participants[0] + "/sensor_event", "/strandline/v1/subjects/" + made.participants[0] + "/series"} {
			if status, _ := s.as(t, guest, "GET", path, ""); status != want {
				t.Errorf("%s: GET %s: %d, want %d", when, path, status, want)
			}
		}
		if status, _ := s.as(t, guest, "POST", "/participant/"+made.participants[0]+"/sensor_event", reading(1)); status != 403 {
			t.Errorf("%s a reader writes: %d", when, status)
		}
	}
	reads("before a role", 403)
	grant(`,"to":"2020-01-01T00:00:00Z"`)
	reads("with a role that has expired", 403)
	grant(`,"from":"2100-01-01T00:00:00Z"`)
	reads("with a role that is to come", 403)
	end := time.Now().Add(2 * time.Second).UTC()
	grant(`,"to":"` + end.Format(time.RFC3339Nano) + `"`)
	reads("with a role for a moment", 200)
	time.Sleep(time.Until(end.Add(10 * time.Millisecond)))
	reads("when the moment is over", 403)
	role := grant("")
	reads("with a role", 200)
	s.kill()
	s = startNode(t, s.data)
	reads("with a role, after kill -9", 200)
	if status, answer := s.as(t, owner, "DELETE", "/strandline/v1/grants/"+role, ""); status != 200 {
		t.Fatalf("withdraw: %d %s", status, answer)
	}
	reads("once it is withdrawn", 403)

	if status, answer := s.as(t, owner, "DELETE", "/strandline/v1/api-keys/"+own.ID, ""); status != 200 {
		t.Fatalf("revoke: %d %s", status, answer)
	}
	if status, answer := s.as(t, root, "DELETE", "/participant/"+made.participants[1], ""); status != 200 {
		t.Fatalf("remove: %d %s", status, answer)
	}
	all["own"], all["doomed"] = [4]int{401, 401, 401, 401}, [4]int{401, 401, 401, 401}
	keys("with the next request", all)
	s.kill()
	s = startNode(t, s.data)
	keys("after another kill -9", all)
	reads("and the role", 403)
	for _, secret := range []string{own.Key, admin.Key} {
		if log := s.log.String(); strings.Contains(log, secret[28:]) {
			t.Errorf("a key is in the server's log")
		}
	}
}

// TestKeysAreOnRecord: what a key does is recorded under its id, as the credential and as the client's key.
func TestKeysAreOnRecord(t *testing.T) {
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 1)
	key := s.post(t, root, "/strandline/v1/api-keys", fmt.Sprintf(`{"origin":%q}`, made.researcher))
	path := "/participant/" + made.participants[0] + "/sensor_event"
	if status, answer := s.as(t, "", "POST", path, reading(1), "Authorization", "Bearer "+key.Key); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	s.as(t, root, "POST", path, reading(2), "Strandline-Api-Key", key.Key)
	s.as(t, root, "POST", path, reading(3), "X-API-Key", "somebody's")
	_, answer := s.as(t, root, "GET", "/strandline/v1/events?type=observation.recorded", "")
	var page struct {
		Events []struct {
			Actor, Credential string
			APIKey            string `json:"api_key"`
		}
	}
	if err := json.Unmarshal([]byte(answer), &page); err != nil || len(page.Events) != 3 {
		t.Fatalf("%s, %v", answer, err)
	}
	if e := page.Events[0]; e.Actor != made.researcher || e.Credential != key.ID || e.APIKey != key.ID {
		t.Errorf("with the key as Bearer: %+v", e)
	}
	if e := page.Events[1]; e.Actor != "root" || e.Credential == key.ID || e.APIKey != key.ID {
		t.Errorf("with the key as the client's: %+v", e)
	}
	if e := page.Events[2]; e.Actor != "root" || e.APIKey == "" || e.APIKey == key.ID || strings.Contains(answer, "somebody") {
		t.Errorf("with a key of others: %+v", e)
	}
	if strings.Contains(answer, key.Key[28:]) {
		t.Error("the key is in the log")
	}
}
