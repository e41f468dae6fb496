package door_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"strandline/transport/eventstore/memory"
)

// worker is one consumer of a group that handles some events, refuses some, forgets some, and vanishes now and then.
type worker struct {
	*raw
	random *rand.Rand
	mu     *sync.Mutex
	done   map[string]int // how often each event was acknowledged
}

// work consumes until ctx ends.
func (r worker) work(ctx context.Context, stream, group string) {
	for ctx.Err() == nil {
		r.once(ctx, stream, group)
		time.Sleep(time.Millisecond)
	}
}

// once consumes until the call ends or the worker goes away.
func (r worker) once(ctx context.Context, stream, group string) {
	ctx, vanish := context.WithCancel(ctx)
	defer vanish()
	call, err := r.groups.Read(ctx)
	if err != nil {
		return
	}
	if call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{GroupName: group, BufferSize: 8,
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}}}}}) != nil {
		return
	}
	for left := 50 + r.random.IntN(200); left > 0; left-- {
		m, err := call.Recv()
		if err != nil {
			return
		}
		e := m.GetEvent()
		if e == nil {
			continue
		}
		id := e.GetEvent().GetId()
		if e.GetLink() != nil {
			id = e.GetLink().GetId()
		}
		answer := &persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{Ids: []*shared.UUID{id}}}}
		switch r.random.IntN(10) {
		case 0:
			continue // forgotten: it comes again when its time is over
		case 1:
			answer = &persistent.ReadReq{Content: &persistent.ReadReq_Nack_{Nack: &persistent.ReadReq_Nack{Ids: []*shared.UUID{id}, Action: persistent.ReadReq_Nack_Action(r.random.IntN(3))}}}
		default:
			r.mu.Lock()
			r.done[e.GetEvent().GetMetadata()["type"]]++
			r.mu.Unlock()
		}
		if call.Send(answer) != nil {
			return
		}
	}
}

// TestGroupLosesNothing has consumers that refuse, forget and vanish, and a server that is started again under them: each
// event is acknowledged at least once, if need be after what was parked has been replayed.
func TestGroupLosesNothing(t *testing.T) {
	for _, strategy := range []esdb.ConsumerStrategy{esdb.ConsumerStrategyRoundRobin, esdb.ConsumerStrategyDispatchToSingle, esdb.ConsumerStrategyPinned} {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			const events, workers = 600, 3
			w := worldOver(t, memory.New())
			w.group("ext-s", "g", func(s *esdb.PersistentSubscriptionSettings) {
				s.ConsumerStrategyName, s.MessageTimeout, s.MaxRetryCount, s.LiveBufferSize = strategy, 200, 2, 50
			})
			var mu sync.Mutex
			done := map[string]int{}
			run := func() (stop func()) {
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				for i := range workers {
					one := worker{w.dial(), rand.New(rand.NewPCG(uint64(i), 7)), &mu, done}
					running.Go(func() { one.work(ctx, "ext-s", "g") })
				}
				return func() { cancel(); running.Wait() }
			}
			missing := func() (n int) {
				mu.Lock()
				defer mu.Unlock()
				return events - len(done)
			}
			for part := range 3 {
				stop := run()
				for i := range events / 3 {
					w.append("ext-s", esdb.Any{}, event(fmt.Sprint("e", part*events/3+i), `{}`))
				}
				w.until("some have been handled", func() bool { return missing() < events-(part+1)*events/6 })
				if part%2 == 0 { // the consumers go on without their server, or end before it
					w.close()
					stop()
				} else {
					stop()
					w.close()
				}
				w = worldOver(t, w.store)
			}
			stop := run()
			defer stop()
			replays := 0
			for late := time.Now().Add(2 * patience); missing() > 0; time.Sleep(300 * time.Millisecond) {
				if time.Now().After(late) {
					t.Fatalf("%d of %d events were never acknowledged: %+v", missing(), events, w.info("ext-s", "g").Stats)
				}
				replays++
				if err := w.client.ReplayParkedMessages(t.Context(), "ext-s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			again := 0
			for _, n := range done {
				again += n - 1
			}
			t.Logf("%s: %d events to %d consumers over 3 restarts: all acknowledged, %d more than once; what was parked was replayed %d times", strategy, events, workers, again, replays)
		})
	}
}

// TestGroupPinnedByCorrelation keeps together what has one correlation id. The official clients cannot ask for it.
func TestGroupPinnedByCorrelation(t *testing.T) {
	w := newWorld(t)
	r := w.dial()
	if _, err := r.groups.Create(t.Context(), &persistent.CreateReq{Options: &persistent.CreateReq_Options{GroupName: "g", Settings: &persistent.CreateReq_Settings{ConsumerStrategy: "PinnedByCorrelation"},
		StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("ext-s")},
			RevisionOption: &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}}}}}}); err != nil {
		t.Fatal(err)
	}
	consumers := []*consumer{w.consume("ext-s", "g", 3), w.consume("ext-s", "g", 3)}
	for i := range 60 {
		e := event(fmt.Sprint(i), `{}`)
		e.Metadata = fmt.Appendf(nil, `{"$correlationId":"c%d"}`, i%9)
		w.append("ext-s", esdb.Any{}, e)
	}
	with, late := map[string]int{}, time.After(patience)
	for range 60 {
		var e *esdb.EventAppeared
		at := 0
		select {
		case e = <-consumers[0].came:
		case e = <-consumers[1].came:
			at = 1
		case <-late:
			t.Fatal("not all came")
		}
		id := string(e.Event.Event.UserMetadata)
		if was, ok := with[id]; ok && was != at {
			t.Errorf("%s was with consumer %d and is with %d", id, was, at)
		}
		with[id] = at
		if err := consumers[at].Ack(e.Event); err != nil {
			t.Fatal(err)
		}
	}
	if text := fmt.Sprint(with); len(with) != 9 || !strings.Contains(text, ":0") || !strings.Contains(text, ":1") {
		t.Errorf("spread as %v, want nine over both", with)
	}
}
