package redis_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// TestMain lets many tests run side by side, as most of their time they wait for something to break.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// server is a real redis-server of the test's own.
type server struct {
	t       *testing.T
	program string
	dir     string
	port    int
	process *exec.Cmd
}

func newServer(t *testing.T) *server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is missing: apt-get install redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &server{t: t, program: program, dir: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port}
	t.Cleanup(s.kill)
	return s
}

// start starts it, with nothing on disk.
func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(s.program, "--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	client := s.client()
	defer client.Close()
	for began := time.Now(); client.Ping(context.Background()).Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			s.t.Fatal("redis-server does not answer")
		}
	}
}

func (s *server) client() *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.port), MaxRetries: -1, DialerRetries: 1, DialTimeout: 2 * time.Second, ContextTimeoutEnabled: true})
}

func (s *server) signal(sig syscall.Signal) {
	_ = s.process.Process.Signal(sig) // a process that has ended is what some tests want
}

func (s *server) kill() {
	if s.process == nil {
		return
	}
	s.signal(syscall.SIGKILL)
	_ = s.process.Wait() // it was killed
	s.process = nil
}
