package main_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRootCredential takes the first credential from a file, or draws one and keeps it to itself.
func TestRootCredential(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("out of a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startNode(t, t.TempDir(), withEnv("STRANDLINE_ROOT_SECRET=", "STRANDLINE_ROOT_SECRET_FILE="+secret))
	if status, _ := s.as(t, rootKey+":out of a file", "GET", "/researcher", ""); status != 200 {
		t.Errorf("secret from a file: %d, want 200", status)
	}

	data := t.TempDir()
	s = startNode(t, data, withEnv("STRANDLINE_ROOT_KEY=", "STRANDLINE_ROOT_SECRET="))
	content, err := os.ReadFile(filepath.Join(data, "root-credential.json"))
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
	}
	if err := json.Unmarshal(content, &made); err != nil {
		t.Fatal(err)
	}
	if status, _ := s.as(t, made.AccessKey+":"+made.SecretKey, "GET", "/researcher", ""); status != 200 {
		t.Errorf("random secret: %d, want 200", status)
	}
	s.stop(t)
	if strings.Contains(s.log.String(), made.SecretKey) {
		t.Error("the secret was logged")
	}

	// Later starts neither need nor take another.
	s = startNode(t, data, withEnv("STRANDLINE_ROOT_KEY=other", "STRANDLINE_ROOT_SECRET=other"))
	if status, _ := s.as(t, "other:other", "GET", "/researcher", ""); status != 403 {
		t.Errorf("a credential given to a folder that has one: %d, want 403", status)
	}
}

// TestIncompleteFolder is refused with a remedy: without its keys, or with a log that ends before what was read of it.
func TestIncompleteFolder(t *testing.T) {
	for lost, remedy := range map[string]string{
		"keys":          "restore keys/ from its backup",
		"keys/subjects": "restore keys/ from its backup",
		"log/segments/00000000000000000001.segment": "restore log/ from its backup",
	} {
		data := t.TempDir()
		s := startNode(t, data)
		s.stop(t)
		if err := os.RemoveAll(filepath.Join(data, lost)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the first refusal must leave nothing that makes the second start
			_, stderr, code := command(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
			if code != 3 || !strings.Contains(stderr, remedy) {
				t.Errorf("without %s: exit code %d, %s", lost, code, stderr)
			}
		}
	}
}

// TestServeRefuses what it should not do, with the exit code of its help.
func TestServeRefuses(t *testing.T) {
	occupied := startNode(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		code int
		says string
		args []string
	}{
		{2, "127.0.0.1:", []string{"--listen", "0.0.0.0:0"}},
		{2, "disk or none", []string{"--durability", "some"}},
		{2, "--tls-key", []string{"--listen-tls", "127.0.0.1:0", "--tls-cert", file}},
		{2, "unknown flag", []string{"--port", "80"}},
		{2, "go together", []string{"--data", filepath.Join(t.TempDir(), "new"), "--listen", "127.0.0.1:0"}},
		{1, "another port", []string{"--listen", strings.TrimPrefix(occupied.url, "http://")}},
		{3, "in use by another", []string{"--listen", "127.0.0.1:0", "--data", occupied.data}},
		{3, "not a directory", []string{"--listen", "127.0.0.1:0", "--data", filepath.Join(file, "below")}},
	} {
		t.Setenv("STRANDLINE_ROOT_KEY", "without a secret")
		_, messages, code := command(t, append([]string{"serve"}, tt.args...)...)
		if code != tt.code || !strings.Contains(messages, tt.says) {
			t.Errorf("serve %v: exit code %d, %q; want %d and a word of %q", tt.args, code, messages, tt.code, tt.says)
		}
	}
}

// TestProbes are answered without a credential and leave no record.
func TestProbes(t *testing.T) {
	s := startNode(t, t.TempDir())
	before := len(recorded(t, s))
	for _, path := range []string{"/livez", "/readyz"} {
		if status, answer := s.as(t, "", "GET", path, ""); status != 200 {
			t.Errorf("GET %s: %d %s", path, status, answer)
		}
	}
	if after := len(recorded(t, s)); after != before+2 { // of the first look at the log: that it began and that it ended
		t.Errorf("%d events before the probes, %d after", before, after)
	}
}

// TestFlagsFromTheEnvironment gives a flag as a variable.
func TestFlagsFromTheEnvironment(t *testing.T) {
	s := startNode(t, t.TempDir(), withEnv("STRANDLINE_DURABILITY=none"))
	s.stop(t)
	if !strings.Contains(s.log.String(), "NOT on disk") {
		t.Errorf("no warning of --durability none in %s", s.log)
	}
}

// TestTail prints the log as sentences and goes on as things happen.
func TestTail(t *testing.T) {
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 1)
	out, messages, code := command(t, "log", "tail", "--url", s.url)
	if code != 0 || !strings.Contains(out, made.researcher) || !strings.Contains(out, made.participants[0]) {
		t.Fatalf("exit code %d, %s\n%s", code, messages, out)
	}
	last := strings.Fields(out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:])[0]

	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	follow := exec.Command(name, "log", "tail", "--url", s.tls, "--ca", filepath.Join(s.data, "tls", "ca.pem"), "--after", last, "--follow", "--limit", "4", "--json")
	follow.Env = append(os.Environ(), "STRANDLINE_ACCESS_KEY="+rootKey, "STRANDLINE_SECRET_KEY="+rootSecret)
	done := make(chan string, 1)
	go func() {
		text, err := follow.CombinedOutput()
		done <- fmt.Sprintf("%s%v", text, err)
	}()
	deadline := time.After(20 * time.Second)
	for {
		s.as(t, root, "POST", "/participant/"+made.participants[0]+"/sensor_event", reading(7))
		select {
		case text := <-done:
			if strings.Count(text, "\n") != 4 || !strings.Contains(text, `"type":"observation.recorded"`) || !strings.Contains(text, `"route":"/strandline/v1/events"`) && !strings.Contains(text, "access.served") {
				t.Errorf("following printed\n%s", text)
			}
			return
		case <-deadline:
			_ = follow.Process.Kill()
			t.Fatal("following has printed no four events in 20 s")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestTailIsRefused says why, with exit code 4.
func TestTailIsRefused(t *testing.T) {
	s := startNode(t, t.TempDir())
	wrong := filepath.Join(t.TempDir(), "wrong.json")
	if err := os.WriteFile(wrong, []byte(`{"access_key":"a","secret_key":"b"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, messages, code := command(t, "log", "tail", "--url", s.url, "--credential-file", wrong); code != 4 || !strings.Contains(messages, "secret is wrong") {
		t.Errorf("wrong credential: exit code %d, %s", code, messages)
	}
	s.kill()
	if _, messages, code := command(t, "log", "tail", "--url", s.url); code != 1 || !strings.Contains(messages, "is the server running") {
		t.Errorf("no server: exit code %d, %s", code, messages)
	}
}

// TestProjectionCommands list and rebuild, on a running server and on a stopped one, and change nothing.
func TestProjectionCommands(t *testing.T) {
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 2)
	for n := range int64(20) {
		s.as(t, root, "POST", "/participant/"+made.participants[n%2]+"/sensor_event", reading(n))
	}
	list, messages, code := command(t, "projection", "list", "--url", s.url)
	if code != 0 || strings.Count(list, "serving") != 4 {
		t.Errorf("list: exit code %d, %s\n%s", code, messages, list)
	}
	if said, messages, code := command(t, "projection", "rebuild", "series", "--url", s.url); code != 0 || said != "series is rebuilt\n" {
		t.Errorf("rebuild of a running server: exit code %d, %s%s", code, said, messages)
	}
	if _, _, code := command(t, "projection", "rebuild", "nothing", "--url", s.url); code != 4 {
		t.Errorf("rebuild of nothing: exit code %d, want 4", code)
	}
	if _, answer := s.as(t, root, "GET", "/participant/"+made.participants[0]+"/sensor_event", ""); strings.Count(answer, "timestamp") != 10 {
		t.Errorf("after a rebuild: %s, want ten events", answer)
	}
	s.stop(t)
	before := dumps(t, s.data)
	for name := range before {
		if said, messages, code := command(t, "projection", "rebuild", name, "--data", s.data); code != 0 || said != name+" is rebuilt\n" {
			t.Errorf("rebuild of a stopped server: exit code %d, %s%s", code, said, messages)
		}
	}
	for name, dump := range dumps(t, s.data) {
		if dump != before[name] {
			t.Errorf("%s holds something else after a rebuild", name)
		}
	}
	list, messages, code = command(t, "projection", "list", "--data", s.data, "--json")
	if code != 0 || !strings.Contains(list, `"name":"audit"`) {
		t.Errorf("list of a stopped server: exit code %d, %s\n%s", code, messages, list)
	}
}

// TestDumpAt holds a dump of the past against a dump made then.
func TestDumpAt(t *testing.T) {
	data := t.TempDir()
	s := startNode(t, data)
	made := newStudy(t, s, 1)
	_, _, header, err := s.try(root, "PUT", "/type/"+made.id+"/attachment/a/me", "1")
	if err != nil {
		t.Fatal(err)
	}
	s.stop(t)
	before, _, _ := command(t, "projection", "dump", "documents", "--data", data)
	s = startNode(t, data)
	s.as(t, root, "PUT", "/type/"+made.id+"/attachment/a/me", "2")
	s.stop(t)
	after, _, _ := command(t, "projection", "dump", "documents", "--data", data)
	then, messages, code := command(t, "projection", "dump", "documents", "--data", data, "--at", header.Get("Strandline-Position"))
	if code != 0 || then != before || then == after {
		t.Errorf("dump of the past: exit code %d, %s: as it was then %v, as it is now %v; want true, false", code, messages, then == before, then == after)
	}
	if _, _, code := command(t, "projection", "dump", "documents", "--data", data, "--at", "ffffff"); code != 2 {
		t.Errorf("dump of the future: exit code %d, want 2", code)
	}
	if _, _, code := command(t, "projection", "dump", "documents", "--data", t.TempDir()); code != 3 {
		t.Errorf("dump of nothing: exit code %d, want 3", code)
	}
}

// TestDemo fills a study once, and the lines that it prints work.
func TestDemo(t *testing.T) {
	s := startNode(t, t.TempDir())
	out, messages, code := command(t, "demo", "--url", s.url)
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, messages)
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl to try the lines with")
	}
	answers := []string{`"lamp.heart_rate"`, `{"data":"Participant 1"}`, `403.security-context-out-of-scope`}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "  curl") {
			continue
		}
		answer, err := exec.Command("sh", "-c", line).Output()
		if err != nil || len(answers) == 0 || !strings.Contains(string(answer), answers[0]) {
			t.Errorf("%s: %s, %v; want %s", line, answer, err, answers)
		}
		answers = answers[min(1, len(answers)):]
	}
	if len(answers) > 0 {
		t.Errorf("no line for %s in\n%s", answers, out)
	}
}

// TestReproducibleBuild builds the binary in two folders and compares every byte.
func TestReproducibleBuild(t *testing.T) {
	if !long() {
		t.Skip("compiles everything twice: make drill does it")
	}
	var sums [2][32]byte
	for i := range sums {
		name := filepath.Join(t.TempDir(), "strandline")
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", name, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+t.TempDir())
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(content)
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds of the same sources: %x and %x", sums[0], sums[1])
	}
}

// TestConnectionLimits holds that a client that says nothing is cut off.
func TestConnectionLimits(t *testing.T) {
	if !long() {
		t.Skip("waits for time-outs: make drill does it")
	}
	s := startNode(t, t.TempDir())
	c, err := dial(strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	begin := time.Now()
	_ = c.conn.SetReadDeadline(begin.Add(time.Minute))
	if _, err := c.reader.ReadByte(); err == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("a client that says nothing was let go after %s, %v", time.Since(begin), err)
	}
	r, err := http.NewRequest("GET", s.url+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 200<<10))
	answer, err := http.DefaultClient.Do(r)
	if err == nil && answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("headers of 200 KiB: %s", answer.Status)
	}
}
