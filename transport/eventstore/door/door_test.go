package door_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/door"
	"strandline/transport/eventstore/external"
	"strandline/transport/eventstore/memory"
)

// open is a gate that lets everybody do everything.
type open struct{}

func (open) Enter(context.Context, string, string) (door.Caller, error)     { return open{}, nil }
func (open) MayAppend(string) error                                         { return nil }
func (open) MayManage() error                                               { return nil }
func (open) Stamp(*domain.Envelope)                                         {}
func (open) Opened(context.Context, string, string) error                   { return nil }
func (open) Left(_ context.Context, _, _ string, _ int, failed error) error { return nil }
func (open) Show(_ context.Context, r domain.Record) (door.Shown, bool) {
	s, err := external.Unpack(r)
	return s, err == nil
}

// guest is a gate that lets everybody in, to look only.
type guest struct{ open }

func (guest) Enter(context.Context, string, string) (door.Caller, error) { return guest{}, nil }
func (guest) MayManage() error                                           { return domain.ErrForbidden }

// world is a door over a store, and the official client of it.
type world struct {
	*testing.T
	store   commands.EventStore
	client  *esdb.Client
	address string
	close   func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOver(t, memory.New())
}

// worldOver opens a door over a store that may have been used before.
func worldOver(t *testing.T, store commands.EventStore) *world {
	t.Helper()
	return build(t, store, open{})
}

// worldFor opens a door with a gate.
func worldFor(t *testing.T, gate door.Gate) *world {
	t.Helper()
	return build(t, memory.New(), gate)
}

func build(t *testing.T, store commands.EventStore, gate door.Gate, options ...door.Option) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- door.New(store, gate, options...).Serve(ctx, l, nil) }()
	client := connect(t, "esdb://"+l.Addr().String()+"?tls=false")
	w := &world{T: t, store: store, client: client, address: l.Addr().String()}
	w.close = sync.OnceFunc(func() {
		client.Close()
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(w.close)
	return w
}

// connect makes an official client.
func connect(t *testing.T, connection string) *esdb.Client {
	t.Helper()
	settings, err := esdb.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	settings.Logger = esdb.NoopLogging()
	deadline := 2 * patience // on a loaded machine
	settings.DefaultDeadline = &deadline
	client, err := esdb.NewClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func event(typ, data string) esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: typ, ContentType: esdb.ContentTypeJson, Data: []byte(data), Metadata: []byte(`{"m":1}`)}
}

func (w *world) append(stream string, expected esdb.ExpectedRevision, events ...esdb.EventData) *esdb.WriteResult {
	w.Helper()
	done, err := w.client.AppendToStream(w.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events...)
	if err != nil {
		w.Fatalf("append to %s: %v", stream, err)
	}
	return done
}

func (w *world) refused(code esdb.ErrorCode, stream string, expected esdb.ExpectedRevision, events ...esdb.EventData) {
	w.Helper()
	_, err := w.client.AppendToStream(w.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events...)
	if e, ok := esdb.FromError(err); ok || e.Code() != code {
		w.Errorf("append to %s: %v, want code %d", stream, err, code)
	}
}

// read is what a stream holds, as types in order.
func (w *world) read(stream string, options esdb.ReadStreamOptions) (types []string) {
	w.Helper()
	events, err := w.client.ReadStream(w.Context(), stream, options, 1000)
	if err != nil {
		w.Fatalf("read %s: %v", stream, err)
	}
	defer events.Close()
	for {
		e, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return types
		}
		if e, ok := esdb.FromError(err); !ok {
			return append(types, fmt.Sprint("error ", e.Code()))
		}
		types = append(types, e.OriginalEvent().EventType)
	}
}

func (w *world) holds(stream string, want ...string) {
	w.Helper()
	if got := w.read(stream, esdb.ReadStreamOptions{From: esdb.Start{}}); !slices.Equal(got, want) {
		w.Errorf("%s holds %v, want %v", stream, got, want)
	}
}

var missing = fmt.Sprint("error ", esdb.ErrorCodeResourceNotFound)

func TestAppendAndRead(t *testing.T) {
	w := newWorld(t)
	first := event("a", `{"n":1}`)
	w.append("ext-s", esdb.NoStream{}, first, event("b", `{}`))
	w.append("ext-s", esdb.Revision(1), event("c", `{}`))
	w.refused(esdb.ErrorCodeWrongExpectedVersion, "ext-s", esdb.NoStream{}, event("d", `{}`))
	w.refused(esdb.ErrorCodeWrongExpectedVersion, "ext-t", esdb.StreamExists{}, event("d", `{}`))
	w.holds("ext-s", "a", "b", "c")
	w.holds("ext-t", missing)
	if got := w.read("ext-s", esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}); !slices.Equal(got, []string{"c", "b", "a"}) {
		t.Errorf("backwards: %v", got)
	}
	events, err := w.client.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	e, err := events.Recv()
	if err != nil {
		t.Fatal(err)
	}
	got := e.OriginalEvent()
	if got.EventID != first.EventID || string(got.Data) != `{"n":1}` || string(got.UserMetadata) != `{"m":1}` || got.ContentType != "application/json" ||
		got.StreamID != "ext-s" || got.EventNumber != 0 || time.Since(got.CreatedDate) > time.Minute {
		t.Errorf("%+v, want what was sent", got)
	}
}

func TestDeleteAndTombstone(t *testing.T) {
	w := newWorld(t)
	w.append("ext-s", esdb.Any{}, event("a", `{}`), event("b", `{}`))
	if _, err := w.client.DeleteStream(t.Context(), "ext-s", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(1)}); err != nil {
		t.Fatal(err)
	}
	w.holds("ext-s", missing)
	w.refused(esdb.ErrorCodeStreamDeleted, "ext-s", esdb.StreamExists{}, event("d", `{}`))
	if done := w.append("ext-s", esdb.NoStream{}, event("c", `{}`)); done.NextExpectedVersion != 2 {
		t.Errorf("after the deletion: revision %d, want 2", done.NextExpectedVersion)
	}
	w.holds("ext-s", "c")
	if _, err := w.client.TombstoneStream(t.Context(), "ext-s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	w.holds("ext-s", fmt.Sprint("error ", esdb.ErrorCodeStreamDeleted))
	w.refused(esdb.ErrorCodeStreamDeleted, "ext-s", esdb.Any{}, event("d", `{}`))
}

func TestMetadata(t *testing.T) {
	w := newWorld(t)
	for _, typ := range []string{"a", "b", "c"} {
		w.append("ext-s", esdb.Any{}, event(typ, `{}`))
	}
	about := esdb.StreamMetadata{}
	about.SetMaxCount(2)
	about.AddCustomProperty("ours", "kept")
	if _, err := w.client.SetStreamMetadata(t.Context(), "ext-s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, about); err != nil {
		t.Fatal(err)
	}
	w.holds("ext-s", "b", "c")
	got, err := w.client.GetStreamMetadata(t.Context(), "ext-s", esdb.ReadStreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := got.MaxCount(); n == nil || *n != 2 {
		t.Errorf("$maxCount is %v, want 2", n)
	}
	about.SetTruncateBefore(2)
	if _, err := w.client.SetStreamMetadata(t.Context(), "ext-s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, about); err != nil {
		t.Fatal(err)
	}
	w.holds("ext-s", "c")
}

// types receives n events of a subscription.
func types(t *testing.T, s *esdb.Subscription, n int) (got []string) {
	t.Helper()
	for len(got) < n {
		e := s.Recv()
		switch {
		case e.SubscriptionDropped != nil:
			t.Fatalf("dropped after %v: %v", got, e.SubscriptionDropped.Error)
		case e.EventAppeared != nil:
			got = append(got, e.EventAppeared.OriginalEvent().EventType)
		}
	}
	return got
}

func TestSubscriptions(t *testing.T) {
	w := newWorld(t)
	w.append("ext-s", esdb.Any{}, event("a", `{}`), event("b", `{}`))
	w.append("other", esdb.Any{}, event("x", `{}`))
	one, err := w.client.SubscribeToStream(t.Context(), "ext-s", esdb.SubscribeToStreamOptions{From: esdb.Revision(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	all, err := w.client.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{},
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"ext-"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if got := types(t, one, 1); !slices.Equal(got, []string{"b"}) {
		t.Errorf("the stream after revision 0: %v", got)
	}
	if got := types(t, all, 2); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("all: %v", got)
	}
	w.append("ext-s", esdb.Any{}, event("c", `{}`))
	if got := types(t, one, 1); !slices.Equal(got, []string{"c"}) {
		t.Errorf("the stream, live: %v", got)
	}
	if got := types(t, all, 1); !slices.Equal(got, []string{"c"}) {
		t.Errorf("all, live: %v", got)
	}
}
