package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"strandline/readmodels/sqlite"
	"strandline/transport/files/faultfs"
)

// patient is a node whose parts can be made to fail.
type patient struct {
	*node
	t         *testing.T
	log, keys *faultfs.FS
}

func admit(t *testing.T) *patient {
	t.Helper()
	p := &patient{t: t, log: faultfs.New(1), keys: faultfs.New(2)}
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	s, err := openStorageOn(truth{log: p.log, keys: p.keys}, dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"STRANDLINE_ROOT_KEY": "root", "STRANDLINE_ROOT_SECRET": "secret"}
	env := func(name string) (string, bool) { return secrets[name], secrets[name] != "" }
	if p.node, err = startNode(t.Context(), s, dir, env, quiet); err != nil {
		t.Fatal(err)
	}
	return p
}

// ask asks as root and from this machine, and tells how long the answer took.
func (p *patient) ask(method, path, body string) (status int, answer string, took time.Duration) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4711"
	r.SetBasicAuth("root", "secret")
	w, began := httptest.NewRecorder(), time.Now()
	p.http.ServeHTTP(w, r)
	return w.Code, w.Body.String(), time.Since(began)
}

// readyz expects an answer within probeTime, and returns the first part that is not ready, with the reason.
func (p *patient) readyz() (part, reason string) {
	p.t.Helper()
	status, text, took := p.ask("GET", "/readyz", "")
	var answer readiness
	err := json.Unmarshal([]byte(text), &answer)
	if err != nil || took > probeTime || answer.Ready != (status == http.StatusOK) || answer.Ready != (len(answer.Parts) == 0) {
		p.t.Fatalf("/readyz: %d %s after %s, %v", status, text, took, err)
	}
	if answer.Ready {
		return "", ""
	}
	return answer.Part, answer.Parts[0].Reason
}

// TestReadyzNamesParts lets one part after the other fail.
func TestReadyzNamesParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := admit(t)
		defer p.close()
		p.expects("when all is well", "", "")
		p.series.Stall(&sqlite.Error{Code: 10, Message: "disk I/O error", Doing: "secret"})
		p.expects("with a stalled projection", "series", "stalled: disk I/O error (SQLite 10)")
		p.series.Stall(syscall.ENOSPC)
		p.expects("with another reason", "series", "stalled: no space left on device")
		for _, method := range []string{"POST", "GET"} { // the second makes the day's key of the record
			if status, answer, _ := p.ask(method, "/researcher", `{"name":"x"}`); status != 200 {
				t.Fatal(status, answer)
			}
		}
		time.Sleep(10 * time.Second) // the next event that is applied ends the stall
		p.expects("when it goes on", "", "")
		p.keys.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.Sync}, Err: syscall.EIO, At: 1, Stays: true})
		p.ask("POST", "/researcher", `{"name":"x"}`) // needs a key
		p.expects("when keys cannot be made", "keys", "no more keys can be made: input/output error")
		p.log.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.Sync}, Err: syscall.EIO, At: 1, Stays: true})
		p.ask("GET", "/researcher", "")
		p.expects("when the log has stopped", "log", "stopped: input/output error")
	})
}

func (p *patient) expects(when, part, reason string) {
	p.t.Helper()
	if gotPart, gotReason := p.readyz(); gotPart != part || gotReason != reason {
		p.t.Errorf("%s: /readyz names %q, %q; want %q, %q", when, gotPart, gotReason, part, reason)
	}
}

// TestProbesWhileTheDiskHangs has probes and metrics answer in time while a sync does not come back.
func TestProbesWhileTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := admit(t)
		defer p.close()
		hang, answered := make(chan struct{}), make(chan int)
		p.log.HoldSync(func(string) { <-hang })
		go func() {
			status, _, _ := p.ask("POST", "/researcher", `{"name":"x"}`)
			answered <- status
		}()
		time.Sleep(time.Second)
		p.expects("while the disk takes a second", "", "")
		time.Sleep(slowestWrite)
		p.expects("while the disk hangs", "log", "the disk has not answered a write for 6s")
		status, page, took := p.ask("GET", "/metrics", "")
		if status != 200 || took > scrapeTime*2 || !strings.Contains(page, "\nstrandline_log_write_pending_seconds 6") || !strings.Contains(page, "\nstrandline_http_in_flight 1\n") {
			t.Errorf("/metrics while the disk hangs: %d after %s\n%s", status, took, page)
		}
		if status, answer, took := p.ask("GET", "/livez", ""); status != 200 || took > 0 {
			t.Errorf("/livez while the disk hangs: %d %s after %s", status, answer, took)
		}
		close(hang)
		if status := <-answered; status != 200 {
			t.Errorf("what waited for the disk was answered %d", status)
		}
		p.expects("when it answers again", "", "")
	})
}
