package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	rootKey    = "admin@example.org"
	rootSecret = "correct:horse"
)

// program is the binary under test, built once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "strandline-test-*")
	if err != nil {
		return "", err
	}
	programDir.Store(dir)
	name := filepath.Join(dir, "strandline")
	build := exec.Command("go", "build", "-trimpath", "-o", name, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return name, nil
})

// programDir is the folder of the binary, empty as long as no test has needed it.
var programDir atomic.Value

// TestMain removes the binary afterwards. The binary of the tests is the event store of some of them, too.
func TestMain(m *testing.M) {
	if place := os.Getenv(eventStorePlace); place != "" {
		os.Exit(serveEvents(place))
	}
	code := m.Run()
	if dir, built := programDir.Load().(string); built {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// server is a running server process.
type server struct {
	cmd      *exec.Cmd
	data     string
	url, tls string // http://…, https://…
	log      *bytes.Buffer
	exited   chan struct{}
	started  time.Duration // from start to ready
}

// serveOption changes how a server is started.
type serveOption func(*exec.Cmd)

func withEnv(env ...string) serveOption {
	return func(c *exec.Cmd) { c.Env = append(c.Env, env...) }
}

// startNode starts a server on a data folder and waits until it is ready. It is killed at the end of the test.
func startNode(t testing.TB, data string, options ...serveOption) *server {
	t.Helper()
	s, err := tryNode(t, data, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tryNode is startNode where a failure to start is an answer. Its text is what the server logged.
func tryNode(t testing.TB, data string, options ...serveOption) (*server, error) {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{data: data, log: &bytes.Buffer{}, exited: make(chan struct{})}
	s.cmd = exec.Command(name, "serve", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0")
	s.cmd.Env = append(os.Environ(), "STRANDLINE_ROOT_KEY="+rootKey, "STRANDLINE_ROOT_SECRET="+rootSecret)
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // however the tests end, no server is left
	for _, o := range options {
		o(s.cmd)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	s.started = time.Since(begin)
	go func() {
		_, _ = io.Copy(io.Discard, out)
		_ = s.cmd.Wait() // its exit code is in the process state
		close(s.exited)
	}()
	words := strings.Fields(line)
	if err != nil || len(words) != 3 || words[0] != "ready" {
		<-s.exited
		return nil, errors.New(line + s.log.String())
	}
	s.url, s.tls = words[1], words[2]
	return s, nil
}

// kill ends the server with SIGKILL.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.exited
}

// stop ends the server with SIGTERM and returns its exit code.
func (s *server) stop(t testing.TB) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(time.Minute):
		t.Fatal("the server has not stopped a minute after SIGTERM")
	}
	return s.cmd.ProcessState.ExitCode()
}

// command runs another command of the program and returns its output, its messages and its exit code.
func command(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "STRANDLINE_ACCESS_KEY="+rootKey, "STRANDLINE_SECRET_KEY="+rootSecret)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), messages.String(), cmd.ProcessState.ExitCode()
}

// as sends a request with the credential "key:secret" (none if empty) and returns the status and the body of the answer.
func (s *server) as(t testing.TB, who, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	status, text, _, err := s.try(who, method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, text
}

// try is as where no answer is an answer.
func (s *server) try(who, method, path, body string, headers ...string) (int, string, http.Header, error) {
	return s.send(http.DefaultClient, who, method, path, body, headers...)
}

// send is try by a client of one's own.
func (s *server) send(c *http.Client, who, method, path, body string, headers ...string) (int, string, http.Header, error) {
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	if who != "" {
		r.Header.Set("Authorization", "Basic "+who)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), answer.Header, err
}

const root = rootKey + ":" + rootSecret
