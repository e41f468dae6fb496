package door

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"strandline/commands"
)

// Server is the door: a gRPC server over an event store.
type Server struct {
	streams.UnimplementedStreamsServer

	store     commands.EventStore
	gate      Gate
	clock     func() time.Time
	log       *slog.Logger
	maxAppend int
	busy      locks
	followers chan struct{}
	virtuals  virtuals
	address   string
}

// Option changes a default of a Server.
type Option func(*Server)

// WithClock sets the clock by which the ages of events are judged. The default is time.Now.
func WithClock(now func() time.Time) Option { return func(s *Server) { s.clock = now } }

// WithLogger sets where failures of the server are logged. The default is nowhere.
func WithLogger(l *slog.Logger) Option { return func(s *Server) { s.log = l } }

// WithMaxAppend sets the greatest size of one append, bytes of data and metadata. The default is 1 MiB.
func WithMaxAppend(bytes int) Option { return func(s *Server) { s.maxAppend = bytes } }

// WithAddress sets the address, as host:port, at which clients that ask for the cluster's members are told to find the
// only one. The default is where Serve listens.
func WithAddress(hostPort string) Option { return func(s *Server) { s.address = hostPort } }

// New returns a Server over a store.
func New(store commands.EventStore, gate Gate, options ...Option) *Server {
	s := &Server{
		store: store, gate: gate, clock: time.Now, log: slog.New(slog.DiscardHandler), maxAppend: 1 << 20,
		followers: make(chan struct{}, mostFollowers),
	}
	for _, o := range options {
		o(s)
	}
	return s
}

// Serve answers calls until ctx ends; then it lets calls under way finish for a moment, and cuts them off. Without
// transport security pass nil: clients then send no credentials.
func (s *Server) Serve(ctx context.Context, l net.Listener, security credentials.TransportCredentials) error {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(largestMessage),
		grpc.MaxHeaderListSize(largestHeaders),
		grpc.MaxConcurrentStreams(mostCalls),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: frozen, MaxConnectionIdle: unused}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.unaryAlone),
		grpc.StreamInterceptor(s.streamAlone),
	}
	if security != nil {
		options = append(options, grpc.Creds(security))
	}
	if s.address == "" {
		s.address = l.Addr().String()
	}
	server := grpc.NewServer(options...)
	streams.RegisterStreamsServer(server, s)
	shared := &groups{server: s}
	defer shared.close()
	persistent.RegisterPersistentSubscriptionsServer(server, shared)
	serverfeatures.RegisterServerFeaturesServer(server, features{})
	gossip.RegisterGossipServer(server, members{server: s})
	stopped := context.AfterFunc(ctx, func() { stop(server) })
	defer stopped()
	return server.Serve(bounded{l, make(chan struct{}, mostConnections)})
}

// stop lets calls that are under way finish within a second: subscriptions never would.
func stop(server *grpc.Server) {
	late := time.AfterFunc(time.Second, server.Stop)
	defer late.Stop()
	server.GracefulStop()
}

// enter finds out who makes a call.
func (s *Server) enter(ctx context.Context) (Caller, error) {
	address, authorization := "", ""
	if p, ok := peer.FromContext(ctx); ok {
		if host, _, err := net.SplitHostPort(p.Addr.String()); err == nil {
			address = host
		}
	}
	if sent := metadata.ValueFromIncomingContext(ctx, "authorization"); len(sent) > 0 {
		authorization = sent[0]
	}
	caller, err := s.gate.Enter(ctx, address, authorization)
	if err != nil {
		return nil, unauthenticated(err)
	}
	return caller, nil
}
