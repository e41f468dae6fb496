package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"strandline/transport/eventstore/door"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
)

// eventStorePlace has the binary of the tests serve EventStoreDB's protocol: "ADDRESS FOLDER".
const eventStorePlace = "STRANDLINE_TEST_EVENT_STORE"

// serveEvents is that process.
func serveEvents(place string) int {
	address, dir, _ := strings.Cut(place, " ")
	err := func() error {
		disk, err := files.NewDisk(dir)
		if err != nil {
			return err
		}
		store, err := embedded.Open(disk, embedded.Options{})
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		return door.New(store, openGate{}).Serve(context.Background(), l, nil)
	}()
	fmt.Fprintln(os.Stderr, "the event store has ended:", err)
	return 1
}

// eventProcess is an event store in a process of its own, which can be killed.
type eventProcess struct {
	t            *testing.T
	address, dir string
	cmd          *exec.Cmd
}

// startEvents starts it, on this machine alone or on the host that is given.
func startEvents(t *testing.T, host ...string) *eventProcess {
	e := &eventProcess{t: t, address: onHost(freeAddress(t), host), dir: filepath.Join(t.TempDir(), "events")}
	e.start()
	t.Cleanup(e.kill)
	return e
}

// onHost is an address with the host, if one is given.
func onHost(address string, host []string) string {
	_, port, _ := net.SplitHostPort(address)
	if len(host) == 0 {
		return address
	}
	return net.JoinHostPort(host[0], port)
}

func (e *eventProcess) start() {
	e.cmd = exec.Command(os.Args[0])
	e.cmd.Env = append(os.Environ(), eventStorePlace+"="+e.address+" "+e.dir)
	e.cmd.Stderr = os.Stderr
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", e.address)
		if err == nil {
			c.Close()
			return
		}
		if time.Since(began) > 20*time.Second {
			e.t.Fatal("the event store does not answer: ", err)
		}
	}
}

func (e *eventProcess) kill() {
	if e.cmd != nil {
		_ = e.cmd.Process.Kill() // it may have ended
		_ = e.cmd.Wait()
		e.cmd = nil
	}
}

// fleet is several processes with one event store and one folder of keys, with Redis if bell is there.
type fleet struct {
	t       *testing.T
	events  *eventProcess
	bell    *redisServer
	engines []string // the flags of those that keep read models
	dir     string
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, events: startEvents(t), dir: t.TempDir()}
}

// args are the settings of a process with some roles.
func (f *fleet) args(roles string) []string {
	args := []string{"--eventstore", "esdb://" + f.events.address + "?tls=false", "--keys", filepath.Join(f.dir, "keys"), "--roles", roles}
	if f.bell != nil {
		args = append(args, "--redis", f.bell.url())
	}
	return append(args, f.engines...)
}

// start starts a process under a name, which names its data folder.
func (f *fleet) start(name, roles string, options ...serveOption) *server {
	f.t.Helper()
	return startNode(f.t, filepath.Join(f.dir, name), append([]serveOption{withArgs(f.args(roles)...)}, options...)...)
}

// TestRolesRefused names what cannot work, why, and what to do, before anything is made.
func TestRolesRefused(t *testing.T) {
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"--roles", "api,relai"}, `no role "relai": did you mean relay?`},
		{[]string{"--roles", "relay"}, "give --redis"},
		{[]string{"--roles", "project"}, "give --eventstore esdb://"},
		{[]string{"--roles", "relay", "--redis", "redis://127.0.0.1:1/0"}, "give --eventstore esdb://"},
		{[]string{"--roles", "project", "--eventstore", "esdb://127.0.0.1:1?tls=false", "--esdb-listen", "127.0.0.1:0"}, "add it to --roles"},
		{[]string{"--roles", "project", "--eventstore", "esdb://127.0.0.1:1?tls=false", "--demo"}, "add the role api"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		_, messages, code := command(t, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, tt.args...)...)
		if code != 2 || !strings.Contains(messages, tt.says) {
			t.Errorf("serve %s: %d %s; want %q", tt.args, code, messages, tt.says)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("serve %s has made its data folder", tt.args)
		}
	}
}

// TestRolesOnOneMachine: the embedded store with any roles that it can have.
func TestRolesOnOneMachine(t *testing.T) {
	for _, roles := range []string{"api", "project,api", "api,project,automate"} {
		s := startNode(t, t.TempDir(), withArgs("--roles", roles))
		made := newStudy(t, s, 1)
		if status, body := s.as(t, root, "POST", "/participant/"+made.participants[0]+"/sensor_event", reading(7)); status != 200 {
			t.Errorf("--roles %s: %d %s", roles, status, body)
		}
		if times := s.times(t, made.participants[0]); times[7] != 1 {
			t.Errorf("--roles %s: read %v", roles, times)
		}
		if code := s.stop(t); code != 0 {
			t.Errorf("--roles %s: stopped with %d", roles, code)
		}
	}
}

// TestTwoAPIs begin together with nothing: one root, and what one has answered the other shows at once.
func TestTwoAPIs(t *testing.T) {
	f := newFleet(t)
	both := make([]*server, 2)
	started := make(chan error, 2)
	for i := range both {
		go func() {
			var err error
			both[i], err = tryNode(t, filepath.Join(f.dir, fmt.Sprint("api", i)), withArgs(f.args("api")...))
			started <- err
		}()
	}
	for range both {
		if err := <-started; err != nil {
			t.Fatal(err)
		}
	}
	made := newStudy(t, both[0], 2)
	for i := range 40 {
		writes, reads := both[i%2], both[(i+1)%2]
		participant := made.participants[i/2%2]
		if status, body := writes.as(t, root, "POST", "/participant/"+participant+"/sensor_event", reading(int64(i))); status != 200 {
			t.Fatalf("POST: %d %s\n%s", status, body, writes.log)
		}
		if times := reads.times(t, participant); times[int64(i)] != 1 {
			t.Fatalf("event %d is not there on the other right after it was answered: %v", i, times)
		}
		if name := fmt.Sprint("tag", i); true {
			path := "/type/" + participant + "/attachment/" + name
			if status, body := writes.as(t, root, "PUT", path+"/me", `{"n":1}`); status != 200 {
				t.Fatalf("PUT: %d %s", status, body)
			}
			if status, body := reads.as(t, root, "GET", path, ""); status != 200 || !strings.Contains(body, `"n":1`) {
				t.Fatalf("a tag is not there on the other right after it was answered: %d %s", status, body)
			}
		}
	}
	f.minPosition(both, made.participants[0])
	f.oneKey(both, made)
	f.revoked(both)
	if status, body := both[1].as(t, root, "GET", "/strandline/v1/events?type=credential.issued", ""); status != 200 || strings.Count(body, "System Administrator") != 1 {
		t.Errorf("credentials of root: %d %s", status, body)
	}
	for _, s := range both {
		if code := s.stop(t); code != 0 {
			t.Errorf("stopped with %d: %s", code, s.log)
		}
	}
}

// minPosition demands on one what the other has answered.
func (f *fleet) minPosition(both []*server, participant string) {
	f.t.Helper()
	for i := range 10 {
		_, _, header, err := both[i%2].try(root, "POST", "/participant/"+participant+"/sensor_event", reading(int64(1000+i)))
		if err != nil {
			f.t.Fatal(err)
		}
		at := header.Get("Strandline-Position")
		status, body, shown, err := both[(i+1)%2].try(root, "GET", fmt.Sprintf("/participant/%s/sensor_event?from=%d&to=%d", participant, 1000+i, 1001+i), "", "Strandline-Min-Position", at)
		if err != nil || status != 200 || !strings.Contains(body, fmt.Sprintf(`"timestamp":%d,`, 1000+i)) || shown.Get("Strandline-Position") == "" {
			f.t.Errorf("read with Strandline-Min-Position %s: %d %s %v", at, status, body, err)
		}
	}
}

// oneKey sends requests with one idempotency key to both, one after the other and at once.
func (f *fleet) oneKey(both []*server, made study) {
	f.t.Helper()
	events := "/participant/" + made.participants[1] + "/sensor_event"
	for i, path := range []string{events, "/researcher", events, "/researcher"} {
		key, body := fmt.Sprint("key ", i), reading(int64(5000+i))
		if path == "/researcher" {
			body = fmt.Sprintf(`{"name":"once %d"}`, i)
		}
		answers := make(chan string, 2)
		for n, s := range both {
			send := func() {
				status, text, _, err := s.try(root, "POST", path, body, "Idempotency-Key", key)
				answers <- fmt.Sprint(status, text, err)
			}
			if i < 2 || n == 0 && i == 3 {
				send()
				continue
			}
			go send()
		}
		if a, b := <-answers, <-answers; a != b || !strings.HasPrefix(a, "200") {
			f.t.Errorf("POST %s with one key: %s and %s", path, a, b)
		}
		if status, text := both[i%2].as(f.t, root, "POST", path, `{"name":"another"}`, "Idempotency-Key", key); status < 400 || status > 499 {
			f.t.Errorf("another POST %s with the key: %d %s", path, status, text)
		}
	}
	if times := both[0].times(f.t, made.participants[1]); times[5000] != 1 || times[5002] != 1 {
		f.t.Errorf("events sent twice with one key are there %d and %d times", times[5000], times[5002])
	}
	_, text := both[1].as(f.t, root, "GET", "/researcher", "")
	if strings.Count(text, `"once 1"`) != 1 || strings.Count(text, `"once 3"`) != 1 {
		f.t.Errorf("researchers made twice with one key: %s", text)
	}
}

// revoked ends a credential on one, which the other does not let in any more from the next request on.
func (f *fleet) revoked(both []*server) {
	f.t.Helper()
	status, text := both[0].as(f.t, root, "POST", "/strandline/v1/api-keys", `{"name":"short"}`)
	var key struct{ ID, Key string }
	if err := json.Unmarshal([]byte(text), &key); err != nil || status >= 300 || key.Key == "" {
		f.t.Fatalf("POST api-keys: %d %s", status, text)
	}
	ask := func(s *server) int {
		r, err := http.NewRequest("GET", s.url+"/strandline/v1/events?limit=1", nil)
		if err != nil {
			f.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key.Key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			f.t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for _, s := range both {
		if got := ask(s); got != 200 {
			f.t.Errorf("with the new key: %d", got)
		}
	}
	if status, text := both[0].as(f.t, root, "DELETE", "/strandline/v1/api-keys/"+key.ID, ""); status >= 300 {
		f.t.Fatalf("DELETE api-keys: %d %s", status, text)
	}
	if got := ask(both[1]); got != 401 {
		f.t.Errorf("with a key that was revoked on the other: %d", got)
	}
}

// TestDecisionsReachOthers: what is decided about a projection on one process holds for the read models of the others.
func TestDecisionsReachOthers(t *testing.T) {
	f := newFleet(t)
	both := []*server{f.start("api0", "api"), f.start("api1", "api")}
	person := newStudy(t, both[0], 1).participants[0]
	positions := make([]string, 3)
	for i := range positions {
		_, _, header, err := both[0].try(root, "POST", "/participant/"+person+"/sensor_event", reading(int64(i)))
		if err != nil {
			t.Fatal(err)
		}
		positions[i] = header.Get("Strandline-Position")
	}
	for _, step := range []struct {
		word string
		want map[int64]int
	}{
		{"park", map[int64]int{0: 1, 2: 1}},
		{"discard", map[int64]int{0: 1, 2: 1}},
		{"retry", map[int64]int{0: 1, 1: 1, 2: 1}},
	} {
		both[0].native(t, "POST", "/projections/series/"+step.word+"?position="+positions[1], nil, "Strandline-Reason", "test")
		for i, s := range both {
			began := time.Now()
			for ; !maps.Equal(s.times(t, person), step.want); time.Sleep(50 * time.Millisecond) {
				if time.Since(began) > 30*time.Second {
					t.Fatalf("after %s on api0, api%d shows %v, want %v\n%s", step.word, i, s.times(t, person), step.want, s.log)
				}
			}
		}
	}
}

// TestKeysOfOthers: a process with keys that are not those of the event store is refused, and so is a second one in a folder.
func TestKeysOfOthers(t *testing.T) {
	f := newFleet(t)
	f.start("first", "api")
	for name, tt := range map[string]struct {
		keys, data, says string
	}{
		"no keys":            {filepath.Join(f.dir, "none"), "second", "give --keys the folder that the other processes use"},
		"the default":        {"", "third", "give --keys the folder that the other processes use"},
		"the data of others": {filepath.Join(f.dir, "keys"), "first", "give each a --data of its own"},
	} {
		args := []string{"--eventstore", "esdb://" + f.events.address + "?tls=false"}
		if tt.keys != "" {
			args = append(args, "--keys", tt.keys)
		}
		_, messages, code := command(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(f.dir, tt.data)}, args...)...)
		if code != 3 || !strings.Contains(messages, tt.says) {
			t.Errorf("%s: %d %s; want %q", name, code, messages, tt.says)
		}
	}
	elsewhere := startNode(t, filepath.Join(f.dir, "elsewhere"))
	elsewhere.stop(t)
	_, messages, code := command(t, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(f.dir, "fourth"),
		"--eventstore", "esdb://"+f.events.address+"?tls=false", "--keys", filepath.Join(f.dir, "elsewhere", "keys"))
	if code != 3 || !strings.Contains(messages, "that these keys do not open") {
		t.Errorf("keys of another installation: %d %s", code, messages)
	}
}
