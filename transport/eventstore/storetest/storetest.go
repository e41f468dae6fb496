// Package storetest holds the rules that every event store behind the port commands.EventStore keeps. Each is a subtest
// with its number in section 5 of the contract "EventStoreDB". What the port has no words for (19, 22–26, 30) is held by
// TestRules of transport/eventstore/door, over the protocol; a server that is gone and comes back (32) by the adapter's
// TestServerGoneAndBack; kills and torn writes (33) by the stores' own drills.
package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
)

// Factory opens a new, empty store for one test and closes it when the test ends. The times of records come from clock.
type Factory func(t *testing.T, clock func() time.Time) Instance

// Instance is a store under test and what it can do. A func that is nil is a thing it cannot do.
type Instance struct {
	commands.EventStore
	MaxAppend int    // the greatest size of one append, bytes
	Dense     bool   // positions are 1, 2, 3, …
	Remembers bool   // it recognises repeated ids for ever, whatever revision is expected
	Guesses   bool   // it cannot tell which of several equal appends at once was the first
	Remote    bool   // calls go over a network: the rule that makes thousands of them makes fewer
	NoZeros   bool   // names of streams have no zero byte
	Extra     []byte // envelope fields of a newer version, in the store's own encoding

	Reopen     func() commands.EventStore                // stops the store and starts it again
	Kill       func() commands.EventStore                // starts it again after a loss of power
	Restore    func() commands.EventStore                // makes a backup and starts another store on it
	Generation func(commands.EventStore) string          // names the life of a store; a restored one begins another
	Verify     func(commands.EventStore) (uint64, error) // checks all that is stored: how many records
}

// Run runs all rules, each on stores of its own.
func Run(t *testing.T, open Factory) {
	rules := []struct {
		name string
		test func(suite)
	}{
		{"01-08 expected revisions", expectedRevisions},
		{"09 a repeated append returns the original place", repeatedAppend},
		{"10 a partial overlap is a wrong revision", partialOverlap},
		{"11 one id in two streams", oneIDInTwoStreams},
		{"12 the same id at once is one event", sameIDAtOnce},
		{"12 and is known after a restart", repeatedAfterRestart},
		{"13 all or nothing of an append", allOrNothing},
		{"13 all or nothing after a crash", allOrNothingAfterCrash},
		{"14 size limit", sizeLimit},
		{"15 reading includes its start, following does not", boundaries},
		{"16 backwards", backwards},
		{"17 limits, pages, nothing", limits},
		{"18 one order for all, nothing visible late", oneOrder},
		{"18 positions are dense", densePositions},
		{"20 caught up, and again after falling behind", caughtUp},
		{"21 a slow follower blocks nobody", slowFollower},
		{"27 every field of an envelope comes back", envelopeRoundTrip},
		{"28 any bytes, any names", anyBytes},
		{"29 times never go back", times},
		{"31 a cancelled context ends every call", cancelled},
		{"34 backup, restore, verify", backupAndRestore},
		{"what was appended is there after a restart", restart},
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) { rule.test(suite{t, open}) })
	}
}

// suite is one rule's test.
type suite struct {
	*testing.T
	factory Factory
}

// open opens a store with the machine's clock.
func (s suite) open() Instance {
	s.Helper()
	return s.factory(s.T, time.Now)
}

var drawn atomic.Uint64

// record is a record with an id of its own.
func record() domain.Record {
	n := drawn.Add(1)
	var id domain.ID
	id[6], id[8] = 0x70, 0x80
	binary.BigEndian.PutUint64(id[8:], n|1<<63)
	return domain.Record{
		Envelope: domain.Envelope{ID: id, Type: "thing.done", Version: 1, ContentType: domain.JSON},
		Data:     fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

func records(n int) []domain.Record {
	rs := make([]domain.Record, n)
	for i := range rs {
		rs[i] = record()
	}
	return rs
}

// append appends and expects success.
func (s suite) append(store commands.EventStore, stream string, expected domain.Expected, rs ...domain.Record) commands.Appended {
	s.Helper()
	done, err := store.Append(s.Context(), stream, expected, rs)
	if err != nil {
		s.Fatalf("append %d to %s, expected %s: %v", len(rs), stream, expected, err)
	}
	return done
}

// refused appends and expects a wrong revision.
func (s suite) refused(store commands.EventStore, stream string, expected, current domain.Expected, rs ...domain.Record) {
	s.Helper()
	_, err := store.Append(s.Context(), stream, expected, rs)
	var wrong *domain.WrongRevisionError
	if !errors.As(err, &wrong) || !errors.Is(err, domain.ErrRejected) {
		s.Fatalf("append to %s, expected %s: %v; want a wrong revision", stream, expected, err)
	}
	if want := (domain.WrongRevisionError{Stream: stream, Expected: expected, Current: current}); *wrong != want {
		s.Errorf("error = %+v; want %+v", *wrong, want)
	}
}

func (s suite) head(store commands.EventStore) domain.Position {
	s.Helper()
	head, err := store.Head(s.Context())
	if err != nil {
		s.Fatalf("head: %v", err)
	}
	return head
}

// stream reads a whole stream; nobody having written it is no records.
func (s suite) stream(store commands.EventStore, stream string) []domain.Record {
	s.Helper()
	rs, err := collect(store.ReadStream(s.Context(), stream, 0, 0, commands.Forwards))
	if err != nil && !errors.Is(err, domain.ErrNoStream) {
		s.Fatalf("read %s: %v", stream, err)
	}
	return rs
}

// all reads the whole store.
func (s suite) all(store commands.EventStore) []domain.Record {
	s.Helper()
	rs, err := collect(store.ReadAll(s.Context(), domain.Position{}, 0, commands.Forwards))
	if err != nil {
		s.Fatalf("read all: %v", err)
	}
	return rs
}

func collect(seq iter.Seq2[domain.Record, error]) (rs []domain.Record, err error) {
	for r, err := range seq {
		if err != nil {
			return rs, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// follow collects n records of a follower; more than that, or 10 s of waiting, fails.
func (s suite) follow(store commands.EventStore, after domain.Position, n int) (rs []domain.Record) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	for batch, err := range store.Follow(ctx, after) {
		if err != nil {
			s.Fatalf("follow: %v after %d of %d records", err, len(rs), n)
		}
		rs = append(rs, batch...)
		if len(rs) >= n {
			break
		}
	}
	if len(rs) != n {
		s.Fatalf("followed %d records; want %d", len(rs), n)
	}
	return rs
}

func ids(rs []domain.Record) []domain.ID {
	ids := make([]domain.ID, len(rs))
	for i, r := range rs {
		ids[i] = r.ID
	}
	return ids
}

func positions(rs []domain.Record) []domain.Position {
	ps := make([]domain.Position, len(rs))
	for i, r := range rs {
		ps[i] = r.Position
	}
	return ps
}
