package esdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"strandline/commands"
	"strandline/domain"
)

// retryPause is how long an append waits before it is tried again on another connection.
const retryPause = 50 * time.Millisecond

// Append implements commands.EventStore. One that may have got lost is sent again while there is time, if its revision is
// exact, so that the server knows it again by its ids; else its outcome is unknown and domain.ErrUnavailable. One that has
// certainly not been done is sent again in any case.
func (s *Store) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	if err := ctx.Err(); err != nil {
		return commands.Appended{}, err
	}
	events, err := s.events(stream, records)
	if err != nil {
		return commands.Appended{}, err
	}
	before := s.furthest()
	done, err := s.send(ctx, stream, expected, events)
	if err != nil {
		return commands.Appended{}, err
	}
	return s.appended(ctx, stream, records, done, before)
}

// longest is how long a server may take to answer callers who set no limit: what the connection string says, or the
// client's own default.
func (s *Store) longest() time.Duration {
	if d := s.settings.DefaultDeadline; d != nil {
		return *d
	}
	return 10 * time.Second
}

// send appends until it is known what came of it, if that can be known, or ctx ends. A caller who has set no limit does not
// wait for longer than an append may take, nor at all for a server that is known to be away.
func (s *Store) send(ctx context.Context, stream string, expected domain.Expected, events []esdb.EventData) (*esdb.WriteResult, error) {
	if _, bounded := ctx.Deadline(); bounded {
		return s.sendWithin(ctx, stream, expected, events, lost)
	}
	limited, cancel := context.WithTimeout(ctx, s.longest())
	defer cancel()
	done, err := s.sendWithin(limited, stream, expected, events, func(err error) bool { return lost(err) && !errors.Is(err, errAway) })
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: EventStoreDB has not confirmed an append to %s within %s", domain.ErrUnavailable, stream, s.longest())
	}
	return done, err
}

// sendWithin appends again and again while that makes sense and ctx lasts. Hopeful tells whether a call that may have got
// lost is to be made again.
func (s *Store) sendWithin(ctx context.Context, stream string, expected domain.Expected, events []esdb.EventData, hopeful func(error) bool) (*esdb.WriteResult, error) {
	for cutShort := 0; ; {
		done, err := s.try(ctx, stream, expected, events)
		if err == nil {
			return done, nil
		}
		again := undone(err) || expected.IsExact() && hopeful(err)
		if isEnd(err) || isInvalid(err) {
			cutShort++
			err = s.reason(ctx, stream, expected, err)
			again = isEnd(err) && cutShort < mostCutShort || hopeful(err)
		}
		if !again || ctx.Err() != nil {
			return nil, refusal(ctx, stream, expected, err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// mostCutShort is how often in all a server may end an append before it has seen all events and not say why, until that
// must be because of what it has seen.
const mostCutShort = 3

// reason is why a server refused an append, or ended it before it had seen all events, which therefore has not been done.
// The client does not tell. If there is another reason than the events themselves, the same append without events has it as well.
func (s *Store) reason(ctx context.Context, stream string, expected domain.Expected, err error) error {
	_, same := s.try(ctx, stream, expected, nil)
	switch {
	case isInvalid(same):
		return fmt.Errorf("%w: EventStoreDB refuses the stream %q: %w", domain.ErrInvalid, stream, same)
	case same != nil:
		return same
	}
	return err
}

// isInvalid tells whether the server will not have what it was sent.
func isInvalid(err error) bool { return err != nil && status.Code(cause(err)) == codes.InvalidArgument }

// events checks an append, and turns it into what the client takes.
func (s *Store) events(stream string, records []domain.Record) ([]esdb.EventData, error) {
	if stream == "" {
		return nil, fmt.Errorf("%w: append to a stream without a name", domain.ErrInvalid)
	}
	all, size := make([]esdb.EventData, len(records)), 0
	for i, r := range records {
		if r.ID.IsZero() {
			return nil, fmt.Errorf("%w: append to %s an event without an id", domain.ErrInvalid, stream)
		}
		e, err := event(r)
		if err != nil {
			return nil, err
		}
		all[i], size = e, size+len(e.Data)+len(e.Metadata)+2*len(e.EventType)
	}
	if size > s.maxAppend {
		return nil, fmt.Errorf("append %d bytes to %s: %w (%d bytes)", size, stream, domain.ErrAppendTooLarge, s.maxAppend)
	}
	return all, nil
}

func (s *Store) try(ctx context.Context, stream string, expected domain.Expected, events []esdb.EventData) (*esdb.WriteResult, error) {
	options := esdb.AppendToStreamOptions{ExpectedRevision: revision(expected), Deadline: untilEnd(ctx)}
	return do(ctx, s.supervisor, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		return c.AppendToStream(ctx, stream, options, events...)
	})
}

// untilEnd is how much time ctx leaves; the client has a deadline of its own else.
func untilEnd(ctx context.Context) *time.Duration {
	left := 24 * time.Hour
	if end, ok := ctx.Deadline(); ok {
		left = time.Until(end)
	}
	return &left
}

func revision(e domain.Expected) esdb.ExpectedRevision {
	switch e {
	case domain.Any:
		return esdb.Any{}
	case domain.NoStream:
		return esdb.NoStream{}
	case domain.StreamExists:
		return esdb.StreamExists{}
	}
	return esdb.Revision(uint64(e))
}

// appended says where an append stands. The server tells the last event's place; those of the others are read.
func (s *Store) appended(ctx context.Context, stream string, records []domain.Record, done *esdb.WriteResult, before domain.Position) (commands.Appended, error) {
	a := commands.Appended{
		Revision: done.NextExpectedVersion,
		Position: domain.Position{Commit: done.CommitPosition, Prepare: done.PreparePosition},
	}
	n := len(records)
	if n == 0 {
		head, err := s.Head(ctx)
		a.Position = head
		return a, err
	}
	a.All = []domain.Position{a.Position}
	first := records[0]
	if n > 1 || derived(first.ID) {
		stored, err := s.placed(ctx, stream, a.Revision, n)
		if err != nil {
			return commands.Appended{}, err
		}
		a.All, first = stored.all, stored.first
	}
	a.Repeated = first.Correlation != records[0].Correlation || !a.All[0].IsZero() && !before.Before(a.All[0])
	s.reached(a.Position)
	return a, nil
}

// derived tells whether an id was made of a client's key (UUID version 8), so that another request may have had it.
func derived(id domain.ID) bool { return id[6]>>4 == 8 }

// placed is where n records of a stream stand that end with a revision.
type placed struct {
	first domain.Record
	all   []domain.Position
}

func (s *Store) placed(ctx context.Context, stream string, last uint64, n int) (p placed, err error) {
	for r, err := range s.ReadStream(ctx, stream, last-uint64(n-1), n, commands.Forwards) {
		if err != nil {
			return p, fmt.Errorf("read back what was appended to %s: %w", stream, err)
		}
		if len(p.all) == 0 {
			p.first = r
		}
		p.all = append(p.all, r.Position)
	}
	if len(p.all) != n {
		return p, fmt.Errorf("%w: %d of %d events appended to %s can be read back", domain.ErrUnavailable, len(p.all), n, stream)
	}
	return p, nil
}

func (s *Store) furthest() domain.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *Store) reached(p domain.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.Before(p) {
		s.seen = p
	}
}

// got finds in the client's words for a wrong revision where the stream is.
var got = regexp.MustCompile(`but got '([^']*)'`)

// refusal is why an append was not done.
func refusal(ctx context.Context, stream string, expected domain.Expected, err error) error {
	switch {
	case isKind(err):
		return err
	case isEnd(err) || isInvalid(err):
		return fmt.Errorf("append to %s: %w, says EventStoreDB", stream, domain.ErrAppendTooLarge)
	}
	var e *esdb.Error
	if !errors.As(err, &e) {
		return translated(ctx, stream, err)
	}
	switch e.Code() {
	case esdb.ErrorCodeStreamDeleted:
		return fmt.Errorf("%w: %s has been tombstoned, and takes no more events", domain.ErrRejected, stream)
	case esdb.ErrorCodeWrongExpectedVersion:
		return &domain.WrongRevisionError{Stream: stream, Expected: expected, Current: current(err)}
	}
	return translated(ctx, stream, err)
}

// current is where a stream is whose revision is another one than expected.
func current(err error) domain.Expected {
	if found := got.FindStringSubmatch(err.Error()); found != nil {
		if n, err := strconv.ParseUint(found[1], 10, 63); err == nil && n < math.MaxInt64 {
			return domain.Exactly(n)
		}
	}
	return domain.NoStream
}
