package main_test

import (
	"context"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/door"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/eventstore/external"
	"strandline/transport/files"
)

// openGate lets everybody do everything, as an EventStoreDB does that was started without security.
type openGate struct{}

func (openGate) Enter(context.Context, string, string) (door.Caller, error) { return openGate{}, nil }
func (openGate) MayAppend(string) error                                     { return nil }
func (openGate) MayManage() error                                           { return nil }
func (openGate) Stamp(*domain.Envelope)                                     {}
func (openGate) Opened(context.Context, string, string) error               { return nil }
func (openGate) Left(context.Context, string, string, int, error) error     { return nil }
func (openGate) Show(_ context.Context, r domain.Record) (door.Shown, bool) {
	e, err := external.Unpack(r)
	return e, err == nil
}

// storeServer stands for an EventStoreDB: our own door over an embedded store.
type storeServer struct {
	address string
	store   commands.EventStore
	stop    func()
}

func newStoreServer(t *testing.T) *storeServer {
	t.Helper()
	disk, err := files.NewDisk(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(disk, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &storeServer{address: freeAddress(t), store: store}
	s.start(t)
	t.Cleanup(func() { s.stop(); store.Close() })
	return s
}

func (s *storeServer) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = door.New(s.store, openGate{}).Serve(ctx, l, nil) }) // how it ends is what the test sees
	s.stop = sync.OnceFunc(func() { cancel(); serving.Wait() })
}

func (s *storeServer) flags() serveOption {
	return withArgs("--eventstore", "esdb://"+s.address+"?tls=false")
}

// TestEventStoreElsewhere runs a server on the protocol of EventStoreDB: a study lives there, is found again after kill -9
// and without its read models, and outlives the event store's being away.
func TestEventStoreElsewhere(t *testing.T) {
	events := newStoreServer(t)
	data := t.TempDir()
	s := startNode(t, data, events.flags())
	study := newStudy(t, s, 2)
	record := func(i int) {
		t.Helper()
		if status, body := s.as(t, root, "POST", "/participant/"+study.participants[0]+"/sensor_event", reading(int64(i))); status != 200 {
			t.Fatalf("POST sensor_event: %d %s\n%s", status, body, s.log)
		}
		if times := s.times(t, study.participants[0]); times[int64(i)] != 1 {
			t.Fatalf("event %d is not read right after it was written: %v", i, times)
		}
	}
	for i := range 20 {
		record(1000 + i)
	}
	s.kill()
	s = startNode(t, data, events.flags())
	for i := range 20 {
		if times := s.times(t, study.participants[0]); times[int64(1000+i)] != 1 {
			t.Fatalf("event %d after kill -9: %v", i, times)
		}
	}
	events.stop()
	began := time.Now()
	status, body := s.as(t, root, "POST", "/participant/"+study.participants[0]+"/sensor_event", reading(2000))
	if status != 503 || time.Since(began) > 10*time.Second {
		t.Errorf("while the event store is away: %d %s after %s; want 503", status, body, time.Since(began))
	}
	events.start(t)
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if status, _ = s.as(t, root, "POST", "/participant/"+study.participants[0]+"/sensor_event", reading(2001)); status == 200 {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("20 s after the event store came back: %d\n%s", status, s.log)
		}
	}
	if status, body := s.as(t, root, "GET", "/strandline/v1/events?limit=5", ""); status != 200 || strings.Count(body, `"position"`) != 5 {
		t.Errorf("GET /events: %d %s", status, body)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("stopped with %d: %s", code, s.log)
	}
	t.Logf("started in %s", s.started)
}

// TestDrillKillElsewhere kills with -9, under load and over and over, now the event store that is elsewhere, now the server
// that uses it, now both, and halts the event store for a while: whatever was answered is found again, once, and nothing by
// halves.
func TestDrillKillElsewhere(t *testing.T) {
	rounds, data := pick(3, 30), t.TempDir()
	events := startEvents(t)
	place := withArgs("--eventstore", "esdb://"+events.address+"?tls=false")
	s := startNode(t, data, place)
	made := newStudy(t, s, 4)
	var promises promises
	slowest := time.Duration(0)
	for round := range rounds {
		var group sync.WaitGroup
		for i, p := range made.participants {
			group.Go(func() { promises.load(s, i, p) })
		}
		pause := func() { time.Sleep(time.Duration(200+rand.IntN(400)) * time.Millisecond) }
		pause()
		if round%3 == 1 {
			_ = events.cmd.Process.Signal(syscall.SIGSTOP) // it hangs, and nobody is told
			pause()
			_ = events.cmd.Process.Signal(syscall.SIGCONT)
			pause()
		} else {
			events.kill()
			pause()
		}
		if round%3 == 0 { // it goes on when the event store is back
			events.start()
			before := answered(&promises)
			for began := time.Now(); answered(&promises) < before+20; time.Sleep(10 * time.Millisecond) {
				if time.Since(began) > 30*time.Second {
					t.Fatalf("30 s after the event store came back nothing is answered\n%s", s.log)
				}
			}
		}
		s.kill()
		group.Wait()
		if round%3 == 2 {
			events.start()
		}
		s = startNode(t, data, place)
		slowest = max(slowest, s.started)
		promises.checkPlans(t, s)
	}
	promises.checkAll(t, s, made)
	if promises.count() == 0 {
		t.Error("no event was answered")
	}
	t.Logf("%d rounds of kill -9 with events elsewhere: %d events, %d researchers and %d tags answered, all found; slowest start %s",
		rounds, promises.count(), len(promises.researchers), promises.tags.Load(), slowest.Round(time.Millisecond))
}

// answered is how many events have been answered so far, while more are.
func answered(p *promises) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count()
}
