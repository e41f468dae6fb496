package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"strandline/commands"
	"strandline/domain"
)

// expectedRevisions tries every kind of expectation on a stream that is missing, at revision 0 and at revision 4. Over a
// network one store has all the streams.
func expectedRevisions(s suite) {
	store, tried := s.open(), 0
	const missing, first, later = domain.NoStream, domain.Expected(0), domain.Expected(4)
	for _, tt := range []struct {
		expected domain.Expected
		current  domain.Expected
		allowed  bool
	}{
		{domain.Any, missing, true},
		{domain.Any, first, true},
		{domain.Any, later, true},
		{domain.NoStream, missing, true},
		{domain.NoStream, first, false},
		{domain.NoStream, later, false},
		{domain.StreamExists, missing, false},
		{domain.StreamExists, first, true},
		{domain.StreamExists, later, true},
		{domain.Exactly(0), missing, false},
		{domain.Exactly(0), first, true},
		{domain.Exactly(0), later, false},
		{domain.Exactly(3), later, false},
		{domain.Exactly(4), missing, false},
		{domain.Exactly(4), first, false},
		{domain.Exactly(4), later, true},
		{domain.Exactly(5), later, false},
		{domain.Exactly(math.MaxInt64), missing, false},
		{domain.Exactly(math.MaxInt64), later, false},
	} {
		for _, n := range []int{0, 1, 3} {
			name := fmt.Sprintf("append %d to %s expecting %s", n, tt.current, tt.expected)
			s.Run(name, func(t *testing.T) {
				s := suite{t, s.factory}
				if tried++; !store.Remote {
					store = s.open()
				}
				expectOne(s, store, fmt.Sprintf("thing-%d", tried), tt.expected, tt.current, tt.allowed, records(n))
			})
		}
	}
}

func expectOne(s suite, store commands.EventStore, stream string, expected, current domain.Expected, allowed bool, rs []domain.Record) {
	s.append(store, "other-1", domain.Any, record())
	if current != domain.NoStream {
		s.append(store, stream, domain.Any, records(int(current)+1)...)
	}
	before, head := s.stream(store, stream), s.head(store)
	if !allowed {
		s.refused(store, stream, expected, current, rs...)
		if got := s.stream(store, stream); len(got) != len(before) || s.head(store) != head {
			s.Errorf("a refused append left %d records and head %v; want %d and %v", len(got), s.head(store), len(before), head)
		}
		return
	}
	done := s.append(store, stream, expected, rs...)
	got := s.stream(store, stream)
	if want := append(ids(before), ids(rs)...); !slices.Equal(ids(got), want) {
		s.Fatalf("ids = %v; want %v", ids(got), want)
	}
	expectPlace(s, store, stream, done, got, len(rs))
}

// expectPlace compares what an append returned with what the stream now holds; the last n are its.
func expectPlace(s suite, store commands.EventStore, name string, done commands.Appended, stream []domain.Record, n int) {
	s.Helper()
	if want := positions(stream[len(stream)-n:]); !slices.Equal(done.All, want) && n > 0 {
		s.Errorf("positions = %v; want %v", done.All, want)
	}
	if done.Position != s.head(store) || done.Repeated {
		s.Errorf("position = %v, repeated = %v; want the head %v, false", done.Position, done.Repeated, s.head(store))
	}
	for i, r := range stream {
		if r.Revision != uint64(i) || r.Stream != name {
			s.Errorf("record %d is revision %d of %s", i, r.Revision, r.Stream)
		}
	}
	if len(stream) > 0 && done.Revision != uint64(len(stream)-1) {
		s.Errorf("revision = %d; want %d", done.Revision, len(stream)-1)
	}
}

func repeatedAppend(s suite) {
	store := s.open()
	first, second := records(3), records(2)
	one := s.append(store, "thing-1", domain.NoStream, first...)
	s.append(store, "other-1", domain.Any, record())
	two := s.append(store, "thing-1", domain.Exactly(2), second...)
	s.append(store, "thing-1", domain.Exactly(4), record())
	head := s.head(store)
	for _, tt := range []struct {
		expected domain.Expected
		records  []domain.Record
		want     commands.Appended
	}{
		{domain.NoStream, first, one},
		{domain.Exactly(2), second, two},
		{domain.Any, first, one},
		{domain.Any, second, two},
		{domain.StreamExists, second, two},
		{domain.NoStream, first[:1], commands.Appended{Revision: 0, Position: one.All[0], All: one.All[:1]}},
		{domain.Exactly(1), []domain.Record{first[2], second[0]}, commands.Appended{Revision: 3, Position: two.All[0], All: []domain.Position{one.All[2], two.All[0]}}},
	} {
		got := s.append(store, "thing-1", tt.expected, tt.records...)
		if !got.Repeated || got.Revision != tt.want.Revision || got.Position != tt.want.Position || !slices.Equal(got.All, tt.want.All) {
			s.Errorf("again, expecting %s: %+v; want %+v, repeated", tt.expected, got, tt.want)
		}
	}
	if s.head(store) != head || len(s.stream(store, "thing-1")) != 6 {
		s.Errorf("a repeated append has changed the store")
	}
}

func partialOverlap(s suite) {
	store := s.open()
	old := records(3)
	s.append(store, "thing-1", domain.NoStream, old...)
	head := s.head(store)
	for _, tt := range []struct {
		name     string
		expected domain.Expected
		records  []domain.Record
	}{
		{"more than there is", domain.NoStream, []domain.Record{old[0], old[1], old[2], record()}},
		{"first equal, then other", domain.NoStream, []domain.Record{old[0], record()}},
		{"first other", domain.NoStream, []domain.Record{record(), old[1]}},
		{"at another place", domain.Exactly(0), []domain.Record{old[0]}},
		{"other order", domain.NoStream, []domain.Record{old[1], old[0]}},
		{"any, then other", domain.Any, []domain.Record{old[1], record()}},
		{"any, more than there is", domain.Any, []domain.Record{old[2], record()}},
		{"any, one left out", domain.Any, []domain.Record{old[0], old[2]}},
		{"stream exists, then other", domain.StreamExists, []domain.Record{old[2], record()}},
	} {
		s.Run(tt.name, func(t *testing.T) {
			suite{t, s.factory}.refused(store, "thing-1", tt.expected, domain.Exactly(2), tt.records...)
		})
	}
	if got := s.head(store); got != head {
		s.Errorf("head = %v; want %v", got, head)
	}
}

func oneIDInTwoStreams(s suite) {
	store := s.open()
	r := record()
	for _, stream := range []string{"thing-1", "thing-2"} {
		if done := s.append(store, stream, domain.Any, r); done.Repeated || done.Revision != 0 {
			s.Errorf("append to %s = %+v; want a first event", stream, done)
		}
		found, err := store.Find(s.Context(), stream, r.ID)
		if err != nil || found.Stream != stream || found.ID != r.ID || string(found.Data) != string(r.Data) {
			s.Errorf("Find(%s) = %+v, %v", stream, found, err)
		}
	}
	if _, err := store.Find(s.Context(), "thing-3", r.ID); !errors.Is(err, domain.ErrNotFound) {
		s.Errorf("Find in a stream that has it not = %v; want not found", err)
	}
	if _, err := store.Find(s.Context(), "thing-1", record().ID); !errors.Is(err, domain.ErrNotFound) {
		s.Errorf("Find of an unknown id = %v; want not found", err)
	}
}

func sameIDAtOnce(s suite) {
	store := s.open()
	for round := range 20 {
		stream := fmt.Sprintf("thing-%d", round)
		rs := records(2)
		var mu sync.Mutex
		var originals int
		var places []domain.Position
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				done, err := store.Append(s.Context(), stream, domain.Any, rs)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					s.Errorf("append: %v", err)
				}
				if !done.Repeated {
					originals++
				}
				places = append(places, done.Position)
			})
		}
		group.Wait()
		if originals != 1 && !store.Guesses || originals == 0 || len(slices.Compact(places)) != 1 || len(s.stream(store, stream)) != 2 {
			s.Errorf("%d originals at %v, %d records; want one append", originals, places, len(s.stream(store, stream)))
		}
	}
}

func repeatedAfterRestart(s suite) {
	instance := s.open()
	if instance.Reopen == nil {
		s.Skip("this store keeps nothing")
	}
	rs := records(3)
	first := s.append(instance, "thing-1", domain.Any, rs...)
	s.append(instance, "thing-1", domain.Any, record())
	store := instance.Reopen()
	expectations := []domain.Expected{domain.NoStream}
	if instance.Remembers {
		expectations = append(expectations, domain.Any, domain.StreamExists)
	}
	for _, expected := range expectations {
		if done := s.append(store, "thing-1", expected, rs...); !done.Repeated || done.Position != first.Position {
			s.Errorf("again, expecting %s: %+v; want the original place %v", expected, done, first.Position)
		}
	}
	if got := len(s.stream(store, "thing-1")); got != 4 {
		s.Errorf("%d records; want 4", got)
	}
}

func sizeLimit(s suite) {
	instance := s.open()
	half := make([]byte, instance.MaxAppend/2)
	one, several := record(), records(3)
	one.Data = make([]byte, instance.MaxAppend+1)
	for i := range several {
		several[i].Data = half
	}
	for _, rs := range [][]domain.Record{{one}, several} {
		_, err := instance.Append(s.Context(), "thing-1", domain.Any, rs)
		if !errors.Is(err, domain.ErrAppendTooLarge) || !errors.Is(err, domain.ErrInvalid) {
			s.Errorf("append of %d records over the limit = %v; want too large", len(rs), err)
		}
	}
	if head := s.head(instance); !head.IsZero() {
		s.Errorf("head = %v; want none", head)
	}
	one.Data = one.Data[:instance.MaxAppend-4096]
	s.append(instance, "thing-1", domain.NoStream, one)
	if got := s.stream(instance, "thing-1"); len(got) != 1 || len(got[0].Data) != len(one.Data) {
		s.Errorf("an append just below the limit came back otherwise")
	}
}
