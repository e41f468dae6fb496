package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestVersion is that of the program, and of a server where one is named on the command line.
func TestVersion(t *testing.T) {
	url := servingFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.Path != "/metrics" {
			t.Errorf("asked for %s as %q", r.URL, r.Header.Get("Authorization"))
		}
		_, _ = w.Write([]byte("# HELP x\nstrandline_build_info{goversion=\"go1.26\",version=\"9.8.7\x1b[m\"} 1\n")) // a reader that has gone is the test's failure
	})
	if out, _, code := strandline(t, asked(url), "version"); code != 0 || out != "strandline "+version()+"\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	if out, messages, code := strandline(t, asked(url), "version", "--url", url); code != 0 || strings.Contains(out, "\x1b") || !strings.Contains(out, "server 9.8.7") {
		t.Errorf("exit code %d, %q, %q", code, out, messages)
	}
	out, _, _ := strandline(t, nil, "version", "--json", "--url", url)
	var v versionInfo
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Version != version() || v.Go == "" || v.Platform == "" || v.Server == nil || v.Server.Version != "9.8.7\x1b[m" {
		t.Errorf("%s: %+v, %v", out, v, err)
	}
	if _, _, code := strandline(t, nil, "version", "--url", serving(t, 200, "hello")); code != exitFailed {
		t.Errorf("of something else: exit code %d", code)
	}
}
