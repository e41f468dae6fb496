package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"strandline/commands"
	"strandline/domain"
)

// boundaries: off by one is where event stores and their clients disagree most.
func boundaries(s suite) {
	store := s.open()
	var all []domain.Record
	for i := range 6 {
		rs := records(2)
		s.append(store, fmt.Sprintf("thing-%d", i%2), domain.Any, rs...)
		all = append(all, rs...)
	}
	stored := s.all(store)
	for i, r := range stored {
		rest, err := collect(store.ReadAll(s.Context(), r.Position, 0, commands.Forwards))
		if err != nil || !slices.Equal(ids(rest), ids(all[i:])) {
			s.Errorf("read all from %v: %d records, %v; want %d", r.Position, len(rest), err, len(all)-i)
		}
		back, err := collect(store.ReadAll(s.Context(), r.Position, 2, commands.Backwards))
		if err != nil || len(back) == 0 || back[0].ID != r.ID {
			s.Errorf("read all backwards from %v does not begin there: %v", r.Position, err)
		}
		if followed := s.follow(store, r.Position, len(all)-i-1); !slices.Equal(ids(followed), ids(all[i+1:])) {
			s.Errorf("following %v does not begin after it", r.Position)
		}
	}
	if followed := s.follow(store, domain.Position{}, len(all)); !slices.Equal(ids(followed), ids(all)) {
		s.Error("following from the start differs from what was appended")
	}
	testStreamBoundaries(s, store)
}

func testStreamBoundaries(s suite, store commands.EventStore) {
	stream := s.stream(store, "thing-0")
	for i := range stream {
		rest, err := collect(store.ReadStream(s.Context(), "thing-0", uint64(i), 0, commands.Forwards))
		if err != nil || !slices.Equal(ids(rest), ids(stream[i:])) {
			s.Errorf("read from revision %d: %d records, %v; want %d", i, len(rest), err, len(stream)-i)
		}
	}
}

func backwards(s suite) {
	store := s.open()
	s.append(store, "thing-1", domain.Any, records(5)...)
	s.append(store, "thing-2", domain.Any, records(3)...)
	stream, all := s.stream(store, "thing-1"), s.all(store)
	slices.Reverse(stream)
	slices.Reverse(all)
	for from, want := range map[uint64][]domain.Record{
		0: stream[4:], 3: stream[1:], 4: stream, 5: stream, 1000: stream, math.MaxInt64: stream, math.MaxUint64: stream,
	} {
		got, err := collect(store.ReadStream(s.Context(), "thing-1", from, 0, commands.Backwards))
		if err != nil || !slices.Equal(ids(got), ids(want)) {
			s.Errorf("backwards from %d: %d records, %v; want %d", from, len(got), err, len(want))
		}
	}
	beyond := domain.Position{Commit: math.MaxUint64, Prepare: math.MaxUint64}
	for from, want := range map[domain.Position][]domain.Record{{}: all, beyond: all, all[0].Position: all, all[4].Position: all[4:]} {
		got, err := collect(store.ReadAll(s.Context(), from, 0, commands.Backwards))
		if err != nil || !slices.Equal(ids(got), ids(want)) {
			s.Errorf("all backwards from %v: %d records, %v; want %d", from, len(got), err, len(want))
		}
	}
}

func limits(s suite) {
	store := s.open()
	testNothing(s, store)
	for i := range 23 {
		s.append(store, fmt.Sprintf("thing-%d", i%2), domain.Any, record())
	}
	all, stream := s.all(store), s.stream(store, "thing-0")
	for _, size := range []int{1, 2, 5, 11, 12, 13, 100} {
		if got := pages(s, store, "thing-0", size); !slices.Equal(ids(got), ids(stream)) {
			s.Errorf("pages of %d of a stream hold %d records; want %d", size, len(got), len(stream))
		}
		got, err := collect(store.ReadAll(s.Context(), domain.Position{}, size, commands.Forwards))
		if want := all[:min(size, len(all))]; err != nil || !slices.Equal(ids(got), ids(want)) {
			s.Errorf("the first %d of all are %d, %v", size, len(got), err)
		}
		got, err = collect(store.ReadStream(s.Context(), "thing-0", math.MaxInt64, size, commands.Backwards))
		if want := stream[max(0, len(stream)-size):]; err != nil || len(got) != len(want) {
			s.Errorf("the last %d of a stream are %d, %v; want %d", size, len(got), err, len(want))
		}
	}
	if got, err := collect(store.ReadStream(s.Context(), "thing-0", 12, 0, commands.Forwards)); err != nil || len(got) != 0 {
		s.Errorf("read from beyond the end = %d records, %v; want none", len(got), err)
	}
	if got, err := collect(store.ReadStream(s.Context(), "thing-0", math.MaxUint64, 0, commands.Forwards)); err != nil || len(got) != 0 {
		s.Errorf("read from far beyond the end = %d records, %v; want none", len(got), err)
	}
	beyond := domain.Position{Commit: math.MaxInt64, Prepare: math.MaxInt64}
	if got, err := collect(store.ReadAll(s.Context(), beyond, 0, commands.Forwards)); err != nil || len(got) != 0 {
		s.Errorf("read all from beyond the end = %d records, %v; want none", len(got), err)
	}
}

func testNothing(s suite, store commands.EventStore) {
	for _, direction := range []commands.Direction{commands.Forwards, commands.Backwards} {
		if got, err := collect(store.ReadAll(s.Context(), domain.Position{}, 0, direction)); err != nil || len(got) != 0 {
			s.Errorf("read all of an empty store = %d records, %v; want none", len(got), err)
		}
		_, err := collect(store.ReadStream(s.Context(), "missing-1", 0, 0, direction))
		if !errors.Is(err, domain.ErrNoStream) || !errors.Is(err, domain.ErrNotFound) {
			s.Errorf("read a missing stream = %v; want no stream", err)
		}
	}
	if head := s.head(store); !head.IsZero() {
		s.Errorf("head of an empty store = %v; want none", head)
	}
}

// pages reads a stream forwards, size records at a time.
func pages(s suite, store commands.EventStore, stream string, size int) (all []domain.Record) {
	s.Helper()
	for {
		page, err := collect(store.ReadStream(s.Context(), stream, uint64(len(all)), size, commands.Forwards))
		if err != nil || len(page) > size {
			s.Fatalf("page of %d = %d records, %v", size, len(page), err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func envelopeRoundTrip(s suite) {
	instance := s.open()
	full := record()
	full.Version, full.ContentType = 300, domain.JSONZstd
	full.Actor, full.Credential, full.APIKey = "U0123456789", "credential-1", "key-1"
	full.Dialect, full.Command, full.Subject, full.Key = "lamp", "thing.do", "U0123456789", "key-2"
	full.CommandID, full.Correlation, full.Causation = record().ID, record().ID, record().ID
	bare := domain.Record{Envelope: domain.Envelope{ID: record().ID}}
	newer := record()
	newer.Extra = instance.Extra
	for _, r := range []domain.Record{full, bare, newer} {
		r.Stream, r.Revision, r.Position = "ignored-1", 77, domain.Position{Commit: 1 << 40}
		s.append(instance, "thing-1", domain.Any, r)
	}
	store := instance.EventStore
	compare := func(t *testing.T) {
		for i, got := range s.stream(store, "thing-1") {
			want := []domain.Record{full, bare, newer}[i]
			want.Stream, want.Revision, want.Time, want.Position = "thing-1", uint64(i), got.Time, got.Position
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("record %d = %+v; want %+v", i, got, want)
			}
		}
	}
	s.Run("as appended", compare)
	if instance.Reopen != nil {
		store = instance.Reopen()
		s.Run("after a restart", compare)
	}
}

func anyBytes(s suite) {
	instance := s.open()
	binary := make([]byte, 1<<16)
	for i := range binary {
		binary[i] = byte(i * i >> 3)
	}
	large := make([]byte, min(1<<20, instance.MaxAppend)-4096)
	copy(large, binary)
	names := []string{"a", "größe-日本語-🌊", "with space-and\ttab", "quote\"-\\'1", "ends-with-", "-", string(make([]byte, 3)), "long-" + fmt.Sprintf("%0500d", 7)}
	if instance.NoZeros {
		names[6] = "\x01\x02\x7f"
	}
	for i, data := range [][]byte{nil, {}, {0}, []byte("{}"), []byte("\xff\xfe no utf-8"), binary, large} {
		for _, name := range names[i%2:] {
			r := record()
			r.Data = data
			s.append(instance, name, domain.Any, r)
			got, err := instance.Find(s.Context(), name, r.ID)
			if err != nil || got.Stream != name || string(got.Data) != string(data) {
				s.Errorf("stream %q, %d bytes: came back as %q, %d bytes, %v", name, len(data), got.Stream, len(got.Data), err)
			}
		}
	}
	for i, name := range names {
		want := 7
		if i == 0 {
			want = 4 // it was left out every second time
		}
		if got := len(s.stream(instance, name)); got != want {
			s.Errorf("stream %q has %d records; want %d", name, got, want)
		}
	}
	s.testKept(instance)
}

// testKept: what a caller does with its buffers after Append returns is its own affair.
func (s suite) testKept(store commands.EventStore) {
	r := record()
	r.Data = []byte("as it was")
	s.append(store, "kept-1", domain.Any, r)
	copy(r.Data, "overwrite")
	if got := s.stream(store, "kept-1"); string(got[0].Data) != "as it was" {
		s.Errorf("data = %q; want what it was when appended", got[0].Data)
	}
}
