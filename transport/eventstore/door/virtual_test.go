package door_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"strandline/domain"
	"strandline/transport/eventstore/door"
	"strandline/transport/eventstore/external"
)

// links is what a virtual stream holds: revision, type, and the stream and revision of what each link stands for.
func (w *world) links(stream string, options esdb.ReadStreamOptions) (links []string) {
	w.Helper()
	options.ResolveLinkTos = true
	events, err := w.client.ReadStream(w.Context(), stream, options, 100_000)
	if err != nil {
		w.Fatal(err)
	}
	defer events.Close()
	for {
		e, err := events.Recv()
		if err != nil {
			return links
		}
		if e.Event == nil {
			links = append(links, fmt.Sprintf("%d: %s", e.Link.EventNumber, e.Link.Data))
			continue
		}
		links = append(links, fmt.Sprintf("%d: %d@%s %s", e.Link.EventNumber, e.Event.EventNumber, e.Event.StreamID, e.Event.EventType))
	}
}

func (w *world) linked(stream string, options esdb.ReadStreamOptions, want ...string) {
	w.Helper()
	if got := w.links(stream, options); !slices.Equal(got, want) {
		w.Errorf("%s holds\n%s\nwant\n%s", stream, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVirtualStreams(t *testing.T) {
	w := newWorld(t)
	about := event("b", `{}`)
	about.Metadata = []byte(`{"$correlationId":"c-1"}`)
	w.append("ext-1", esdb.Any{}, event("a", `{}`))
	w.append("other-1", esdb.Any{}, event("a", `{}`))
	w.append("ext-2", esdb.Any{}, about)
	w.append("extra-1", esdb.Any{}, event("c", `{}`))
	w.linked("$ce-ext", esdb.ReadStreamOptions{}, "0: 0@ext-1 a", "1: 0@ext-2 b")
	w.linked("$et-a", esdb.ReadStreamOptions{}, "0: 0@ext-1 a", "1: 0@other-1 a")
	w.linked("$bc-c-1", esdb.ReadStreamOptions{}, "0: 0@ext-2 b")
	w.append("ext-1", esdb.Any{}, event("d", `{}`))
	w.linked("$ce-ext", esdb.ReadStreamOptions{From: esdb.Revision(1)}, "1: 0@ext-2 b", "2: 1@ext-1 d")
	w.linked("$ce-ext", esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, "2: 1@ext-1 d", "1: 0@ext-2 b", "0: 0@ext-1 a")
	w.linked("$ce-ext", esdb.ReadStreamOptions{From: esdb.Revision(1), Direction: esdb.Backwards}, "1: 0@ext-2 b", "0: 0@ext-1 a")
	w.linked("$ce-ext", esdb.ReadStreamOptions{From: esdb.Revision(9)})
	w.holds("$ce-ext", "$>", "$>", "$>") // as they are, when not resolved
	w.holds("$ce-nothing", missing)
	w.refused(esdb.ErrorCodeAccessDenied, "$ce-ext", esdb.Any{}, event("e", `{}`))
	if _, err := w.client.DeleteStream(t.Context(), "ext-2", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	w.linked("$ce-ext", esdb.ReadStreamOptions{}, "0: 0@ext-1 a", "1: 0@ext-2", "2: 1@ext-1 d") // dangling, and still counted
}

// TestVirtualStreamIsLong reads a stream of which not every position is remembered, from everywhere, both ways.
func TestVirtualStreamIsLong(t *testing.T) {
	w := newWorld(t)
	const n = 5_000
	for i := 0; i < n; i += 500 {
		var events []esdb.EventData
		for j := range 500 {
			events = append(events, event(fmt.Sprint("t", i+j), `{}`))
		}
		w.append("ext-1", esdb.Any{}, events...)
		w.append("other-1", esdb.Any{}, events[:3]...)
	}
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("%d: %d@ext-1 t%d", i, i, i)
	}
	w.linked("$ce-ext", esdb.ReadStreamOptions{}, want...)
	w.linked("$ce-ext", esdb.ReadStreamOptions{From: esdb.Revision(4_777)}, want[4_777:]...)
	back := slices.Clone(want)
	slices.Reverse(back)
	w.linked("$ce-ext", esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, back...)
	w.linked("$ce-ext", esdb.ReadStreamOptions{From: esdb.Revision(4_321), Direction: esdb.Backwards}, back[n-1-4_321:]...)
}

func TestVirtualSubscription(t *testing.T) {
	w := newWorld(t)
	w.append("ext-1", esdb.Any{}, event("a", `{}`))
	w.append("ext-2", esdb.Any{}, event("b", `{}`))
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	s, err := w.client.SubscribeToStream(ctx, "$ce-ext", esdb.SubscribeToStreamOptions{From: esdb.Revision(0), ResolveLinkTos: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.append("other-2", esdb.Any{}, event("x", `{}`))
	w.append("ext-3", esdb.Any{}, event("c", `{}`))
	for i, want := range []string{"b", "c"} {
		e := s.Recv()
		for e.CaughtUp != nil {
			e = s.Recv()
		}
		if e.EventAppeared == nil {
			t.Fatalf("%+v, want an event", e)
		}
		if got := e.EventAppeared; got.Event.EventType != want || got.Link.EventNumber != uint64(i+1) || got.Link.StreamID != "$ce-ext" {
			t.Errorf("came %+v, want %s at %d", got, want, i+1)
		}
	}
}

// TestVirtualGroup pins the events of a category by the streams that they are in.
func TestVirtualGroup(t *testing.T) {
	w := newWorld(t)
	w.append("ext-1", esdb.Any{}, event("a", `{}`))
	w.group("$ce-ext", "g", func(s *esdb.PersistentSubscriptionSettings) {
		s.ResolveLinkTos, s.ConsumerStrategyName = true, esdb.ConsumerStrategyPinned
	})
	c := w.consume("$ce-ext", "g", 1)
	c.wants("a")
	w.append("ext-2", esdb.Any{}, event("b", `{}`))
	if e := c.wants("b"); e.Event.Link.EventNumber != 1 || e.Event.Event.StreamID != "ext-2" {
		t.Errorf("came %+v", e.Event)
	}
	w.append("ext-2", esdb.Any{}, event("c", `{}`))
	c.refuses("c", esdb.NackActionPark)
	w.parked("$ce-ext", "g", 1)
	if err := w.client.ReplayParkedMessages(t.Context(), "$ce-ext", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	c.wants("c")
	w.until("a checkpoint", func() bool {
		at := w.info("$ce-ext", "g").Stats.LastCheckpointedEventRevision
		return at != nil && *at == 2
	})
	w.close()
	w = worldOver(t, w.store)
	w.append("ext-3", esdb.Any{}, event("d", `{}`))
	w.consume("$ce-ext", "g", 1).wants("d")
}

// blind is a gate for somebody who may not see one type of event.
type blind struct{ open }

func (blind) Enter(context.Context, string, string) (door.Caller, error) { return blind{}, nil }
func (blind) Show(_ context.Context, r domain.Record) (door.Shown, bool) {
	s, err := external.Unpack(r)
	return s, err == nil && r.Type != "secret"
}

// TestVirtualNumbersAreTheSame for somebody who may not see everything: there are gaps.
func TestVirtualNumbersAreTheSame(t *testing.T) {
	w := worldFor(t, blind{})
	w.fill("ext-1", "a secret b")
	w.linked("$ce-ext", esdb.ReadStreamOptions{}, "0: 0@ext-1 a", "2: 2@ext-1 b")
	if got := w.read("$ce-ext", esdb.ReadStreamOptions{}); len(got) != 2 {
		t.Errorf("links that are not resolved: %v, want 2", got)
	}
	for _, resolve := range []bool{true, false} {
		name := fmt.Sprint(resolve)
		w.group("$ce-ext", name, func(s *esdb.PersistentSubscriptionSettings) { s.ResolveLinkTos = resolve })
		c := w.consume("$ce-ext", name, 10)
		for _, number := range []uint64{0, 2} {
			if got := c.next().Event.OriginalEvent(); got.EventNumber != number {
				t.Errorf("came %d, want %d", got.EventNumber, number)
			}
		}
		c.quiet()
	}
}

// TestVirtualLooksEndInTime has many ask for a stream at once.
func TestVirtualLooksEndInTime(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-1", "a b c")
	late := time.Now().Add(patience)
	done := make(chan []string)
	for range 16 {
		go func() { done <- w.links("$et-b", esdb.ReadStreamOptions{}) }()
	}
	for range 16 {
		select {
		case got := <-done:
			if len(got) != 1 {
				t.Errorf("%v, want one link", got)
			}
		case <-time.After(time.Until(late)):
			t.Fatal("a read did not end")
		}
	}
}
