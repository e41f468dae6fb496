package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// redisServer is a real redis-server of the test's own, which keeps nothing on disk.
type redisServer struct {
	t       *testing.T
	address string
	process *exec.Cmd
	client  *goredis.Client
}

func startRedis(t *testing.T, host ...string) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is missing: apt-get install redis-server")
	}
	r := &redisServer{t: t, address: onHost(freeAddress(t), host)}
	r.client = goredis.NewClient(&goredis.Options{Addr: r.address, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: time.Second})
	t.Cleanup(func() { r.client.Close(); r.kill() })
	r.start()
	return r
}

func (r *redisServer) start() {
	r.t.Helper()
	host, port, _ := strings.Cut(r.address, ":")
	r.process = exec.Command("redis-server", "--port", port, "--bind", host, "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", r.t.TempDir())
	r.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	for began := time.Now(); r.client.Ping(context.Background()).Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			r.t.Fatal("redis-server does not answer")
		}
	}
}

func (r *redisServer) signal(s syscall.Signal) {
	if r.process != nil {
		_ = r.process.Process.Signal(s) // it may have ended
	}
}

func (r *redisServer) kill() {
	if r.process != nil {
		r.signal(syscall.SIGKILL)
		_ = r.process.Wait() // it was killed
		r.process = nil
	}
}

func (r *redisServer) url() string { return "redis://" + r.address + "/0" }

// rereads writes until stop, and reads each event back at once.
func (p *promises) rereads(t *testing.T, stop <-chan struct{}, s *server, i int, participant string) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := p.next.Add(1)
		status, answer, _, err := s.try(root, "POST", "/participant/"+participant+"/sensor_event", reading(n))
		if err != nil || status != 200 {
			t.Errorf("write: %d %s %v", status, answer, err)
			return
		}
		p.mu.Lock()
		p.events[i] = append(p.events[i], n)
		p.mu.Unlock()
		status, answer, _, err = s.try(root, "GET", fmt.Sprintf("/participant/%s/sensor_event?from=%d&to=%d", participant, n, n+1), "")
		if err != nil || status != 200 || !strings.Contains(answer, fmt.Sprintf(`"timestamp":%d,`, n)) {
			t.Errorf("event %d, read straight after it was written: %d %s %v", n, status, answer, err)
			return
		}
	}
}

// TestDrillRedis does to Redis what happens to it while a node hears of its events through it: every read finds what was
// written before it, nothing is lost or double, and the read models end up as the log makes them.
func TestDrillRedis(t *testing.T) {
	bell := startRedis(t)
	data := t.TempDir()
	s := startNode(t, data, withArgs("--redis", bell.url()))
	made := newStudy(t, s, 4)
	var promised promises
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i, p := range made.participants {
		writers.Go(func() { promised.rereads(t, stop, s, i, p) })
	}
	moment := time.Duration(pick(300, 10_000)) * time.Millisecond
	time.Sleep(moment)
	if n := s.metric(t, "strandline_feed_backfills_total"); n > 2 {
		t.Errorf("with Redis at work, events were read from the log %v times", n)
	}
	for range pick(3, 20) {
		if err := bell.client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(moment / 2)
	}
	bell.kill()
	time.Sleep(moment)
	s.warns(t, "redis", true)
	bell.start()
	time.Sleep(moment)
	s.warns(t, "redis", false)
	bell.signal(syscall.SIGSTOP)
	time.Sleep(time.Duration(pick(1500, 30_000)) * time.Millisecond)
	bell.signal(syscall.SIGCONT)
	time.Sleep(moment)
	close(stop)
	writers.Wait()
	promised.checkAll(t, s, made)
	backfills := s.metric(t, "strandline_feed_backfills_total")
	if backfills == 0 {
		t.Error("nothing was read from the log, though Redis was away")
	}
	if n, err := bell.client.XLen(t.Context(), "strandline:events").Result(); err != nil || n == 0 {
		t.Errorf("the stream in Redis holds %d entries, %v", n, err)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("stopped with %d", code)
	}
	for line := range strings.Lines(s.log.String()) {
		if !strings.HasPrefix(line, "{") || strings.Contains(line, "go-redis") {
			t.Errorf("the library of Redis speaks in the log: %s", line)
		}
	}
	fed := dumpsAt(t, data, "")
	if err := os.RemoveAll(filepath.Join(data, "readmodels")); err != nil {
		t.Fatal(err)
	}
	if made := dumpsAt(t, data, ""); made != fed {
		t.Error("the read models differ from what the log makes of them")
	}
	t.Logf("%d events written and read back at once; read from the log instead of Redis %v times", promised.count(), backfills)
}

// warns waits until /readyz, which says that the node is ready, warns of a part, or does not.
func (s *server) warns(t *testing.T, part string, want bool) {
	t.Helper()
	var status int
	var answer string
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(20 * time.Millisecond) {
		if status, answer = s.as(t, "", "GET", "/readyz", ""); status != 200 {
			break
		}
		if strings.Contains(answer, `"part":"`+part+`"`) == want {
			return
		}
	}
	t.Errorf("/readyz: %d %s; want 200, with a warning of %s: %v", status, answer, part, want)
}

// TestRedisAway starts a node whose Redis is nowhere, and stops it in good time.
func TestRedisAway(t *testing.T) {
	s := startNode(t, t.TempDir(), withEnv("STRANDLINE_REDIS=redis://somebody:pass-word@"+freeAddress(t)+"/3"))
	newStudy(t, s, 1)
	s.warns(t, "redis", true)
	began := time.Now()
	if code := s.stop(t); code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("stopped with %d after %s", code, time.Since(began))
	}
	if strings.Contains(s.log.String(), "pass-word") {
		t.Errorf("the log holds the password:\n%s", s.log)
	}
	if n := strings.Count(s.log.String(), "\n"); n > 10 {
		t.Errorf("%d lines of log:\n%s", n, s.log)
	}
}

// TestRedisAddress has the password shown to nobody, and what is no address refused without repeating it.
func TestRedisAddress(t *testing.T) {
	for at, shown := range map[string]string{
		"redis://127.0.0.1:6379/0":          "redis://127.0.0.1:6379/0",
		"redis://u:pass-word@127.0.0.1:1/2": "redis://u:********@127.0.0.1:1/2",
		"redis://:pass-word@127.0.0.1:1/2":  "redis://:********@127.0.0.1:1/2",
		"redis://u:pass-word@%":             "redis://u:********@%",
	} {
		out, _, code := command(t, "config", "print", "--redis", at)
		if code != 0 || strings.Contains(out, "pass-word") || !strings.Contains(out, shown) {
			t.Errorf("config print --redis %s: %d %s", at, code, out)
		}
	}
	for _, at := range []string{"http://u:pass-word@127.0.0.1:1/2", "redis://u:pass-word@127.0.0.1:1/pass-word", "redis://u:pass-word@[::1", "pass-word"} {
		_, messages, code := command(t, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--redis", at)
		if code != 2 || strings.Contains(messages, "pass-word") || !strings.Contains(messages, "--redis") {
			t.Errorf("serve --redis %s: %d %s", at, code, messages)
		}
	}
}

// services waits until a server lists exactly the processes that answer at these URLs.
func (s *server) services(t *testing.T, within time.Duration, urls ...string) []listedService {
	t.Helper()
	var list struct{ Services []listedService }
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		s.native(t, "GET", "/services", &list)
		var found []string
		for _, other := range list.Services {
			found = append(found, other.Addresses...)
		}
		if slices.Equal(found, urls) {
			return list.Services
		}
		if time.Since(began) > within {
			t.Fatalf("services are at %v; want %v", found, urls)
		}
	}
}

// listedService is a process as the server lists it.
type listedService struct {
	ID, Name, Version  string
	Roles, Addresses   []string
	Started, Heartbeat time.Time
}

// TestServicesOfAll has every process that is alive listed by each, and by the command, and nobody after its death. The
// processes have logs of their own, which by mistake share a Redis: each hears of its own events only.
func TestServicesOfAll(t *testing.T) {
	bell := startRedis(t)
	data := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	var all []*server
	var urls []string
	for _, folder := range data {
		s := startNode(t, folder, withArgs("--redis", bell.url()))
		all, urls = append(all, s), append(urls, s.url, s.tls)
	}
	for i, s := range all {
		made := newStudy(t, s, 1)
		for n := range 20 {
			if status, answer := s.as(t, root, "POST", "/participant/"+made.participants[0]+"/sensor_event", reading(int64(n+1))); status != 200 {
				t.Fatalf("write: %d %s", status, answer)
			}
			if times := s.times(t, made.participants[0]); len(times) != n+1 {
				t.Fatalf("installation %d: read straight after %d events were written: %v", i, n+1, times)
			}
		}
	}
	for _, s := range all {
		listed := s.services(t, 5*time.Second, urls...)
		if one := listed[0]; one.Name != "strandline" || one.Version == "" || !slices.Contains(one.Roles, "relay") || one.Started.IsZero() || time.Since(one.Heartbeat) > 10*time.Second {
			t.Errorf("listed is %+v", one)
		}
	}
	if out, messages, code := command(t, "services", "--url", all[0].url); code != 0 || strings.Count(out, "\n") != 4 || !strings.Contains(out, urls[5]) {
		t.Errorf("strandline services: %d %s%s", code, out, messages)
	}
	all[2].kill()
	all[0].services(t, 15*time.Second, urls[:4]...)
	if code := all[1].stop(t); code != 0 {
		t.Errorf("stopped with %d", code)
	}
	all[0].services(t, 2*time.Second, urls[:2]...) // it has said so itself
	s := startNode(t, data[1], withArgs("--redis", bell.url()))
	all[0].services(t, 5*time.Second, append(urls[:2:2], s.url, s.tls)...)
	bell.kill()
	all[0].services(t, 5*time.Second, urls[:2]...)
	s.services(t, 5*time.Second, s.url, s.tls)
	bell.start()
	s.services(t, 5*time.Second, append(urls[:2:2], s.url, s.tls)...)
	for i, s := range []*server{all[0], s} {
		if code := s.stop(t); code != 0 {
			t.Errorf("stopped with %d", code)
		}
		fed := dumpsAt(t, data[i], "")
		if err := os.RemoveAll(filepath.Join(data[i], "readmodels")); err != nil {
			t.Fatal(err)
		}
		if dumpsAt(t, data[i], "") != fed {
			t.Errorf("the read models of installation %d differ from what its log makes of them", i)
		}
	}
}

// TestDrillFleetRedis does to Redis what happens to it while four processes use it, two of them as relays, under load: what
// was answered is there once, whoever is asked, also once the read models have been made anew.
func TestDrillFleetRedis(t *testing.T) {
	f := newFleet(t)
	f.bell = startRedis(t)
	names := []string{"api0", "api1", "relay0", "relay1"}
	c := f.launch(names...)
	load, end := c.busy()
	redis, moment := f.bell.client, time.Duration(pick(200, 3000))*time.Millisecond
	faults := []struct {
		name string
		do   func() error
	}{
		{"FLUSHALL", func() error { return redis.FlushAll(t.Context()).Err() }},
		{"trimmed", func() error { return redis.XTrimMaxLen(t.Context(), "strandline:events", 1).Err() }},
		{"emptied", func() error { return redis.XTrimMaxLen(t.Context(), "strandline:events", 0).Err() }},
		{"poisoned", func() error {
			return redis.XAdd(t.Context(), &goredis.XAddArgs{Stream: "strandline:events", Values: []string{"what", "is this"}}).Err()
		}},
		{"deleted", func() error { return redis.Del(t.Context(), "strandline:events").Err() }},
		{"started again with nothing", func() error { f.bell.kill(); time.Sleep(moment); f.bell.start(); return nil }},
		{"stopped", func() error {
			f.bell.signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(pick(1500, 30_000)) * time.Millisecond)
			f.bell.signal(syscall.SIGCONT)
			return nil
		}},
	}
	for _, fault := range faults {
		time.Sleep(moment)
		if err := fault.do(); err != nil {
			t.Errorf("%s: %v", fault.name, err)
		}
	}
	time.Sleep(2 * moment)
	end()
	load.check()
	c.settled(names)
	backfills := c.member("api0").metric(t, "strandline_feed_backfills_total")
	for _, name := range names[:2] {
		c.end(name, syscall.SIGTERM)
		if err := os.RemoveAll(filepath.Join(f.dir, name, "readmodels")); err != nil {
			t.Fatal(err)
		}
		c.relaunch(name)
	}
	load.check()
	t.Logf("%d faults of Redis: %d events and %d plans answered, each there once on both; %d requests were sent again, slowest answer %s; read from the log instead of Redis %v times",
		len(faults), load.next.Load()-int64(len(load.families)), len(load.families), load.again.Load(), time.Duration(load.slowest.Load()).Round(time.Millisecond), backfills)
}
