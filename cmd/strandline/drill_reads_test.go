package main_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestDrillReadYourWrites writes on one connection and reads on another as soon as the write is answered: objects,
// tags, credentials and observations. Not one read may miss its write.
func TestDrillReadYourWrites(t *testing.T) {
	const workers = 16
	rounds := pick(5_000, 100_000)
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, workers)
	var next, missed atomic.Int64
	var group sync.WaitGroup
	for _, p := range made.participants {
		group.Go(func() {
			w := &writer{server: s, writes: &http.Client{Transport: &http.Transport{}}, reads: &http.Client{Transport: &http.Transport{}}, study: made.id, participant: p}
			defer w.close()
			for n := next.Add(1); n <= int64(rounds); n = next.Add(1) {
				if problem := w.round(n); problem != "" {
					missed.Add(1)
					t.Error(problem)
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d of %d reads on another connection saw the write", int64(rounds)-missed.Load(), rounds)
}

// writer has two connections: one that writes, one that reads.
type writer struct {
	server             *server
	writes, reads      *http.Client
	study, participant string
}

func (w *writer) close() {
	w.writes.CloseIdleConnections()
	w.reads.CloseIdleConnections()
}

// round writes something, reads it back, and says what was wrong.
func (w *writer) round(n int64) string {
	number := strconv.FormatInt(n, 10)
	switch n % 200 {
	case 0:
		body := `{"spec":"lamp.survey","name":"activity ` + number + `"}`
		return w.check("POST", "/study/"+w.study+"/activity", body, func(id string) string { return "/activity/" + id }, `"activity `+number+`"`)
	case 1, 2, 3, 21, 22, 23, 41, 42, 43, 61, 62, 63:
		path := "/type/" + w.participant + "/attachment/drill"
		return w.check("PUT", path+"/me", number, func(string) string { return path }, `{"data":`+number+`}`)
	case 4:
		key := "key-" + number
		body := `{"origin":"` + w.participant + `","access_key":"` + key + `","secret_key":"secret"}`
		path := "/type/" + w.participant + "/credential"
		return w.check("POST", path, body, func(string) string { return path }, `"`+key+`"`)
	}
	path := "/participant/" + w.participant + "/sensor_event"
	return w.check("POST", path, reading(n), func(string) string { return path + "?limit=20" }, `"timestamp":`+number+`,`)
}

// check sends a write, then a read, whose answer must contain want.
func (w *writer) check(method, path, body string, where func(id string) string, want string) string {
	status, answer, err := w.send(w.writes, method, path, body)
	if err != nil || status != 200 {
		return fmt.Sprintf("%s %s: %d %s, %v", method, path, status, answer, err)
	}
	id, _ := createdID(answer) // of objects only
	status, answer, err = w.send(w.reads, "GET", where(id), "")
	if err != nil || status != 200 || !strings.Contains(answer, want) {
		return fmt.Sprintf("GET %s: %d %.300s, %v; want %s in it", where(id), status, answer, err, want)
	}
	return ""
}

func (w *writer) send(c *http.Client, method, path, body string) (int, string, error) {
	status, answer, _, err := w.server.send(c, root, method, path, body)
	return status, answer, err
}
