package rest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
	"strandline/transport/rest"
)

// flood is a pipeline of which a test counts what it was asked and what it has recorded.
type flood struct {
	*world
	pipeline *rest.Pipeline
	handler  http.Handler

	mu    sync.Mutex
	asked map[string]int // by the request id of the answer
}

func newFlood(t *testing.T, answer func(*rest.Call) (rest.Answer, error), burst, total int) *flood {
	w := &world{T: t, answer: answer}
	f := &flood{world: w, asked: map[string]int{}}
	f.pipeline = rest.NewPipeline(w, w, w, w, rest.WithFlood(burst, total), rest.WithLogger(slog.New(slog.DiscardHandler)))
	f.handler = f.pipeline.Handler(w)
	return f
}

// ask sends requests from an address at once and returns the status of the last.
func (f *flood) ask(address string, requests int) (status int) {
	for range requests {
		r := httptest.NewRequest("GET", "/x", nil)
		r.RemoteAddr = address
		answer := httptest.NewRecorder()
		f.handler.ServeHTTP(answer, r)
		f.mu.Lock()
		f.asked[answer.Header().Get("Strandline-Request")]++
		f.mu.Unlock()
		status = answer.Code
	}
	return status
}

// recorded is how many requests each id on the record stands for, and how many counts and other records there are.
func (f *flood) recorded() (requests map[string]int, counts, others int) {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	requests = map[string]int{}
	for i, e := range f.records {
		id := f.metas[i].Request.String()
		if e, ok := e.(access.Flooded); ok {
			requests[id] += e.Count
			counts++
			continue
		}
		requests[id]++
		others++
	}
	return requests, counts, others
}

// balanced fails unless each id stands for as many requests on the record as were answered with it.
func (f *flood) balanced() {
	f.Helper()
	recorded, _, _ := f.recorded()
	for id, n := range f.asked {
		if recorded[id] != n {
			f.Errorf("request %s was answered %d times and stands for %d on the record", id, n, recorded[id])
		}
	}
	if len(recorded) != len(f.asked) {
		f.Errorf("%d ids on the record, %d answered", len(recorded), len(f.asked))
	}
}

var refused = fixed(rest.Answer{}, errors.New("no"))

// TestFloodIsCounted sends a slow trickle, then a flood, then a trickle again: each request is in the record once.
func TestFloodIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlood(t, refused, 50, 5000)
		for range 5 { // seconds
			f.ask("192.0.2.1:1", 40)
			time.Sleep(time.Second)
		}
		if _, counts, others := f.recorded(); counts != 0 || others != 200 {
			t.Errorf("of 200 slow requests: %d records, %d counts; want a record each", others, counts)
		}
		for range 10 {
			f.ask("192.0.2.1:1", 500)
			f.ask("192.0.2.2:1", 20)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if _, counts, others := f.recorded(); counts != 10 || others != 200+50+10*20 {
			t.Errorf("of 5,000 requests in ten seconds: %d counts, %d records; want 10 counts, and records of the first 50 and of the other source",
				counts, others-200)
		}
		time.Sleep(2 * time.Second)
		f.ask("192.0.2.1:1", 10)
		f.pipeline.Close()
		if _, counts, others := f.recorded(); counts != 10 || others != 460 {
			t.Errorf("after the flood: %d counts, %d records; want a record each again", counts, others)
		}
		f.balanced()
	})
}

// TestFloodSaysWhat looks at one count: whence, when, and which answers.
func TestFloodSaysWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := newFlood(t, func(*rest.Call) (rest.Answer, error) {
			if n++; n%4 == 0 {
				return rest.Answer{Status: 200}, nil
			}
			return rest.Answer{}, errors.New("no")
		}, 0, 1000)
		begin := time.Now()
		f.ask("[2001:db8::1]:1", 3)
		time.Sleep(100 * time.Millisecond)
		f.ask("[2001:db8::2]:1", 1)
		f.pipeline.Close()
		e, meta := f.only()
		want := fmt.Sprint(access.Flooded{Count: 4, From: begin.UnixMilli(), To: begin.UnixMilli() + 100, Refused: []access.Refusals{{Code: "400.refused", Count: 3}}})
		if fmt.Sprint(e) != want || meta.Details.Address != "2001:db8::/64" || !meta.Anonymous {
			t.Errorf("recorded %+v with %+v, want %s from 2001:db8::/64", e, meta, want)
		}
	})
}

// TestFloodOfMany has more sources than are told apart, each of which sends little.
func TestFloodOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlood(t, refused, 50, 500)
		for n := range 3000 {
			f.ask(fmt.Sprintf("10.0.%d.%d:1", n/256, n%256), 2)
		}
		f.pipeline.Close()
		if _, counts, others := f.recorded(); others != 500 || counts > 1025 {
			t.Errorf("%d records and %d counts, want 500 and at most 1025", others, counts)
		}
		f.balanced()
	})
}

// TestThoseSignedInAreNeverCounted floods as somebody.
func TestThoseSignedInAreNeverCounted(t *testing.T) {
	f := newFlood(t, func(c *rest.Call) (rest.Answer, error) {
		c.Meta.Principal = commands.Principal{Credential: "c", Origin: "p"}
		return rest.Answer{Status: 200}, nil
	}, 10, 20)
	f.ask("192.0.2.1:1", 100)
	f.pipeline.Close()
	if _, counts, others := f.recorded(); counts != 0 || others != 100 {
		t.Errorf("%d counts, %d records; want 100 records", counts, others)
	}
}

// TestFloodOnAFullDisk: what cannot be counted on disk is not served, and what was counted is written when it can be.
func TestFloodOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlood(t, fixed(rest.Answer{Status: 401, Code: "401.x"}, nil), 10, 1000)
		if status := f.ask("192.0.2.1:1", 100); status != 401 {
			t.Errorf("before: status %d, want 401", status)
		}
		f.setDisk(errors.New("disk full"))
		time.Sleep(1500 * time.Millisecond)
		f.asked[""] = 0
		before := len(f.asked)
		if status := f.ask("192.0.2.1:1", 1); status != 400 {
			t.Errorf("on a full disk: status %d, want the dialect's word for what is not served", status)
		}
		f.setDisk(nil)
		time.Sleep(1500 * time.Millisecond)
		f.pipeline.Close()
		recorded, counts, _ := f.recorded()
		if counts != 1 || before != 12 {
			t.Errorf("%d counts, %d ids; want 1 count and 12 ids", counts, before)
		}
		total := 0
		for _, n := range recorded {
			total += n
		}
		if total != 100 {
			t.Errorf("%d on the record, want the 100 that were served", total)
		}
	})
}

// TestFloodWaitsForTheSecondBefore: no answer of a second leaves before the counts of the second before are on disk.
func TestFloodWaitsForTheSecondBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowDisk{world: world{T: t, answer: refused}, open: make(chan struct{})}
		p := rest.NewPipeline(w, w, w, w, rest.WithFlood(0, 1000), rest.WithLogger(slog.New(slog.DiscardHandler)))
		ask := func() { p.Handler(w).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil)) }
		ask()
		time.Sleep(1100 * time.Millisecond)
		answered := false
		go func() { ask(); answered = true }()
		synctest.Wait()
		if answered {
			t.Error("answered while the counts of the second before were not on disk")
		}
		close(w.open)
		synctest.Wait()
		if !answered {
			t.Error("not answered although the counts of the second before are on disk")
		}
		p.Close()
	})
}

// slowDisk takes no record until it is open.
type slowDisk struct {
	world
	open chan struct{}
}

func (s *slowDisk) Record(ctx context.Context, meta commands.Meta, e domain.Event) (domain.Position, error) {
	<-s.open
	return s.world.Record(ctx, meta, e)
}
