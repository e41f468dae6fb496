package main_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a network namespace with two cables: one to clients, one to the event store and Redis.
type machine struct {
	t      *testing.T
	name   string
	number int
}

func newMachine(t *testing.T, number int) *machine {
	t.Helper()
	m := &machine{t, fmt.Sprintf("strandline%d-%d", os.Getpid(), number), number}
	if out, err := ip("netns", "add", m.name); err != nil {
		t.Skip("ip netns cannot be used here: ", err, " ", out)
	}
	t.Cleanup(func() { _, _ = ip("netns", "del", m.name) }) // and with it its ends of the cables
	m.must("netns", "exec", m.name, "ip", "link", "set", "lo", "up")
	for _, net := range []int{clientNet, engineNet} {
		m.must("link", "add", m.cable(net), "type", "veth", "peer", "name", "eth"+fmt.Sprint(net), "netns", m.name)
		m.must("addr", "add", fmt.Sprintf("10.%d.%d.1/24", net, number), "dev", m.cable(net))
		m.must("link", "set", m.cable(net), "up")
		m.must("netns", "exec", m.name, "ip", "addr", "add", fmt.Sprintf("10.%d.%d.2/24", net, number), "dev", "eth"+fmt.Sprint(net))
		m.must("netns", "exec", m.name, "ip", "link", "set", "eth"+fmt.Sprint(net), "up")
	}
	return m
}

// The networks: 10.NET.MACHINE.1 is this side, .2 the machine.
const (
	clientNet = 201
	engineNet = 202
)

func ip(args ...string) (string, error) {
	out, err := exec.Command("ip", args...).CombinedOutput()
	return string(out), err
}

func (m *machine) must(args ...string) {
	m.t.Helper()
	if out, err := ip(args...); err != nil {
		m.t.Fatal("ip ", args, ": ", err, " ", out)
	}
}

func (m *machine) cable(net int) string {
	return fmt.Sprintf("sl%d-%d-%d", os.Getpid()%10000, m.number, net)
}

// run starts a process on the machine.
func (m *machine) run(f *fleet, name, role string) *server {
	m.t.Helper()
	engines := fmt.Sprintf("10.%d.%d.1", engineNet, m.number)
	at := func(address string) string {
		_, port, _ := net.SplitHostPort(address)
		return net.JoinHostPort(engines, port)
	}
	s := startNode(m.t, filepath.Join(f.dir, name), withArgs("--roles", role, "--keys", filepath.Join(f.dir, "keys"),
		"--eventstore", "esdb://"+at(f.events.address)+"?tls=false", "--redis", "redis://"+at(f.bell.address)+"/0",
		"--listen-tls", fmt.Sprintf("10.%d.%d.2:0", clientNet, m.number)), m.place)
	s.url = s.tls // the other is for the machine itself
	return s
}

// place puts a process on the machine.
func (m *machine) place(c *exec.Cmd) {
	c.Args = append([]string{"ip", "netns", "exec", m.name, c.Path}, c.Args[1:]...)
	c.Path, _ = exec.LookPath("ip") // newMachine has used it
}

// TestDrillPartition cuts the cables between two machines, each with a process that answers, one that projects and one that
// relays, and the event store and Redis, one after the other and both, under load. What was answered is there once, on both.
func TestDrillPartition(t *testing.T) {
	if !long() {
		t.Skip("it is a long form: STRANDLINE_DRILL=long")
	}
	machines := []*machine{newMachine(t, 0), newMachine(t, 1)}
	transport := http.DefaultTransport.(*http.Transport)
	before := transport.TLSClientConfig
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // their authorities are made as they start
	t.Cleanup(func() { transport.TLSClientConfig = before })
	f := &fleet{t: t, events: startEvents(t, "0.0.0.0"), bell: startRedis(t, "0.0.0.0"), dir: t.TempDir()}
	c := &crew{fleet: f, client: &http.Client{Timeout: 10 * time.Second}, members: map[string]*server{}}
	for i, m := range machines {
		for _, role := range []string{"api", "project", "relay"} {
			name := fmt.Sprint(role, i)
			c.members[name] = m.run(f, name, role)
		}
	}
	load, end := c.busy()
	cuts := 0
	for _, cut := range [][]*machine{machines[:1], machines[1:], machines} {
		time.Sleep(3 * time.Second)
		for _, m := range cut {
			m.must("link", "set", m.cable(engineNet), "down")
		}
		time.Sleep(12 * time.Second)
		for _, m := range cut {
			m.must("link", "set", m.cable(engineNet), "up")
		}
		cuts++
		time.Sleep(8 * time.Second)
	}
	c.member("api0").kill() // with all that it has left open, and from elsewhere than before
	c.mu.Lock()
	c.members["api0"] = machines[1].run(f, "api0", "api")
	c.mu.Unlock()
	end()
	load.check()
	for name, s := range c.members {
		for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
			status, answer := s.as(t, "", "GET", "/readyz", "")
			if status == 200 && !strings.Contains(answer, "warnings") {
				break
			}
			if time.Since(began) > 30*time.Second {
				t.Errorf("%s: /readyz %d %s", name, status, answer)
				break
			}
		}
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // while it is on its network
		<-s.exited
	}
	t.Logf("%d cuts: %d events and %d plans answered, each there once on both; %d requests were sent again (%d told that something is away), slowest answer %s",
		cuts, load.next.Load()-int64(len(load.families)), len(load.families), load.again.Load(), load.refused.Load(), time.Duration(load.slowest.Load()).Round(time.Millisecond))
}
