// Package pouchtest starts npm pouchdb-server 4.2.0, which speaks CouchDB's protocol, for tests. It needs node and npm; the
// packages are installed once, in the user's cache folder.
package pouchtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed server/package.json server/package-lock.json server/.npmrc
var packages embed.FS

// Bounds, so that no test hangs.
const (
	installTime = 10 * time.Minute
	startTime   = 60 * time.Second
)

// The server's admin. Others are let in nowhere.
const (
	User     = "admin"
	Password = "s3cret-w0rd"
)

// Server is a pouchdb-server on a loopback port.
type Server struct {
	Address string // HOST:PORT

	program string
	dir     string // empty for one that keeps its data in memory
	own     string // folder it runs in
	process *exec.Cmd
	exited  chan struct{}
	said    *bytes.Buffer
}

// InMemory starts a server that forgets everything when it stops.
func InMemory(t testing.TB) *Server { return start(t, "") }

// OnDisk starts a server with its data in a folder.
func OnDisk(t testing.TB) *Server { return start(t, t.TempDir()) }

func start(t testing.TB, dir string) *Server {
	t.Helper()
	s := &Server{program: install(t), dir: dir, own: t.TempDir(), Address: free(t)}
	t.Cleanup(func() { s.Kill() })
	config := fmt.Sprintf(`{"admins":{%q:%q}}`, User, Password)
	if err := os.WriteFile(filepath.Join(s.own, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
	return s
}

// URL is where a prefix is, for the admin.
func (s *Server) URL(prefix string) string {
	return "http://" + User + ":" + Password + "@" + s.Address + "/" + prefix
}

// free is an address that nobody listens at.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start starts the server, again at the same address, and returns once it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	where := []string{"--in-memory"}
	if s.dir != "" {
		where = []string{"--dir", s.dir}
	}
	s.process = exec.Command("node", append([]string{s.program, "--host", host, "--port", port, "--no-stdout-logs"}, where...)...)
	s.process.Dir = s.own
	s.said = &bytes.Buffer{}
	s.process.Stdout, s.process.Stderr = s.said, s.said
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	process, exited := s.process, make(chan struct{})
	s.exited = exited
	go func() {
		process.Wait()
		close(exited)
	}()
	s.await(t)
}

// await returns once the server answers.
func (s *Server) await(t testing.TB) {
	t.Helper()
	client := http.Client{Timeout: 2 * time.Second}
	for until := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		if answer, err := client.Get("http://" + s.Address); err == nil {
			answer.Body.Close()
			return
		}
		select {
		case <-s.exited:
			t.Fatalf("pouchdb-server has ended:\n%s", s.said)
		default:
		}
		if time.Now().After(until) {
			s.Kill()
			t.Fatalf("pouchdb-server does not answer:\n%s", s.said)
		}
	}
}

// Kill ends the server at once (kill -9).
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill()
	<-s.exited
}

// Pause stops the process, which answers nothing from then on, until the returned function is called.
func (s *Server) Pause() (goOn func()) {
	s.process.Process.Signal(syscall.SIGSTOP)
	return func() { s.process.Process.Signal(syscall.SIGCONT) }
}

// offline is what npm says where it reaches no registry.
var offline = regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ENOTCACHED`)

// install installs the packages in a cache folder, once for each lock file, and returns the program.
func install(t testing.TB) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: pouchdb-server needs it", tool)
		}
	}
	lock, err := packages.ReadFile("server/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "strandline", "pouchdb-server-"+hex.EncodeToString(sum[:6]))
	program := filepath.Join(dir, "node_modules", "pouchdb-server", "bin", "pouchdb-server")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := installIn(dir); err != nil {
		if _, err := os.Stat(program); err == nil {
			return program // another test was faster
		}
		if offline.MatchString(err.Error()) {
			t.Skipf("pouchdb-server cannot be installed without a network: %v", err)
		}
		t.Fatal(err)
	}
	return program
}

// installIn installs beside dir, so that what is in dir is complete.
func installIn(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	beside, err := os.MkdirTemp(filepath.Dir(dir), "installing-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(beside)
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		content, err := packages.ReadFile("server/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(beside, name), content, 0o644); err != nil {
			return err
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), installTime)
	defer stop()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = beside
	npm.WaitDelay = time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci of pouchdb-server: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return os.Rename(beside, dir)
}
