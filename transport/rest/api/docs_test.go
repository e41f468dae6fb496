package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"strandline/transport/rest/api"
)

// manual gets the page, as anybody.
func (w *world) manual(t *testing.T) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", strings.TrimSuffix(w.url, "/v1")+"/docs", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	return w.do(t, r)
}

// TestDocsShowEverything that there is: each route, each code under an anchor of its name, and no link leads nowhere.
func TestDocsShowEverything(t *testing.T) {
	answer, page := newWorld(t).manual(t)
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("the page: %d %s", answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	for _, r := range api.Routes() {
		path := regexp.MustCompile(`:[^}]*`).ReplaceAllString(r[1], "")
		if !strings.Contains(page, `<span class="method `+r[0]+`">`+r[0]+`</span><span class="path">`+path+`</span>`) {
			t.Errorf("the page does not show %s %s", r[0], path)
		}
	}
	for _, code := range api.Codes() {
		if strings.Count(page, `id="`+code+`"`) != 1 {
			t.Errorf("the page has no anchor #%s, or several", code)
		}
	}
	for _, link := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if strings.Count(page, `id="`+link[1]+`"`) != 1 {
			t.Errorf("#%s leads nowhere", link[1])
		}
	}
}

// TestDocsStandAlone asks no other host for anything, and lets nothing run or be shown but what the page brings.
func TestDocsStandAlone(t *testing.T) {
	answer, page := newWorld(t).manual(t)
	if found := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]|@import|url\(|<(img|link|iframe|object|embed)\b|\bon[a-z]+="|style="`).FindAllString(page, -1); found != nil {
		t.Errorf("the page holds %q", found)
	}
	policy := answer.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q does not say %s", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	for _, tag := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(page, -1)
		if len(found) != 1 || strings.Count(page, "<"+tag) != 1 {
			t.Fatalf("the page has %d times <%s>, want one", len(found), tag)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if !strings.Contains(policy, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy %q does not allow the page's own %s", policy, tag)
		}
	}
}

// TestProblemsLeadToTheirExplanation follows the type of a problem.
func TestProblemsLeadToTheirExplanation(t *testing.T) {
	w := newWorld(t)
	answer, body := w.send(t, "GET", "/events?limit=0", "root", "")
	found := regexp.MustCompile(`"type":"(/strandline/docs)#([a-z-]+)"`).FindStringSubmatch(body)
	if found == nil || found[2] != "invalid" {
		t.Fatalf("the problem %s has no type that leads to the page", body)
	}
	if want := `"instance":"urn:uuid:` + answer.Header.Get("Strandline-Request") + `"`; !strings.Contains(body, want) {
		t.Errorf("the problem %s has not %s", body, want)
	}
	if _, page := w.manual(t); !strings.Contains(page, `id="`+found[2]+`"`) {
		t.Errorf("the page has no anchor #%s", found[2])
	}
}
