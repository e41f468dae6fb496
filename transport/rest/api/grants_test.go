package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"strandline/domain/account"
	"strandline/domain/registry"
	"strandline/transport/rest/signin"
)

type grantShown struct {
	ID, Role, Credential, By string
	Object                   *string
	AccessKey                string `json:"access_key"`
	From, To                 *time.Time
	Given                    time.Time
}

// give has somebody grant a role and returns the grant.
func (w *real) give(who, body string) grantShown {
	w.Helper()
	answer := w.send(who, "POST", "/grants", body)
	if answer.Code != 201 {
		w.Fatalf("POST /grants %s as %s: %d %s", body, who, answer.Code, answer.Body)
	}
	return read[grantShown](w, answer)
}

// listed are the ids of the grants or keys that somebody gets to see.
func (w *real) listed(who, path string) []string {
	w.Helper()
	answer := w.send(who, "GET", path, "")
	if answer.Code != 200 {
		w.Fatalf("GET %s as %s: %d %s", path, who, answer.Code, answer.Body)
	}
	page := read[struct{ Grants, Keys []struct{ ID string } }](w, answer)
	ids := []string{}
	for _, one := range append(page.Grants, page.Keys...) {
		ids = append(ids, one.ID)
	}
	return ids
}

func TestGrantsLive(t *testing.T) {
	w := newReal(t)
	before := time.Now().Add(-time.Second)
	from, to := time.Now().Add(-time.Hour).UTC().Truncate(time.Second), time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	rival := signin.CredentialID(w.keys, rivalID)

	if got := w.send(rivalID, "GET", "/documents/study/"+studyID, ""); got.Code != 403 {
		t.Fatalf("before anything is granted: %d", got.Code)
	}
	g := w.give("admin", fmt.Sprintf(`{"access_key":%q,"object":%q,"role":"reader","from":%q,"to":%q}`, rivalID, studyID, from.Format(time.RFC3339), to.Format(time.RFC3339)))
	if g.ID == "" || *g.Object != studyID || g.Role != "reader" || g.Credential != rival || g.AccessKey != rivalID ||
		!g.From.Equal(from) || !g.To.Equal(to) || g.Given.Before(before) || g.By != "root" {
		t.Errorf("given: %+v", g)
	}
	if got := w.send(rivalID, "GET", "/documents/study/"+studyID, ""); got.Code != 200 {
		t.Errorf("the next request of the reader: %d %s", got.Code, got.Body)
	}
	if got := w.send(rivalID, "DELETE", "/documents/study/"+studyID, ""); got.Code != 403 {
		t.Errorf("a reader deletes: %d", got.Code)
	}
	forever := w.give(researcherID, fmt.Sprintf(`{"credential":%q,"object":%q,"role":"owner"}`, rival, participantID))
	if forever.From != nil || forever.To != nil || forever.By != researcherID {
		t.Errorf("given for ever: %+v", forever)
	}
	installation := w.give("admin", fmt.Sprintf(`{"access_key":%q,"object":null,"role":"auditor"}`, rivalID))
	if installation.Object != nil {
		t.Errorf("given on the installation: %+v", installation)
	}

	for who, want := range map[string][]string{
		"admin":      {g.ID, forever.ID, installation.ID},
		researcherID: {g.ID, forever.ID},
		rivalID:      {g.ID, forever.ID, installation.ID}, // its own
		studyID:      {},
		strangerID:   {},
	} {
		if got := w.listed(who, "/grants"); !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", who, got, want)
		}
	}
	for query, want := range map[string][]string{
		"?object=" + studyID: {g.ID}, "?object=null": {installation.ID}, "?credential=" + rival: {g.ID, forever.ID, installation.ID},
		"?credential=nobody": {}, "?object=" + participantID + "&credential=" + rival: {forever.ID},
	} {
		if got := w.listed("admin", "/grants"+query); !slices.Equal(got, want) {
			t.Errorf("/grants%s: %v, want %v", query, got, want)
		}
	}

	for i, path := range []string{"/grants/" + g.ID, "/grants?id=" + installation.ID} {
		if got := w.send("admin", "DELETE", path, ""); got.Code != 200 {
			t.Errorf("DELETE %s: %d %s", path, got.Code, got.Body)
		}
		events := w.count()
		if got := w.send("admin", "DELETE", path, ""); got.Code != 200 || w.count() != events {
			t.Errorf("DELETE %s once more: %d %s, %d events", path, got.Code, got.Body, w.count()-events)
		}
		if got := w.listed("admin", "/grants"); len(got) != 2-i {
			t.Errorf("after DELETE %s: %v", path, got)
		}
	}
	if got := w.send(rivalID, "GET", "/documents/study/"+studyID, ""); got.Code != 403 {
		t.Errorf("the next request after it was withdrawn: %d", got.Code)
	}
	w.do(account.Revoke{ID: rival, Origin: rivalID})
	if got := w.listed("admin", "/grants"); len(got) != 0 {
		t.Errorf("of a credential that is revoked: %v", got)
	}
}

// TestWhoMayGrantWhat is the table of who may give a role, and so may withdraw it.
func TestWhoMayGrantWhat(t *testing.T) {
	w := newReal(t)
	for who, role := range map[string]string{"owner": "owner", "writer": "writer", "reader": "reader", "auditor": "auditor"} {
		w.issue(who, strangerID)
		w.give("admin", fmt.Sprintf(`{"access_key":%q,"object":%q,"role":%q}`, who, studyID, role))
	}
	w.give("admin", fmt.Sprintf(`{"access_key":%q,"object":null,"role":"owner"}`, otherStudyID))
	for _, tt := range []struct {
		object, role string
		allowed      string
	}{
		{studyID, "reader", "admin researcher owner all"}, {studyID, "writer", "admin researcher owner all"},
		{studyID, "owner", "admin researcher"}, {studyID, "auditor", "admin"},
		{participantID, "reader", "admin researcher owner all"}, {participantID, "owner", "admin researcher"}, {participantID, "auditor", "admin"},
		{researcherID, "reader", "admin researcher all"}, {researcherID, "owner", "admin researcher"}, {researcherID, "auditor", "admin"},
		{rivalID, "reader", "admin all"}, {"null", "reader", "admin"}, {"null", "owner", "admin"}, {"null", "auditor", "admin"},
	} {
		for name, who := range map[string]string{
			"admin": "admin", "researcher": researcherID, "study": studyID, "participant": participantID, "owner": "owner",
			"writer": "writer", "reader": "reader", "auditor": "auditor", "stranger": strangerID, "all": otherStudyID,
		} {
			body := fmt.Sprintf(`{"access_key":%q,"object":%q,"role":%q}`, rivalID, tt.object, tt.role)
			want := map[bool]int{true: 201, false: 403}[slices.Contains(strings.Fields(tt.allowed), name)]
			got := w.send(who, "POST", "/grants", body)
			if got.Code != want {
				t.Errorf("%s makes somebody %s of %s: %d %s, want %d", name, tt.role, tt.object, got.Code, got.Body, want)
			}
			given := read[grantShown](t, got).ID
			if got.Code != 201 {
				given = w.give("admin", body).ID
			}
			want = map[bool]int{true: 200, false: 403}[want == 201]
			if got := w.send(who, "DELETE", "/grants/"+given, ""); got.Code != want {
				t.Errorf("%s withdraws %s of %s: %d %s, want %d", name, tt.role, tt.object, got.Code, got.Body, want)
			}
		}
	}
}

func TestGrantsRefuse(t *testing.T) {
	w := newReal(t)
	good := fmt.Sprintf(`"access_key":%q,"object":%q,"role":"reader"`, rivalID, studyID)
	w.do(registry.Remove{Key: otherStudyID, Kind: registry.Study, ID: otherStudyID})
	for _, tt := range []struct {
		who, method, path, body string
		status                  int
		code                    string
	}{
		{"", "GET", "/grants", "", 401, "credentials-missing"},
		{"", "POST", "/grants", "{" + good + "}", 401, "credentials-missing"},
		{"", "DELETE", "/grants/x", "", 401, "credentials-missing"},
		{"admin", "POST", "/grants", "", 400, "invalid"},
		{"admin", "POST", "/grants", "{}", 400, "invalid"},
		{"admin", "POST", "/grants", fmt.Sprintf(`{"access_key":%q,"role":"reader"}`, rivalID), 400, "invalid"}, // not the installation
		{"admin", "POST", "/grants", fmt.Sprintf(`{"access_key":%q,"object":"","role":"reader"}`, rivalID), 400, "invalid"},
		{"admin", "POST", "/grants", fmt.Sprintf(`{"access_key":%q,"object":7,"role":"reader"}`, rivalID), 400, "invalid"},
		{"admin", "POST", "/grants", fmt.Sprintf(`{"object":%q,"role":"reader"}`, studyID), 400, "invalid"},
		{"admin", "POST", "/grants", `{"credential":"x",` + good + "}", 400, "invalid"},
		{"admin", "POST", "/grants", strings.Replace("{"+good+"}", "reader", "god", 1), 400, "invalid"},
		{"admin", "POST", "/grants", `{"form":"2026-01-01T00:00:00Z",` + good + "}", 400, "invalid"},
		{"admin", "POST", "/grants", `{"from":"yesterday",` + good + "}", 400, "invalid"},
		{"admin", "POST", "/grants", `{"from":"1960-01-01T00:00:00Z",` + good + "}", 400, "invalid"},
		{"admin", "POST", "/grants", `{"from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z",` + good + "}", 400, "invalid"},
		{"admin", "POST", "/grants", strings.Replace("{"+good+"}", rivalID, "nobody", 1), 404, "not-found"},
		{"admin", "POST", "/grants", strings.Replace("{"+good+"}", studyID, "nothing", 1), 404, "not-found"},
		{"admin", "POST", "/grants", strings.Replace("{"+good+"}", studyID, otherStudyID, 1), 404, "not-found"},
		{rivalID, "POST", "/grants", strings.Replace("{"+good+"}", studyID, "nothing", 1), 404, "not-found"},
		{rivalID, "POST", "/grants", "{" + good + "}", 403, "forbidden"},
		{"admin", "DELETE", "/grants/nothing", "", 404, "not-found"},
		{"admin", "DELETE", "/grants", "", 400, "invalid"},
		{"admin", "GET", "/grants?after=nowhere", "", 400, "invalid"},
		{"admin", "GET", "/grants?limit=0", "", 400, "invalid"},
		{"admin", "GET", "/grants?subject=x", "", 400, "invalid"},
	} {
		got := w.send(tt.who, tt.method, tt.path, tt.body)
		if p := read[struct{ Code string }](t, got); got.Code != tt.status || p.Code != tt.code {
			t.Errorf("%s %s %s as %q: %d %s, want %d %s", tt.method, tt.path, tt.body, tt.who, got.Code, got.Body, tt.status, tt.code)
		}
	}
	if got := w.listed("admin", "/grants"); len(got) != 0 {
		t.Errorf("refused requests gave %v", got)
	}
}

// TestPagesOfGrantsAndKeys walks in pages of every size, while what has been shown is withdrawn and more is given.
func TestPagesOfGrantsAndKeys(t *testing.T) {
	w := newReal(t)
	for path, body := range map[string]string{
		"/grants":   fmt.Sprintf(`{"access_key":%q,"object":%q,"role":"reader"}`, rivalID, studyID),
		"/api-keys": `{"name":"n"}`,
	} {
		for size := 1; size <= 4; size++ {
			var want, seen []string
			for range 3 {
				want = append(want, read[struct{ ID string }](t, w.send("admin", "POST", path, body)).ID)
			}
			next, end := "", false
			for pages := 0; !end; pages++ {
				answer := w.send("admin", "GET", fmt.Sprintf("%s?limit=%d&after=%s", path, size, url.QueryEscape(next)), "")
				page := read[struct {
					Grants, Keys []struct{ ID string }
					Next         string
					End          bool
				}](t, answer)
				for _, one := range append(page.Grants, page.Keys...) {
					seen = append(seen, one.ID)
					w.send("admin", "DELETE", path+"/"+one.ID, "")
				}
				if pages == 0 {
					want = append(want, read[struct{ ID string }](t, w.send("admin", "POST", path, body)).ID)
				}
				if next, end = page.Next, page.End; pages > 5 {
					t.Fatal("the walk does not end")
				}
			}
			for _, id := range w.listed("admin", path) { // given when the last page had been shown
				seen = append(seen, id)
				w.send("admin", "DELETE", path+"/"+id, "")
			}
			if !slices.Equal(seen, want) {
				t.Errorf("%s in pages of %d: %v, want %v", path, size, seen, want)
			}
		}
	}
}

// TestGrantsAreRepeatable sends requests again under their idempotency keys, when what they are about has ended.
func TestGrantsAreRepeatable(t *testing.T) {
	w := newReal(t)
	body := fmt.Sprintf(`{"access_key":%q,"object":%q,"role":"reader"}`, rivalID, studyID)
	first := w.send("admin", "POST", "/grants", body, "Idempotency-Key", "give")
	id := read[grantShown](t, first).ID
	removed := w.send("admin", "DELETE", "/grants/"+id, "", "Idempotency-Key", "withdraw")
	w.do(account.Revoke{ID: signin.CredentialID(w.keys, rivalID), Origin: rivalID})
	w.do(registry.Remove{Key: studyID, Kind: registry.Study, ID: studyID})
	events := w.count()
	if got := w.send("admin", "POST", "/grants", body, "Idempotency-Key", "give"); got.Code != 201 || read[grantShown](t, got).ID != id {
		t.Errorf("giving again: %d %s, first %s", got.Code, got.Body, first.Body)
	}
	if got := w.send("admin", "DELETE", "/grants/"+id, "", "Idempotency-Key", "withdraw"); got.Code != 200 || got.Body != removed.Body {
		t.Errorf("withdrawing again: %d %s, first %s", got.Code, got.Body, removed.Body)
	}
	if got := w.send("admin", "POST", "/grants", strings.Replace(body, "reader", "writer", 1), "Idempotency-Key", "give"); got.Code != 422 {
		t.Errorf("another role under the key: %d %s", got.Code, got.Body)
	}
	if got := w.count() - events; got != 0 {
		t.Errorf("repetitions left %d events beside their records", got)
	}
	if got := w.send("admin", "POST", "/grants", body, "Idempotency-Key", "another"); got.Code != 404 {
		t.Errorf("giving on what is gone: %d %s", got.Code, got.Body)
	}
}
