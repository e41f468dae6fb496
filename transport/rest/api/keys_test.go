package api_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"strandline/domain/registry"
)

type keyShown struct {
	ID, Name, Key, By string
	Origin            *string
	From, To, Issued  *time.Time
}

// issueKey has somebody issue an API key.
func (w *real) issueKey(who, body string) keyShown {
	w.Helper()
	answer := w.send(who, "POST", "/api-keys", body)
	if answer.Code != 201 {
		w.Fatalf("POST /api-keys %s as %s: %d %s", body, who, answer.Code, answer.Body)
	}
	return read[keyShown](w, answer)
}

// with makes a request with an API key.
func (w *real) with(key, method, path, body string) answered {
	w.Helper()
	return w.send("", method, path, body, "Authorization", "Bearer "+key)
}

func TestKeysLive(t *testing.T) {
	w := newReal(t)
	root := w.issueKey("admin", `{"name":"of root"}`)
	own := w.issueKey(researcherID, `{}`)
	below := w.issueKey(researcherID, fmt.Sprintf(`{"origin":%q,"to":"2100-01-01T00:00:00Z"}`, studyID))
	null := w.issueKey("admin", `{"origin":"null"}`)
	if root.Origin != nil || null.Origin != nil || *own.Origin != researcherID || *below.Origin != studyID || own.By != researcherID || root.By != "root" ||
		root.Name != "of root" || below.From != nil || below.To.Year() != 2100 || time.Since(*root.Issued) > time.Minute || !strings.HasPrefix(root.Key, "sl_"+root.ID) {
		t.Errorf("issued %+v, %+v, %+v, %+v", root, own, below, null)
	}
	for _, tt := range []struct {
		key  keyShown
		path string
		want int
	}{
		{root, "/documents/study/" + studyID, 200}, {own, "/documents/study/" + studyID, 200}, {below, "/documents/study/" + studyID, 200},
		{below, "/documents/researcher/" + researcherID, 403}, {own, "/documents/researcher/" + rivalID, 403}, {null, "/documents/researcher/" + rivalID, 200},
	} {
		if got := w.with(tt.key.Key, "GET", tt.path, ""); got.Code != tt.want {
			t.Errorf("GET %s with a key of %v: %d %s, want %d", tt.path, tt.key.Origin, got.Code, got.Body, tt.want)
		}
	}
	for who, want := range map[string][]string{
		"admin": {root.ID, own.ID, below.ID, null.ID}, researcherID: {own.ID, below.ID}, studyID: {below.ID}, participantID: {}, rivalID: {},
	} {
		if got := w.listed(who, "/api-keys"); !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", who, got, want)
		}
	}
	for query, want := range map[string][]string{"?origin=null": {root.ID, null.ID}, "?origin=" + studyID: {below.ID}, "?origin=x": {}} {
		if got := w.listed("admin", "/api-keys"+query); !slices.Equal(got, want) {
			t.Errorf("/api-keys%s: %v, want %v", query, got, want)
		}
	}
	if answer := w.send("admin", "GET", "/api-keys", ""); strings.Contains(answer.Body, root.Key[28:]) || strings.Contains(answer.Body, "sl_") {
		t.Errorf("the list shows a key: %s", answer.Body)
	}
	if got := w.send(studyID, "DELETE", "/api-keys/"+own.ID, ""); got.Code != 403 {
		t.Errorf("a study revokes its researcher's key: %d", got.Code)
	}
	for i, path := range []string{"/api-keys/" + below.ID, "/api-keys?id=" + own.ID} {
		if got := w.send(researcherID, "DELETE", path, ""); got.Code != 200 {
			t.Errorf("DELETE %s: %d %s", path, got.Code, got.Body)
		}
		if got := w.send(researcherID, "DELETE", path, ""); got.Code != 200 {
			t.Errorf("DELETE %s once more: %d %s", path, got.Code, got.Body)
		}
		if got := w.with([]keyShown{below, own}[i].Key, "GET", "/documents/study/"+studyID, ""); got.Code != 401 || !strings.Contains(got.Body, "token-unknown") {
			t.Errorf("with a revoked key: %d %s", got.Code, got.Body)
		}
	}
	if got := w.listed(researcherID, "/api-keys"); len(got) != 0 {
		t.Errorf("revoked keys are listed: %v", got)
	}
}

// TestAKeyIsAPrincipal: it acts for its origin, is recorded under its own id, and holds roles of its own.
func TestAKeyIsAPrincipal(t *testing.T) {
	w := newReal(t)
	key := w.issueKey(rivalID, `{}`)
	other := w.issueKey(rivalID, `{}`)
	if got := w.with(key.Key, "GET", "/documents/study/"+studyID, ""); got.Code != 403 {
		t.Fatalf("before anything is granted: %d", got.Code)
	}
	w.give(researcherID, fmt.Sprintf(`{"credential":%q,"object":%q,"role":"writer"}`, key.ID, studyID))
	if got := w.with(key.Key, "PUT", "/documents/study/"+studyID, `{"name":"new"}`); got.Code != 200 {
		t.Errorf("a key that is a writer: %d %s", got.Code, got.Body)
	}
	if got := w.with(other.Key, "GET", "/documents/study/"+studyID, ""); got.Code != 403 {
		t.Errorf("another key of the same object: %d", got.Code)
	}
	if got := w.send(rivalID, "GET", "/documents/study/"+studyID, ""); got.Code != 403 {
		t.Errorf("the object itself: %d", got.Code)
	}
	events := read[struct {
		Events []struct{ Actor, Credential, Sentence, Type string }
	}](t, w.send("admin", "GET", "/events?limit=1000", "")).Events
	seen := 0
	for _, e := range events {
		if e.Type == "study.revised" && e.Actor == rivalID && e.Credential == key.ID {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%d events of the key in %+v", seen, events)
	}
	w.do(registry.Remove{Key: rivalID, Kind: registry.Researcher, ID: rivalID})
	if got := w.with(key.Key, "GET", "/documents/study/"+studyID, ""); got.Code != 401 {
		t.Errorf("once its origin is gone: %d", got.Code)
	}
}

func TestKeysHoldForATime(t *testing.T) {
	w := newReal(t)
	now := time.Now().UTC()
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	for body, want := range map[string]int{
		fmt.Sprintf(`{"from":%q,"to":%q}`, at(-time.Hour), at(time.Hour)): 200,
		fmt.Sprintf(`{"from":%q}`, at(time.Hour)):                         401,
		fmt.Sprintf(`{"to":%q}`, at(-time.Hour)):                          401,
	} {
		key := w.issueKey("admin", body)
		if got := w.with(key.Key, "GET", "/grants", ""); got.Code != want {
			t.Errorf("a key %s: %d, want %d", body, got.Code, want)
		}
	}
}

func TestKeysRefuse(t *testing.T) {
	w := newReal(t)
	for _, tt := range []struct {
		who, method, path, body string
		status                  int
		code                    string
	}{
		{"", "POST", "/api-keys", "{}", 401, "credentials-missing"},
		{"admin", "POST", "/api-keys", "", 400, "invalid"},
		{"admin", "POST", "/api-keys", `{"secret":"mine"}`, 400, "invalid"},
		{"admin", "POST", "/api-keys", `{"from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}`, 400, "invalid"},
		{"admin", "POST", "/api-keys", `{"name":"` + strings.Repeat("n", 257) + `"}`, 400, "invalid"},
		{"admin", "POST", "/api-keys", `{"name":"a","name":"b"}`, 400, "invalid"},
		{"admin", "POST", "/api-keys", "{\"name\":\"\xff\"}", 400, "invalid"},
		{"admin", "POST", "/api-keys", `{"name":"a"} {}`, 400, "invalid"},
		{"admin", "POST", "/api-keys", `{"name":`, 400, "invalid"},
		{"admin", "POST", "/api-keys", strings.Repeat("[", 100_000), 400, "invalid"},
		{"admin", "POST", "/api-keys", `{"origin":"nothing"}`, 404, "not-found"},
		{studyID, "POST", "/api-keys", fmt.Sprintf(`{"origin":%q}`, researcherID), 403, "forbidden"},
		{studyID, "POST", "/api-keys", `{"origin":"null"}`, 403, "forbidden"},
		{rivalID, "POST", "/api-keys", fmt.Sprintf(`{"origin":%q}`, studyID), 403, "forbidden"},
		{"admin", "DELETE", "/api-keys/nothing", "", 404, "not-found"},
		{"admin", "DELETE", "/api-keys", "", 400, "invalid"},
		{"admin", "GET", "/api-keys?after=x", "", 400, "invalid"},
	} {
		got := w.send(tt.who, tt.method, tt.path, tt.body)
		if p := read[struct{ Code string }](t, got); got.Code != tt.status || p.Code != tt.code {
			t.Errorf("%s %s %s as %q: %d %s, want %d %s", tt.method, tt.path, tt.body, tt.who, got.Code, got.Body, tt.status, tt.code)
		}
	}
}

// TestALostKeyCanBeAskedForAgain: the same request under its idempotency key answers with the same key, anybody else's not.
func TestALostKeyCanBeAskedForAgain(t *testing.T) {
	w := newReal(t)
	first := w.send("admin", "POST", "/api-keys", `{"name":"n"}`, "Idempotency-Key", "k")
	again := w.send("admin", "POST", "/api-keys", `{"name":"n"}`, "Idempotency-Key", "k")
	other := w.send(researcherID, "POST", "/api-keys", `{"name":"n"}`, "Idempotency-Key", "k")
	if first.Code != 201 || again.Code != 201 || first.Body != again.Body {
		t.Errorf("first %d %s, again %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if a, b := read[keyShown](t, first), read[keyShown](t, other); a.Key == b.Key || a.ID == b.ID {
		t.Errorf("somebody else got %+v", b)
	}
	if got := w.send("admin", "POST", "/api-keys", `{"name":"m"}`, "Idempotency-Key", "k"); got.Code != 422 {
		t.Errorf("another name under the key: %d %s", got.Code, got.Body)
	}
	if got := w.listed("admin", "/api-keys"); len(got) != 2 {
		t.Errorf("issued: %v", got)
	}
	secret := read[keyShown](t, first).Key[28:]
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(secret)))
	if log := w.send("admin", "GET", "/events?limit=1000", "").Body; !strings.Contains(log, "api_key.issued") || strings.Contains(log, secret) || strings.Contains(log, hash) {
		t.Errorf("the log shows a secret, or no key: %s", log)
	}
}
