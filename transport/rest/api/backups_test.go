package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"strandline/domain"
	"strandline/transport/rest/api"
)

// vault is where a world's backups go. "occupied" is taken, "broken" breaks.
type vault struct{ made int }

func (v *vault) Check(to, keysTo string) error {
	if to == "" || keysTo == "" {
		return fmt.Errorf("%w: both folders are needed", domain.ErrInvalid)
	}
	if to == "/occupied" {
		return fmt.Errorf("%w: it is neither empty nor an earlier backup", domain.ErrRejected)
	}
	return nil
}

func (v *vault) Run(ctx context.Context, to, _ string, progress func(api.Backup)) (api.Backup, error) {
	for done := range int64(3) {
		progress(api.Backup{Copied: done, Total: 3, Share: float64(done) / 3, Remaining: 1})
		time.Sleep(510 * time.Millisecond)
	}
	if to == "/broken" {
		return api.Backup{}, errors.New("write /broken/segments: no space left on device")
	}
	v.made++
	return api.Backup{Done: true, Copied: 3, Total: 3, Share: 1, Position: domain.Position{Commit: 3, Prepare: 3}, Events: 3, SHA256: "ab", Verified: true}, ctx.Err()
}

// back asks for a backup.
func (w *world) back(t *testing.T, who, accept, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", w.url+"/backups", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(who, "secret")
	r.Header.Set("Accept", accept)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestBackups are made for root, and tell how far they are.
func TestBackups(t *testing.T) {
	t.Parallel() // it waits most of the time
	w := newWorld(t)
	status, text := w.back(t, "root", "application/x-ndjson", `{"to":"/a","keys_to":"/b"}`)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var first, last api.Backup
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[len(lines)-1]), &last)); err != nil || status != 200 {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	if len(lines) < 2 || first.Done || first.Total != 3 || !last.Done || last.Events != 3 || !last.Verified {
		t.Errorf("lines %s", text)
	}
	if status, text := w.back(t, "root", "application/json", `{"to":"/a","keys_to":"/b"}`); status != 200 || !strings.Contains(text, `"done":true`) {
		t.Errorf("as one answer: %d %s", status, text)
	}
	if status, text := w.back(t, "root", "application/x-ndjson", `{"to":"/broken","keys_to":"/b"}`); status != 200 || !strings.Contains(text, `{"error":"The backup could not be made`) || strings.Contains(text, `"done":true`) {
		t.Errorf("a backup that fails: %d %s", status, text)
	}
	for _, tt := range []struct {
		status    int
		who, body string
	}{
		{409, "root", `{"to":"/occupied","keys_to":"/b"}`},
		{400, "root", `{"to":"/a"}`},
		{400, "root", `{"to":"/a","keys_to":"/b","and":1}`},
		{400, "root", ``},
		{403, "anna", `{"to":"/a","keys_to":"/b"}`},
	} {
		if status, text := w.back(t, tt.who, "*/*", tt.body); status != tt.status {
			t.Errorf("%s asks %s: %d %s, want %d", tt.who, tt.body, status, text, tt.status)
		}
	}
}
