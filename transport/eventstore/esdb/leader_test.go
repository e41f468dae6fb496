package esdb_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/memory"
)

// deposed is a node of a cluster that is not its leader, and knows who is.
type deposed struct {
	streams.UnimplementedStreamsServer
	host, port string
	asked      atomic.Int64
}

func (d *deposed) refuse(ctx context.Context) error {
	d.asked.Add(1)
	if v := metadata.ValueFromIncomingContext(ctx, "requires-leader"); len(v) == 0 || v[0] != "true" {
		return status.Error(codes.Unavailable, "nobody asked for the leader")
	}
	_ = grpc.SetTrailer(ctx, metadata.Pairs("exception", "not-leader", "leader-endpoint-host", d.host, "leader-endpoint-port", d.port))
	return status.Error(codes.NotFound, "leader info available")
}

func (d *deposed) Read(_ *streams.ReadReq, call streams.Streams_ReadServer) error {
	return d.refuse(call.Context())
}

func (d *deposed) Append(call streams.Streams_AppendServer) error {
	return d.refuse(call.Context())
}

// depose starts a node that names another one as the leader.
func depose(t *testing.T, leader string) (*deposed, string) {
	t.Helper()
	host, port, err := net.SplitHostPort(leader)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	node, server := &deposed{host: host, port: port}, grpc.NewServer()
	streams.RegisterStreamsServer(server, node)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return node, l.Addr().String()
}

// TestLeaderChange connects to a node that is not the leader any more: every call goes on at the one that is, whatever it
// expects, and nobody is told.
func TestLeaderChange(t *testing.T) {
	calls := map[string]func(context.Context, commands.EventStore) error{
		"append": func(ctx context.Context, s commands.EventStore) error {
			_, err := s.Append(ctx, "thing-2", domain.Any, []domain.Record{record(2)})
			return err
		},
		"append to a revision": func(ctx context.Context, s commands.EventStore) error {
			_, err := s.Append(ctx, "thing-1", domain.Exactly(0), []domain.Record{record(2), record(3)})
			return err
		},
		"read": func(ctx context.Context, s commands.EventStore) error {
			for _, err := range s.ReadStream(ctx, "thing-1", 0, 0, commands.Forwards) {
				return err
			}
			return domain.ErrNoStream
		},
		"find": func(ctx context.Context, s commands.EventStore) error {
			_, err := s.Find(ctx, "thing-1", record(1).ID)
			return err
		},
		"head": func(ctx context.Context, s commands.EventStore) error { _, err := s.Head(ctx); return err },
		"follow": func(ctx context.Context, s commands.EventStore) error {
			for _, err := range s.Follow(ctx, domain.Position{}) {
				return err
			}
			return domain.ErrNotFound
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leader := serve(t, memory.New(), time.Now)
			if _, err := connect(t, "esdb://"+leader.address+"?tls=false").Append(t.Context(), "thing-1", domain.NoStream, []domain.Record{record(1)}); err != nil {
				t.Fatal(err)
			}
			node, address := depose(t, leader.address)
			store := connect(t, "esdb://"+address+"?tls=false")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for range 3 {
				if err := call(ctx, store); err != nil && name != "append to a revision" {
					t.Errorf("%v", err)
				}
			}
			if n := node.asked.Load(); n == 0 || n > 3 {
				t.Errorf("the node that is not the leader was asked %d times; want once", n)
			}
		})
	}
}
