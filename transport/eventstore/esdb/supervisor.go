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

// Back-off between attempts to reach a server that is away, and how long to wait for it.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 500 * time.Millisecond
	patience     = 5 * time.Second // of all callers together, whose own time does not end earlier
	oneMoreTry   = time.Second     // in which there is an attempt, unless the network swallows it
)

// supervisor owns the client: one at a time, replaced whole once it has failed.
type supervisor struct {
	settings *esdb.Configuration
	closing  context.Context
	close    context.CancelFunc

	mu      sync.Mutex
	current *link
	there   chan struct{} // closed when there is a client again; nil while there is one, and before the first has been asked for
	since   time.Time     // when there was none, while there is none
	leader  string        // where the next attempt looks first; empty if nobody has said
	pause   time.Duration
	reason  error // why the last attempt failed
}

func newSupervisor(settings *esdb.Configuration) *supervisor {
	s := &supervisor{settings: settings, pause: firstPause}
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

// stop ends the calls under way and lets no others be made.
func (s *supervisor) stop() {
	s.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		s.current.retire()
		s.current = nil
	}
}

// errClosed is the error of whoever asks a store that has been closed.
var errClosed = fmt.Errorf("%w: the event store has been closed", domain.ErrUnavailable)

// enter returns a client that has answered once, for one call; the caller leaves it after that. It waits until there is
// one, or ctx ends, or there has been none for a while: so a caller who comes late, or after others, does not wait at all.
func (s *supervisor) enter(ctx context.Context) (*link, error) {
	l, there, left := s.look()
	if l != nil {
		return l, nil
	}
	enough := time.NewTimer(left)
	defer enough.Stop()
	for {
		select {
		case <-there:
		case <-s.closing.Done():
			return nil, errClosed
		case <-enough.C:
			return nil, s.away()
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ctx.Err(), s.away())
		}
		if l, there, _ = s.look(); l != nil {
			return l, nil
		}
	}
}

// look returns a client that has been entered. If there is none, it has one looked for, and says when there is one, and for
// how long it makes sense to wait for that.
func (s *supervisor) look() (l *link, there <-chan struct{}, left time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		s.current.enter()
		return s.current, nil, 0
	}
	s.restore(time.Now())
	return nil, s.there, patience - time.Since(s.since)
}

// missing is closed when there is a client again; nil while there is one.
func (s *supervisor) missing() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.there
}

// await waits for a client for no longer than one more attempt takes, if there is none.
func (s *supervisor) await() {
	there := s.missing()
	if there == nil {
		return
	}
	enough := time.NewTimer(oneMoreTry)
	defer enough.Stop()
	select {
	case <-there:
	case <-enough.C:
	case <-s.closing.Done():
	}
}

// restore begins to look for a client, unless somebody does. There has been none since then. It is called with mu.
func (s *supervisor) restore(since time.Time) {
	if s.there != nil {
		return
	}
	s.there, s.since = make(chan struct{}), since
	go s.make()
}

// errAway is the error of whoever has asked a server that is away.
var errAway = fmt.Errorf("%w: EventStoreDB cannot be reached", domain.ErrUnavailable)

// away says why there is no server.
func (s *supervisor) away() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		return errAway
	}
	return fmt.Errorf("%w: %w", errAway, s.reason)
}

// make makes clients until one answers, or the store is closed. Each is tried with one call, so that nobody else is caught
// in one that never connects. After a failure it pauses, jittered.
func (s *supervisor) make() {
	for s.closing.Err() == nil {
		made, err := s.tried()
		if s.came(made, err) {
			return
		}
		s.rest()
	}
}

// came takes a client that has answered into use, or notes why there is none.
func (s *supervisor) came(made *link, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = err
	switch {
	case err != nil:
		return false
	case s.closing.Err() != nil:
		made.retire()
		return false
	}
	s.current, s.pause = made, firstPause
	close(s.there)
	s.there = nil
	return true
}

func (s *supervisor) rest() {
	s.mu.Lock()
	pause := s.pause/2 + rand.N(s.pause)
	s.pause = min(2*s.pause, longestPause)
	s.mu.Unlock()
	select {
	case <-time.After(pause):
	case <-s.closing.Done():
	}
}

// tried is a client that has answered.
func (s *supervisor) tried() (*link, error) {
	l, err := newLink(s.closing, s.where(), s.redirected)
	if err != nil {
		l.lose()
		return nil, err
	}
	l.gone = func(since time.Time) { s.failed(l, since) }
	ctx, stop := context.WithTimeout(s.closing, 10*time.Second)
	defer stop()
	_, err = raced(ctx, l, func() (*esdb.ServerVersion, error) { return l.client.GetServerVersion() })
	if err != nil {
		l.retire()
		return nil, err
	}
	l.expect() // what has been tried is over
	return l, nil
}

// where is what the next client is to connect to: the leader, if a server has just named it; else what has been configured.
func (s *supervisor) where() esdb.Configuration {
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := *s.settings
	if s.leader != "" {
		settings.Address, settings.GossipSeeds, settings.DnsDiscover = s.leader, nil, false
		s.leader = ""
	}
	return settings
}

// redirected notes where the leader is.
func (s *supervisor) redirected(to esdb.EndPoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader = to.String()
}

// failed has a client replaced, unless that has been done. It has been of no use since then.
func (s *supervisor) failed(l *link, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == l {
		s.current = nil
		l.retire()
		s.restore(since)
	}
}

// within is a context for a call that has entered a client: it ends with ctx, when nothing more is to be expected of the
// client, and when the store is closed. It asks for the leader.
func within(ctx context.Context, l *link) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(grpcmetadata.AppendToOutgoingContext(ctx, "requires-leader", "true"))
	stop := context.AfterFunc(l.lost, cancel)
	return ctx, func() { stop(); cancel() }
}

// ended is why a call within ctx has been ended.
func (s *supervisor) ended(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.closing.Err() != nil:
		return errClosed
	}
	return errSilent
}

// raced runs a call that has entered a client, and returns when it does or when ctx ends, whatever comes first. The call
// leaves the client when it does, whenever that is.
func raced[T any](ctx context.Context, l *link, call func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer l.leave()
		var o outcome
		defer func() { done <- o }()
		defer caught(&o.err)
		o.value, o.err = call()
		if ctx.Err() == nil && !broken(o.err) {
			l.heard()
		}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// do runs a call with the client of the moment, and has that replaced if the call shows it to be broken.
func do[T any](ctx context.Context, s *supervisor, call func(context.Context, *esdb.Client) (T, error)) (T, error) {
	var none T
	l, err := s.enter(ctx)
	if err != nil {
		return none, err
	}
	ending, end := within(ctx, l)
	defer end()
	value, err := raced(ending, l, func() (T, error) { return call(ending, l.client) })
	if err != nil && ending.Err() != nil {
		return none, s.ended(ctx)
	}
	if broken(err) {
		s.failed(l, time.Now())
	}
	return value, err
}

// broken tells whether an error is that of a connection, which another may not have. A deadline that a server has found to
// be over before it was noticed here says nothing of the connection.
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
		case esdb.ErrorUnavailable, esdb.ErrorCodeConnectionClosed, esdb.ErrorCodeNotLeader:
			return true
		}
		err = e.Err()
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled:
		return true
	}
	return false
}

// lost tells whether a call may or may not have been done, and the next attempt may fare better.
func lost(err error) bool {
	var e *esdb.Error
	return broken(err) || errors.Is(err, errAway) || errors.As(err, &e) && e.Code() == esdb.ErrorAborted
}

// undone tells whether a call has certainly not been done, and the next attempt may fare better.
func undone(err error) bool {
	var e *esdb.Error
	return errors.As(err, &e) && e.Code() == esdb.ErrorCodeNotLeader
}
