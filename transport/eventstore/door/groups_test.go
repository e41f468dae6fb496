package door_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// consumer is the official client's end of a group.
type consumer struct {
	*testing.T
	*esdb.PersistentSubscription
	came chan *esdb.EventAppeared
	gone chan error
}

// group makes a group of a stream. A nil change leaves the settings as they are by default, but for checkpoints, which
// are written at once.
func (w *world) group(stream, name string, change func(*esdb.PersistentSubscriptionSettings)) {
	w.Helper()
	settings := esdb.SubscriptionSettingsDefault()
	settings.CheckpointLowerBound, settings.CheckpointAfter = 1, 20
	if change != nil {
		change(&settings)
	}
	err := w.client.CreatePersistentSubscription(w.Context(), stream, name, esdb.PersistentStreamSubscriptionOptions{Settings: &settings, StartFrom: esdb.Start{}})
	if err != nil {
		w.Fatalf("create %s::%s: %v", stream, name, err)
	}
}

// consume joins a group.
func (w *world) consume(stream, name string, slots uint32) *consumer {
	w.Helper()
	s, err := w.client.SubscribeToPersistentSubscription(w.Context(), stream, name, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: slots})
	if err != nil {
		w.Fatalf("consume %s::%s: %v", stream, name, err)
	}
	return consuming(w.T, s)
}

func consuming(t *testing.T, s *esdb.PersistentSubscription) *consumer {
	c := &consumer{t, s, make(chan *esdb.EventAppeared, 10_000), make(chan error, 1)}
	go func() {
		for {
			e := s.Recv()
			if e.SubscriptionDropped != nil {
				c.gone <- e.SubscriptionDropped.Error
				return
			}
			c.came <- e.EventAppeared
		}
	}()
	t.Cleanup(func() { s.Close() })
	return c
}

// next is the next event that comes.
func (c *consumer) next() *esdb.EventAppeared {
	c.Helper()
	select {
	case e := <-c.came:
		return e
	case err := <-c.gone:
		c.Fatalf("dropped: %v", err)
	case <-time.After(patience):
		c.Fatal("no event came")
	}
	return nil
}

// wants takes the next event, which is to have the type, and acknowledges it.
func (c *consumer) wants(typ string) *esdb.EventAppeared {
	c.Helper()
	e := c.next()
	if got := e.Event.Event.EventType; got != typ {
		c.Fatalf("came %s, want %s", got, typ)
	}
	if err := c.Ack(e.Event); err != nil {
		c.Fatal(err)
	}
	return e
}

// refuses takes the next event, which is to have the type, and says that it could not be handled.
func (c *consumer) refuses(typ string, action esdb.NackAction) {
	c.Helper()
	e := c.next()
	if got := e.Event.Event.EventType; got != typ {
		c.Fatalf("came %s, want %s", got, typ)
	}
	if err := c.Nack("cannot", action, e.Event); err != nil {
		c.Fatal(err)
	}
}

// quiet checks that nothing comes.
func (c *consumer) quiet() {
	c.Helper()
	select {
	case e := <-c.came:
		c.Errorf("came %s, want nothing", e.Event.OriginalEvent().EventType)
	case <-time.After(50 * time.Millisecond):
	}
}

func (w *world) info(stream, name string) *esdb.PersistentSubscriptionInfo {
	w.Helper()
	info, err := w.client.GetPersistentSubscriptionInfo(w.Context(), stream, name, esdb.GetPersistentSubscriptionOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return info
}

// until waits for something to become so.
func (w *world) until(what string, is func() bool) {
	w.Helper()
	for late := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			w.Fatalf("never so: %s", what)
		}
	}
}

func (w *world) parked(stream, name string, n int64) {
	w.Helper()
	w.until(fmt.Sprint(n, " parked"), func() bool { return w.info(stream, name).Stats.ParkedMessagesCount == n })
}

func (w *world) fill(stream string, types string) {
	w.Helper()
	for _, typ := range strings.Fields(types) {
		w.append(stream, esdb.Any{}, event(typ, `{}`))
	}
}

func code(err error) esdb.ErrorCode {
	var e *esdb.Error
	if !errors.As(err, &e) {
		return esdb.ErrorCodeUnknown
	}
	return e.Code()
}

func TestGroupHandsOnOldAndNew(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a b")
	w.group("ext-s", "g", nil)
	c := w.consume("ext-s", "g", 10)
	c.wants("a")
	c.wants("b")
	w.fill("ext-s", "c")
	w.fill("ext-t", "x")
	c.wants("c")
	c.quiet()
}

func TestGroupStartsWhereItIsAskedTo(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a b c")
	for name, from := range map[string]esdb.StreamPosition{"at": esdb.Revision(2), "end": esdb.End{}} {
		if err := w.client.CreatePersistentSubscription(t.Context(), "ext-s", name, esdb.PersistentStreamSubscriptionOptions{StartFrom: from}); err != nil {
			t.Fatal(err)
		}
	}
	w.fill("ext-s", "d")
	w.consume("ext-s", "at", 10).wants("c")
	w.consume("ext-s", "end", 10).wants("d")
}

func TestGroupOfAll(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a")
	w.fill("other", "x")
	settings := esdb.SubscriptionSettingsDefault()
	settings.CheckpointLowerBound, settings.CheckpointAfter = 1, 20
	for name, filter := range map[string]*esdb.SubscriptionFilter{"some": {Type: esdb.StreamFilterType, Prefixes: []string{"ext-"}}, "every": nil} {
		if err := w.client.CreatePersistentSubscriptionToAll(t.Context(), name, esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings, Filter: filter}); err != nil {
			t.Fatal(err)
		}
	}
	join := func(name string) *consumer {
		s, err := w.client.SubscribeToPersistentSubscriptionToAll(t.Context(), name, esdb.SubscribeToPersistentSubscriptionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return consuming(t, s)
	}
	some, every := join("some"), join("every")
	w.fill("ext-s", "b")
	some.wants("a")
	some.wants("b")
	every.wants("a")
	every.wants("x")
	every.wants("b")
	w.until("a checkpoint of all", func() bool {
		info, err := w.client.GetPersistentSubscriptionInfoToAll(t.Context(), "every", esdb.GetPersistentSubscriptionOptions{})
		return err == nil && info.Stats.LastCheckpointedPosition != nil
	})
	every.quiet() // what the group writes of itself does not come to it
	head, err := w.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if after, _ := w.store.Head(t.Context()); after != head {
		t.Errorf("the log grew from %v to %v by itself", head, after)
	}
}

func TestGroupStartsAtAPosition(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a")
	at := w.append("ext-s", esdb.Any{}, event("b", `{}`))
	err := w.client.CreatePersistentSubscriptionToAll(t.Context(), "g", esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Position{Commit: at.CommitPosition, Prepare: at.PreparePosition}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.client.SubscribeToPersistentSubscriptionToAll(t.Context(), "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	consuming(t, s).wants("b")
}

func TestGroupParksAndReplays(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a b c")
	w.group("ext-s", "g", nil)
	c := w.consume("ext-s", "g", 10)
	c.refuses("a", esdb.NackActionPark)
	c.wants("b")
	c.refuses("c", esdb.NackActionPark)
	w.parked("ext-s", "g", 2)
	c.quiet()
	w.holds("$persistentsubscription-ext-s::g-parked", "$>", "$>")
	if err := w.client.ReplayParkedMessages(t.Context(), "ext-s", "g", esdb.ReplayParkedMessagesOptions{StopAt: 1}); err != nil {
		t.Fatal(err)
	}
	if e := c.wants("a"); e.Event.Link == nil || e.Event.Event.EventNumber != 0 {
		t.Errorf("replayed: %+v, want the event and its link", e.Event)
	}
	c.quiet()
	w.parked("ext-s", "g", 1)
	if err := w.client.ReplayParkedMessages(t.Context(), "ext-s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	c.refuses("c", esdb.NackActionPark) // and again
	c.quiet()
	w.parked("ext-s", "g", 1)
	w.until("only the last one is there", func() bool {
		return len(w.read("$persistentsubscription-ext-s::g-parked", esdb.ReadStreamOptions{From: esdb.Start{}})) == 1
	})
}

func TestGroupRetriesThenParks(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a b")
	w.group("ext-s", "g", func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 2 })
	c := w.consume("ext-s", "g", 1)
	for i := range 3 {
		e := c.next()
		if e.Event.Event.EventType != "a" || e.RetryCount != i {
			t.Fatalf("came %s, retry %d; want a, retry %d", e.Event.Event.EventType, e.RetryCount, i)
		}
		if err := c.Nack("no", esdb.NackActionRetry, e.Event); err != nil {
			t.Fatal(err)
		}
	}
	c.refuses("b", esdb.NackActionUnknown) // which is a retry
	c.wants("b")
	w.parked("ext-s", "g", 1)
}

func TestGroupSkips(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a b")
	w.group("ext-s", "g", nil)
	c := w.consume("ext-s", "g", 1)
	c.refuses("a", esdb.NackActionSkip)
	c.wants("b")
	c.quiet()
	w.parked("ext-s", "g", 0)
}

func TestGroupStopEndsTheConsumer(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a")
	w.group("ext-s", "g", nil)
	c := w.consume("ext-s", "g", 1)
	c.refuses("a", esdb.NackActionStop)
	select {
	case <-c.gone:
	case <-time.After(patience):
		t.Fatal("the consumer was not ended")
	}
	w.consume("ext-s", "g", 1).wants("a")
}

func TestGroupTimesOut(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a")
	w.group("ext-s", "g", func(s *esdb.PersistentSubscriptionSettings) { s.MessageTimeout, s.MaxRetryCount = 50, 2 })
	c := w.consume("ext-s", "g", 10)
	for i := range 3 {
		if e := c.next(); e.RetryCount != i {
			t.Errorf("retry %d, want %d", e.RetryCount, i)
		}
	}
	w.parked("ext-s", "g", 1)
}

func TestGroupGoesOnAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a b c d")
	w.group("ext-s", "g", nil)
	c := w.consume("ext-s", "g", 10)
	c.wants("a")
	c.refuses("b", esdb.NackActionPark)
	c.wants("c")
	w.until("a checkpoint", func() bool {
		at := w.info("ext-s", "g").Stats.LastCheckpointedEventRevision
		return at != nil && *at == 2
	})
	w.close()
	w = worldOver(t, w.store)
	c = w.consume("ext-s", "g", 10)
	c.wants("d")
	c.quiet()
	w.parked("ext-s", "g", 1)
	if err := w.client.ReplayParkedMessages(t.Context(), "ext-s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	c.wants("b")
	w.parked("ext-s", "g", 0)
}

func TestGroupStopWritesDownHowFarItIs(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a b")
	w.group("ext-s", "g", func(s *esdb.PersistentSubscriptionSettings) { *s = esdb.SubscriptionSettingsDefault() })
	c := w.consume("ext-s", "g", 10)
	c.wants("a")
	c.next()
	w.until("the answer has come in", func() bool { return w.info("ext-s", "g").Stats.TotalInFlightMessages == 1 })
	w.close()
	worldOver(t, w.store).consume("ext-s", "g", 10).wants("b")
}

// TestGroupConsumerLeaves loses nothing of what a consumer had, and repeats nothing that it had done.
func TestGroupConsumerLeaves(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a b c")
	w.group("ext-s", "g", nil)
	c := w.consume("ext-s", "g", 2)
	a := c.next()
	c.wants("b")
	w.until("b is done", func() bool { return w.info("ext-s", "g").Stats.TotalItems == 3 })
	c.Close()
	w.until("it is gone", func() bool { return len(w.info("ext-s", "g").Connections) == 0 })
	c = w.consume("ext-s", "g", 2)
	c.wants(a.Event.Event.EventType)
	c.wants("c")
	c.quiet()
}

func TestGroupRoundRobin(t *testing.T) {
	w := newWorld(t)
	w.group("ext-s", "g", nil)
	one, two := w.consume("ext-s", "g", 10), w.consume("ext-s", "g", 10)
	w.fill("ext-s", "a b c d")
	for range 2 {
		for _, c := range []*consumer{one, two} {
			if err := c.Ack(c.next().Event); err != nil {
				t.Fatal(err)
			}
		}
	}
	one.quiet()
	two.quiet()
}

func TestGroupDispatchesToSingle(t *testing.T) {
	w := newWorld(t)
	w.group("ext-s", "g", func(s *esdb.PersistentSubscriptionSettings) {
		s.ConsumerStrategyName = esdb.ConsumerStrategyDispatchToSingle
	})
	one, two := w.consume("ext-s", "g", 2), w.consume("ext-s", "g", 10)
	w.fill("ext-s", "a b c")
	one.next()
	one.next()
	one.quiet()
	two.wants("c") // the first has its hands full
}

// TestGroupPinned keeps the events of each stream with one consumer, in order, and spreads the streams.
func TestGroupPinned(t *testing.T) {
	w := newWorld(t)
	settings := esdb.SubscriptionSettingsDefault()
	settings.ConsumerStrategyName = esdb.ConsumerStrategyPinned
	if err := w.client.CreatePersistentSubscriptionToAll(t.Context(), "g", esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"ext-"}}}); err != nil {
		t.Fatal(err)
	}
	var consumers []*consumer
	for range 2 {
		s, err := w.client.SubscribeToPersistentSubscriptionToAll(t.Context(), "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 3})
		if err != nil {
			t.Fatal(err)
		}
		consumers = append(consumers, consuming(t, s))
	}
	for i := range 5 {
		for stream := range 20 {
			w.append(fmt.Sprint("ext-", stream), esdb.Any{}, event(fmt.Sprint(i), `{}`))
		}
	}
	with, next, had := map[string]int{}, map[string]uint64{}, [2]int{}
	late := time.After(patience)
	for n := 0; n < 100; n++ {
		var e *esdb.EventAppeared
		at := 0
		select {
		case e = <-consumers[0].came:
		case e = <-consumers[1].came:
			at = 1
		case <-late:
			t.Fatalf("%d events came, want 100", n)
		}
		got := e.Event.Event
		if was, ok := with[got.StreamID]; ok && was != at {
			t.Errorf("%s was with consumer %d and is with %d", got.StreamID, was, at)
		}
		if got.EventNumber != next[got.StreamID] {
			t.Errorf("%s: revision %d, want %d", got.StreamID, got.EventNumber, next[got.StreamID])
		}
		with[got.StreamID], next[got.StreamID] = at, got.EventNumber+1
		had[at]++
		if err := consumers[at].Ack(e.Event); err != nil {
			t.Fatal(err)
		}
	}
	if had[0] < 10 || had[1] < 10 {
		t.Errorf("the consumers had %v events, want some each", had)
	}
}

// TestGroupIsBounded has a consumer that never answers: it gets as many events as it has places for, and the group holds
// no more than it may.
func TestGroupIsBounded(t *testing.T) {
	w := newWorld(t)
	w.group("ext-s", "g", func(s *esdb.PersistentSubscriptionSettings) { s.LiveBufferSize = 20 })
	slow := w.consume("ext-s", "g", 5)
	var events []esdb.EventData
	for range 500 {
		events = append(events, event("e", `{}`))
	}
	w.append("ext-s", esdb.Any{}, events...)
	w.until("the buffer is full", func() bool { return w.info("ext-s", "g").Stats.LiveBufferCount == 20 })
	if s := w.info("ext-s", "g").Stats; s.TotalInFlightMessages != 5 || len(slow.came) > 5 {
		t.Errorf("in flight %d, came %d; want at most 5", s.TotalInFlightMessages, len(slow.came))
	}
	fast := w.consume("ext-s", "g", 50)
	seen := map[uint64]bool{}
	for range 495 {
		e := fast.next()
		seen[e.Event.Event.EventNumber] = true
		if err := fast.Ack(e.Event); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 495 {
		t.Errorf("%d different events came, want 495", len(seen))
	}
}

func TestGroupsAreManaged(t *testing.T) {
	w := newWorld(t)
	w.fill("ext-s", "a")
	w.group("ext-s", "g", func(s *esdb.PersistentSubscriptionSettings) { s.MaxSubscriberCount = 1 })
	none := esdb.SubscribeToPersistentSubscriptionOptions{}
	if err := w.client.CreatePersistentSubscription(t.Context(), "ext-s", "g", esdb.PersistentStreamSubscriptionOptions{}); code(err) != esdb.ErrorCodeResourceAlreadyExists {
		t.Errorf("created twice: %v", err)
	}
	if _, err := w.client.SubscribeToPersistentSubscription(t.Context(), "ext-s", "h", none); code(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("no such group: %v", err)
	}
	c := w.consume("ext-s", "g", 1)
	if _, err := w.client.SubscribeToPersistentSubscription(t.Context(), "ext-s", "g", none); err == nil {
		t.Error("a second consumer came in, want one only")
	}
	settings := esdb.SubscriptionSettingsDefault()
	settings.MaxRetryCount = 3
	if err := w.client.UpdatePersistentSubscription(t.Context(), "ext-s", "g", esdb.PersistentStreamSubscriptionOptions{Settings: &settings}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.gone:
	case <-time.After(patience):
		t.Fatal("the consumer of a group that was changed was not dropped")
	}
	w.group("ext-t", "h", nil)
	all, err := w.client.ListAllPersistentSubscriptions(t.Context(), esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(all) != 2 {
		t.Fatalf("all groups: %v, %v; want 2", all, err)
	}
	of, err := w.client.ListPersistentSubscriptionsForStream(t.Context(), "ext-s", esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(of) != 1 || of[0].GroupName != "g" || of[0].Settings.MaxRetryCount != 3 || of[0].Settings.MessageTimeout != 30_000 {
		t.Errorf("groups of ext-s: %+v, %v", of, err)
	}
	c = w.consume("ext-s", "g", 1)
	if err := w.client.RestartPersistentSubscriptionSubsystem(t.Context(), esdb.RestartPersistentSubscriptionSubsystemOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.gone:
	case <-time.After(patience):
		t.Fatal("the consumer was not dropped by the restart")
	}
	if err := w.client.DeletePersistentSubscription(t.Context(), "ext-s", "g", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.GetPersistentSubscriptionInfo(t.Context(), "ext-s", "g", esdb.GetPersistentSubscriptionOptions{}); code(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("deleted: %v", err)
	}
	w.group("ext-s", "g", nil)
	w.consume("ext-s", "g", 1).wants("a") // it is another one
}

func TestGroupsNeedTheRight(t *testing.T) {
	w := worldFor(t, guest{})
	err := w.client.CreatePersistentSubscription(t.Context(), "ext-s", "g", esdb.PersistentStreamSubscriptionOptions{})
	if code(err) != esdb.ErrorCodeAccessDenied {
		t.Errorf("create: %v", err)
	}
	_, err = w.client.SubscribeToPersistentSubscription(t.Context(), "ext-s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if code(err) != esdb.ErrorCodeAccessDenied {
		t.Errorf("consume: %v", err)
	}
}

func TestGroupSaysWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	settings := esdb.SubscriptionSettingsDefault()
	settings.MaxRetryCount = -1
	err := w.client.CreatePersistentSubscription(t.Context(), "ext-s", "g", esdb.PersistentStreamSubscriptionOptions{Settings: &settings})
	if err == nil || !strings.Contains(err.Error(), "negative") {
		t.Errorf("negative settings: %v", err)
	}
	err = w.client.CreatePersistentSubscriptionToAll(t.Context(), "g", esdb.PersistentAllSubscriptionOptions{
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: "(?=a)"}})
	if err == nil || !strings.Contains(err.Error(), "RE2") {
		t.Errorf("a filter that RE2 lacks: %v", err)
	}
}
