// Package influxtest starts real InfluxDB servers for tests: version 1.8.10, the last that builds from its Go module.
package influxtest

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	module  = "github.com/influxdata/influxdb"
	version = "v1.8.10"
	bucket  = "strandline/autogen"
)

// Server is an influxd with a database of its own, on a port of loopback that it keeps over restarts.
type Server struct {
	Address string // host:port
	dir     string
	binary  string
	rpc     string
	token   string // empty where it asks for none
	running *exec.Cmd
	ended   chan struct{}
}

// URL is what serve --influx takes.
func (s *Server) URL() string { return "http://" + s.Address + "?bucket=" + url.QueryEscape(bucket) }

// Start starts a server that ends with the test. Where there is no influxd, and none can be built, the test is skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Skipf("no influxd: %v", err)
	}
	s := &Server{dir: t.TempDir(), binary: path, Address: free(t), rpc: free(t)}
	t.Cleanup(func() { s.Kill(t) })
	s.Go(t)
	s.Query(t, "CREATE DATABASE strandline WITH DURATION INF SHARD DURATION 5200w NAME autogen")
	return s
}

// Guard has it ask for a token from now on.
func (s *Server) Guard(t testing.TB, user, password string) {
	t.Helper()
	s.Query(t, fmt.Sprintf("CREATE USER %s WITH PASSWORD '%s' WITH ALL PRIVILEGES", user, password))
	s.Kill(t)
	s.token = user + ":" + password
	s.Go(t)
}

// Query runs a statement of InfluxQL, and returns the answer. Statements that change something name the database.
func (s *Server) Query(t testing.TB, statement string) string {
	t.Helper()
	answer, err := http.PostForm("http://"+s.Address+"/query", url.Values{"q": {statement}})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || strings.Contains(string(text), `"error"`) {
		t.Fatalf("%s: %s %v", statement, text, err)
	}
	return string(text)
}

func (s *Server) config() string {
	return fmt.Sprintf(`reporting-disabled = true
bind-address = %q
[meta]
dir = %q
[data]
dir = %q
wal-dir = %q
index-version = "tsi1"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = %q
flux-enabled = true
auth-enabled = %t
log-enabled = false
[logging]
level = "error"
suppress-logo = true
`, s.rpc, filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data"), filepath.Join(s.dir, "wal"), s.Address, s.token != "")
}

// Go starts it again after Kill, and returns when it answers.
func (s *Server) Go(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "influxd.conf"), []byte(s.config()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.running = exec.Command(s.binary, "-config", filepath.Join(s.dir, "influxd.conf"))
	var said output
	s.running.Stdout, s.running.Stderr = &said, &said
	s.running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // however the tests end, no server is left
	if err := s.running.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) { c.Wait(); close(ended) }(s.running, s.ended)
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get("http://" + s.Address + "/ping")
		if err == nil {
			answer.Body.Close()
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("influxd has ended: %s", said.String())
		default:
		}
		if time.Now().After(until) {
			t.Fatalf("influxd does not answer: %v", err)
		}
	}
}

// Kill ends it at once, as a power cut does. Killing again does nothing.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.running == nil {
		return
	}
	_ = s.running.Process.Signal(syscall.SIGKILL)
	<-s.ended
	s.running = nil
}

// Halt keeps it from doing anything until Resume, while its connections stay.
func (s *Server) Halt() {
	_ = s.running.Process.Signal(syscall.SIGSTOP)
	for until := time.Now().Add(5 * time.Second); !s.stopped() && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
}

// stopped tells whether no thread of it runs any more: a signal takes its time.
func (s *Server) stopped() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.running.Process.Pid))
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		if err == nil && !strings.Contains(string(stat), ") T ") {
			return false
		}
	}
	return true
}

func (s *Server) Resume() { _ = s.running.Process.Signal(syscall.SIGCONT) }

// output keeps what a process says.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// free is an address on which nobody listens.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// binary finds influxd, or builds it into the cache folder of this user, once.
var binary = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "strandline", "influxd-"+version)
	for _, dir := range []string{dir, goEnv("GOBIN"), filepath.Join(goEnv("GOPATH"), "bin")} {
		path := filepath.Join(dir, "influxd")
		if built, err := buildinfo.ReadFile(path); err == nil && built.Main.Path == module && built.Main.Version == version {
			return path, nil
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	source := module + "/cmd/influxd@" + version
	install := exec.CommandContext(ctx, "go", "install", source)
	install.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w: %s", source, err, out)
	}
	return filepath.Join(dir, "influxd"), nil
})

func goEnv(name string) string {
	out, _ := exec.Command("go", "env", name).Output() // the next place is looked at
	return strings.TrimSpace(string(out))
}
