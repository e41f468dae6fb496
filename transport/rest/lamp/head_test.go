package lamp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestHead asks every route for GET with HEAD too: the same status and headers, and no body.
func TestHead(t *testing.T) {
	f := newForest(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	ask := func(method, path, who string) (*http.Response, int) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		f.must(err)
		r.Header.Set("Authorization", "Basic "+who)
		answer, err := http.DefaultClient.Do(r)
		f.must(err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		f.must(err)
		return answer, len(body)
	}
	for _, path := range []string{
		"/", "/server-info", "/study", "/study/" + f.ids["S"], "/study/" + f.ids["U"], "/study/none", "/nothing",
		"/participant/" + f.ids["P"] + "/sensor_event", "/participant/" + f.ids["P"] + "/sensor_event?limit=0",
		"/type/me/attachment/k", "/type/me/parent",
	} {
		want, _ := ask("GET", path, f.callers["R"])
		got, size := ask("HEAD", path, f.callers["R"])
		if got.StatusCode != want.StatusCode || size != 0 || got.ContentLength != want.ContentLength ||
			got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %s, %d bytes of %d; GET: %s, %d", path, got.Status, size, got.ContentLength, want.Status, want.ContentLength)
		}
	}
	if got, _ := ask("HEAD", "/researcher/"+f.ids["R"]+"/participant/none", f.callers["R"]); got.StatusCode != 404 {
		t.Errorf("HEAD of no route: %s", got.Status)
	}
}
