package esdb_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	es "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/esdb"
	"strandline/transport/eventstore/memory"
)

// operator is somebody who works on the same server with a tool of EventStoreDB's.
func operator(t *testing.T, address string) *es.Client {
	t.Helper()
	settings, err := es.ParseConnectionString("esdb://" + address + "?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	settings.Logger = es.NoopLogging()
	client, err := es.NewClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// records reads a stream and all there is.
func records(t *testing.T, store *esdb.Store, stream string) (revisions []uint64, all int) {
	t.Helper()
	for r, err := range store.ReadStream(t.Context(), stream, 0, 0, commands.Forwards) {
		if errors.Is(err, domain.ErrNoStream) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, r.Revision)
	}
	for _, err := range store.ReadAll(t.Context(), domain.Position{}, 0, commands.Forwards) {
		if err != nil {
			t.Fatal(err)
		}
		all++
	}
	return revisions, all
}

// TestStreamsOfOperators: a stream that others shorten, delete or end is what they made of it, while all that there is
// stays visible to those who read everything; the server's own events, however many, are not seen.
func TestStreamsOfOperators(t *testing.T) {
	server := serve(t, memory.New(), time.Now)
	store, tool := connect(t, "esdb://"+server.address+"?tls=false"), operator(t, server.address)
	expected := domain.NoStream
	grow := func(stream string, n byte) commands.Appended {
		t.Helper()
		done, err := store.Append(t.Context(), stream, expected, []domain.Record{record(n)})
		if err != nil {
			t.Fatal(err)
		}
		expected = domain.Exactly(done.Revision)
		return done
	}
	for n := range byte(5) {
		grow("thing-1", n)
	}
	meta := es.StreamMetadata{}
	meta.SetMaxCount(2)
	if _, err := tool.SetStreamMetadata(t.Context(), "thing-1", es.AppendToStreamOptions{}, meta); err != nil {
		t.Fatal(err)
	}
	if revisions, all := records(t, store, "thing-1"); len(revisions) != 2 || revisions[0] != 3 || all != 5 {
		t.Errorf("with $maxCount 2: %v, %d in all", revisions, all)
	}
	if _, err := tool.DeleteStream(t.Context(), "thing-1", es.DeleteStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if revisions, all := records(t, store, "thing-1"); len(revisions) != 0 || all != 5 {
		t.Errorf("deleted: %v, %d in all", revisions, all)
	}
	expected = domain.NoStream
	if done := grow("thing-1", 5); done.Revision != 5 {
		t.Errorf("the number after a deletion is %d", done.Revision)
	}
	if _, err := tool.TombstoneStream(t.Context(), "thing-1", es.TombstoneStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range []domain.Expected{domain.Any, domain.NoStream, domain.StreamExists, domain.Exactly(5)} {
		if _, err := store.Append(t.Context(), "thing-1", e, []domain.Record{record(9)}); !errors.Is(err, domain.ErrRejected) {
			t.Errorf("append to a tombstoned stream, expected %s: %v", e, err)
		}
	}
	if revisions, _ := records(t, store, "thing-1"); len(revisions) != 0 {
		t.Errorf("tombstoned: %v", revisions)
	}
	expected = domain.NoStream
	last := grow("thing-2", 10)
	for range 30 {
		if _, err := tool.SetStreamMetadata(t.Context(), "thing-2", es.AppendToStreamOptions{}, meta); err != nil {
			t.Fatal(err)
		}
	}
	if head, err := store.Head(t.Context()); err != nil || head != last.Position {
		t.Errorf("head before 30 events of the server's own: %s, %v; want %s", head, err, last.Position)
	}
	next := grow("thing-2", 11)
	for _, tt := range []struct {
		from      domain.Position
		direction commands.Direction
		first     domain.Position
	}{{last.Position, commands.Forwards, last.Position}, {domain.Position{}, commands.Backwards, next.Position}} {
		var seen []domain.Record
		for r, err := range store.ReadAll(t.Context(), tt.from, 2, tt.direction) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, r)
		}
		if len(seen) != 2 || seen[0].Position != tt.first || seen[1].Stream != "thing-2" {
			t.Errorf("two with 30 of the server's between them, from %s: %+v", tt.from, seen)
		}
	}
}

// moody is a server that is not itself at first.
type moody struct {
	streams.UnimplementedStreamsServer
	appends, reads atomic.Int64
}

// Append gives up at first, as a server does that waits for others too long.
func (m *moody) Append(call streams.Streams_AppendServer) error {
	for {
		if _, err := call.Recv(); err != nil {
			break
		}
	}
	if m.appends.Add(1) < 3 {
		_ = grpc.SetTrailer(call.Context(), metadata.Pairs("exception", "commit-timeout"))
		return status.Error(codes.Aborted, "operation timed out")
	}
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: 1},
		PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: 7, PreparePosition: 7}},
	}}})
}

// Read says at first what the client does not know.
func (m *moody) Read(_ *streams.ReadReq, call streams.Streams_ReadServer) error {
	if m.reads.Add(1) < 3 {
		return call.Send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: 3}})
	}
	return nil
}

// TestMoodyServer: an append that a server gave up is sent again if that cannot do it twice, and not else; a message that
// the client panics at ends a call and nothing more (defect 7).
func TestMoodyServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, server := &moody{}, grpc.NewServer()
	streams.RegisterStreamsServer(server, m)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	store := connect(t, "esdb://"+l.Addr().String()+"?tls=false")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := store.Append(ctx, "thing-1", domain.Any, []domain.Record{record(1)}); !errors.Is(err, domain.ErrUnavailable) || m.appends.Load() != 1 {
		t.Errorf("an append that may have been done, after %d attempts: %v", m.appends.Load(), err)
	}
	if done, err := store.Append(ctx, "thing-1", domain.Exactly(0), []domain.Record{record(1)}); err != nil || done.Revision != 1 || m.appends.Load() != 3 {
		t.Errorf("an append that the server gave up, after %d attempts: %+v, %v", m.appends.Load(), done, err)
	}
	for _, err := range store.ReadStream(ctx, "thing-1", 0, 0, commands.Forwards) {
		t.Errorf("reading what the client does not know: %v", err)
	}
	if m.reads.Load() != 3 {
		t.Errorf("%d reads; want two that panic and one that does not", m.reads.Load())
	}
}
