package esdb_test

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/door"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/eventstore/esdb"
	"strandline/transport/eventstore/external"
	"strandline/transport/eventstore/memory"
	"strandline/transport/eventstore/storetest"
	"strandline/transport/files"
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

// server is a door over a store that can be stopped and started again at the same address.
type server struct {
	store   commands.EventStore
	clock   func() time.Time
	gate    door.Gate
	tls     credentials.TransportCredentials
	address string

	maxAppend int // 0: the default

	mu   sync.Mutex
	stop func()
}

func serve(t *testing.T, store commands.EventStore, clock func() time.Time) *server {
	t.Helper()
	return serveWith(t, store, clock, open{})
}

func serveWith(t *testing.T, store commands.EventStore, clock func() time.Time, gate door.Gate) *server {
	t.Helper()
	return (&server{store: store, clock: clock, gate: gate}).run(t)
}

// run starts a server until the end of the test.
func (s *server) run(t *testing.T) *server {
	t.Helper()
	s.address = "127.0.0.1:0"
	s.start(t)
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = door.New(s.store, s.gate, s.options()...).Serve(ctx, l, s.tls) // how it ends is what the tests see
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = func() { cancel(); <-done }
}

func (s *server) options() []door.Option {
	options := []door.Option{door.WithClock(s.clock)}
	if s.maxAppend > 0 {
		options = append(options, door.WithMaxAppend(s.maxAppend))
	}
	return options
}

func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

func connect(t *testing.T, connection string) *esdb.Store {
	t.Helper()
	store, err := esdb.Open(connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// long tells whether tests are to take their time.
func long() bool { return os.Getenv("STRANDLINE_DRILL") == "long" }

// TestConformance runs the rules of the port over gRPC: with positions that have gaps, with the embedded store, and, in
// the long form, with the store in memory; and against a real EventStoreDB where STRANDLINE_ESDB_URL names one, which must
// be empty.
func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		if !long() {
			t.Skip("the other stores have all that this one has: STRANDLINE_DRILL=long runs it")
		}
		t.Parallel()
		storetest.Run(t, func(t *testing.T, clock func() time.Time) storetest.Instance {
			s := serve(t, memory.New(memory.WithClock(clock)), clock)
			return storetest.Instance{EventStore: connect(t, "esdb://"+s.address+"?tls=false"), MaxAppend: 1 << 20, Guesses: true, Remote: !long(), NoZeros: true, Dense: true, Remembers: true}
		})
	})
	t.Run("gapped", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T, clock func() time.Time) storetest.Instance {
			s := serve(t, memory.New(memory.WithClock(clock), memory.WithGaps(1)), clock)
			return storetest.Instance{EventStore: connect(t, "esdb://"+s.address+"?tls=false"), MaxAppend: 1 << 20, Guesses: true, Remote: !long(), NoZeros: true, Remembers: true}
		})
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T, clock func() time.Time) storetest.Instance {
			disk, err := files.NewDisk(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			store, err := embedded.Open(disk, embedded.Options{Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { store.Close() })
			s := serve(t, store, clock)
			return storetest.Instance{EventStore: connect(t, "esdb://"+s.address+"?tls=false"), MaxAppend: 1 << 20, Guesses: true, Remote: !long(), NoZeros: true, Dense: true, Remembers: true}
		})
	})
	if url := os.Getenv("STRANDLINE_ESDB_URL"); url != "" {
		t.Run("server", func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, _ func() time.Time) storetest.Instance {
				return storetest.Instance{EventStore: connect(t, url), MaxAppend: 1 << 20, Guesses: true, Remote: !long(), NoZeros: true}
			})
		})
	}
}
