package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"strandline/domain"
)

// Back-off between attempts to reach a server that is away.
const (
	firstPause  = 50 * time.Millisecond
	longestWait = 2 * time.Second
	patience    = 5 * time.Second // of a caller whose own time does not end earlier
	attempts    = 2               // that the client makes by itself before it gives up
)

// supervisor owns the client: one at a time, replaced whole once it has failed.
type supervisor struct {
	settings *esdb.Configuration
	closing  context.Context
	close    context.CancelFunc

	mu      sync.Mutex
	current *esdb.Client
	making  chan struct{} // closed when the attempt under way has ended; nil if there is none
	pause   time.Duration
	reason  error // why the last attempt failed
}

func newSupervisor(settings *esdb.Configuration) *supervisor {
	s := &supervisor{settings: settings, pause: firstPause}
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

// stop throws the client away and lets no other be made.
func (s *supervisor) stop() {
	s.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		discard(s.current)
		s.current = nil
	}
}

// client returns a client that has answered once. It waits until there is one, for a while or until ctx ends.
func (s *supervisor) client(ctx context.Context) (*esdb.Client, error) {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for {
		s.mu.Lock()
		if s.current != nil {
			defer s.mu.Unlock()
			return s.current, nil
		}
		if s.making == nil {
			s.making = make(chan struct{})
			go s.make(s.making)
		}
		making := s.making
		s.mu.Unlock()
		select {
		case <-making:
		case <-s.closing.Done():
			return nil, fmt.Errorf("%w: the event store has been closed", domain.ErrUnavailable)
		case <-enough.C:
			return nil, s.away(domain.ErrUnavailable)
		case <-ctx.Done():
			return nil, s.away(ctx.Err())
		}
	}
}

// away is the error of a caller whose time ended while there was no server.
func (s *supervisor) away(end error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		return end
	}
	return fmt.Errorf("%w: EventStoreDB cannot be reached: %w", end, s.reason)
}

// make makes a client and tries it with one call, so that nobody else is caught in one that never connects. After a
// failure it pauses, jittered, before anybody may try again.
func (s *supervisor) make(done chan struct{}) {
	client, err := s.tried()
	if err != nil {
		s.rest()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(done)
	s.making, s.reason = nil, err
	switch {
	case err != nil:
	case s.closing.Err() != nil:
		discard(client)
	default:
		s.current, s.pause = client, firstPause
	}
}

func (s *supervisor) rest() {
	s.mu.Lock()
	pause := s.pause/2 + rand.N(s.pause)
	s.pause = min(2*s.pause, longestWait)
	s.mu.Unlock()
	select {
	case <-time.After(pause):
	case <-s.closing.Done():
	}
}

func (s *supervisor) tried() (client *esdb.Client, err error) {
	settings := *s.settings
	if client, err = esdb.NewClient(&settings); err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(s.closing, 10*time.Second)
	defer stop()
	if _, err = raced(ctx, func() (*esdb.ServerVersion, error) { return client.GetServerVersion() }); err != nil {
		discard(client)
		return nil, err
	}
	return client, nil
}

// failed throws a client away, unless that has been done.
func (s *supervisor) failed(client *esdb.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == client {
		s.current = nil
		discard(client)
	}
}

// dropped throws the client of the moment away, because a read that may have been made with it has broken off.
func (s *supervisor) dropped(error) {
	s.mu.Lock()
	client := s.current
	s.mu.Unlock()
	if client != nil {
		s.failed(client)
	}
}

// discard closes a client. Whoever is caught in it gets an error: closing makes the sends on which they hang panic, and
// every call of a client recovers.
func discard(client *esdb.Client) {
	go func() {
		defer func() { _ = recover() }()
		_ = client.Close() // there is nothing left to do with it
	}()
}

// raced runs a call of the client, and returns when it does or when ctx ends, whatever comes first. A panic of the client
// is an error.
func raced[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if v := recover(); v != nil {
				o.err = fmt.Errorf("the client of EventStoreDB panicked: %v: %w", v, errBroken)
			}
			done <- o
		}()
		o.value, o.err = call()
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// errBroken says that a client is not to be used any more.
var errBroken = errors.New("the connection is broken")

// do runs a call with the client of the moment, and throws that away if the call shows it to be broken.
func do[T any](ctx context.Context, s *supervisor, call func(context.Context, *esdb.Client) (T, error)) (T, error) {
	var none T
	client, err := s.client(ctx)
	if err != nil {
		return none, err
	}
	leader := grpcmetadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
	value, err := raced(ctx, func() (T, error) { return call(leader, client) })
	if err != nil && ctx.Err() != nil {
		return none, ctx.Err()
	}
	if broken(err) {
		s.failed(client)
	}
	return value, err
}

// broken tells whether an error is that of a connection, which another may not have.
func broken(err error) bool {
	if err == nil || errors.Is(err, io.EOF) {
		return false
	}
	if errors.Is(err, errBroken) {
		return true
	}
	var e *esdb.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case esdb.ErrorUnavailable, esdb.ErrorCodeConnectionClosed, esdb.ErrorCodeNotLeader, esdb.ErrorAborted, esdb.ErrorCodeDeadlineExceeded:
			return true
		}
		err = e.Err()
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.Aborted, codes.DeadlineExceeded:
		return true
	}
	return false
}
