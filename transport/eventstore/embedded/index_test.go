package embedded_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files/faultfs"
)

// TestIndex compares the store with a plain list, over many small segments, merged runs, restarts, and streams whose
// hashes are the same.
func TestIndex(t *testing.T) {
	defer goleak.VerifyNone(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &model{T: t, hashes: rapid.Uint64Range(1, 4).Draw(t, "hashes"), sys: faultfs.New(1)}
		m.open()
		defer func() { m.store.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"repeat":  m.repeat,
			"restart": func(*rapid.T) { m.restart() },
			"read":    m.read,
			"":        func(*rapid.T) {},
		})
		for i := range modelStreams {
			m.compare(fmt.Sprint("s-", i), 0, 0, commands.Forwards)
			m.compare(fmt.Sprint("s-", i), ^uint64(0), 0, commands.Backwards)
		}
	})
}

const modelStreams = 6

// model is a store and what should be in it.
type model struct {
	*rapid.T
	hashes uint64 // how many different hashes there are
	sys    *faultfs.FS
	store  *embedded.Store
	all    []domain.Record
}

func (m *model) open() {
	hash := func(stream string) uint64 { return uint64(stream[2]) % m.hashes * 1e18 }
	store, err := embedded.OpenWithHash(m.sys, embedded.Options{SegmentSize: 1 << 10, VerifyRate: -1}, hash)
	if err != nil {
		m.Fatal(err)
	}
	m.store = store
}

func (m *model) restart() {
	if err := m.store.Close(); err != nil {
		m.Fatal(err)
	}
	m.open()
}

// append appends a few records several times, so that segments fill.
func (m *model) append(t *rapid.T) {
	for range rapid.IntRange(1, 30).Draw(t, "appends") {
		stream := fmt.Sprint("s-", rapid.IntRange(0, modelStreams-1).Draw(t, "stream"))
		rs := make([]domain.Record, rapid.IntRange(1, 3).Draw(t, "records"))
		for i := range rs {
			rs[i] = domain.Record{Envelope: domain.Envelope{ID: testID(len(m.all)+i, 7)}, Data: []byte(stream)}
		}
		current := domain.Expected(len(m.stream(stream)) - 1)
		done, err := m.store.Append(t.Context(), stream, rapid.SampledFrom([]domain.Expected{domain.Any, current}).Draw(t, "expected"), rs)
		if err != nil || done.Repeated || done.Position.Commit != uint64(len(m.all)+len(rs)) {
			t.Fatalf("append to %s: %+v, %v", stream, done, err)
		}
		for i, r := range rs {
			r.Stream, r.Revision, r.Position = stream, uint64(int(current)+1+i), done.All[i]
			m.all = append(m.all, r)
		}
	}
}

// repeat appends again what is there.
func (m *model) repeat(t *rapid.T) {
	if len(m.all) == 0 {
		t.Skip("nothing is there")
	}
	r := rapid.SampledFrom(m.all).Draw(t, "record")
	expected := rapid.SampledFrom([]domain.Expected{domain.Any, domain.StreamExists, domain.Expected(r.Revision) - 1}).Draw(t, "expected")
	done, err := m.store.Append(t.Context(), r.Stream, expected, []domain.Record{r})
	if err != nil || !done.Repeated || done.Position != r.Position || done.Revision != r.Revision {
		t.Fatalf("append %v of %s again: %+v, %v", r.Position, r.Stream, done, err)
	}
	if found, err := m.store.Find(t.Context(), r.Stream, r.ID); err != nil || found.Position != r.Position {
		t.Fatalf("find %v of %s: %v, %v", r.Position, r.Stream, found.Position, err)
	}
}

func (m *model) read(t *rapid.T) {
	m.compare(
		fmt.Sprint("s-", rapid.IntRange(0, modelStreams-1).Draw(t, "stream")),
		rapid.Uint64Range(0, 60).Draw(t, "from"), rapid.IntRange(0, 40).Draw(t, "limit"),
		commands.Direction(rapid.Bool().Draw(t, "direction")),
	)
}

func (m *model) stream(name string) (rs []domain.Record) {
	for _, r := range m.all {
		if r.Stream == name {
			rs = append(rs, r)
		}
	}
	return rs
}

// compare reads a stream and compares it with what it should be.
func (m *model) compare(stream string, from uint64, limit int, direction commands.Direction) {
	m.Helper()
	whole := m.stream(stream)
	want := slices.DeleteFunc(slices.Clone(whole), func(r domain.Record) bool {
		return direction == commands.Forwards && r.Revision < from || direction == commands.Backwards && r.Revision > from
	})
	if direction == commands.Backwards {
		slices.Reverse(want)
	}
	if limit > 0 {
		want = want[:min(limit, len(want))]
	}
	var got []domain.Record
	for r, err := range m.store.ReadStream(m.Context(), stream, from, limit, direction) {
		if errors.Is(err, domain.ErrNoStream) && len(whole) == 0 {
			return
		}
		if err != nil {
			m.Fatalf("read %s: %v", stream, err)
		}
		got = append(got, r)
	}
	if !slices.EqualFunc(got, want, func(a, b domain.Record) bool {
		return a.Position == b.Position && a.ID == b.ID && a.Revision == b.Revision
	}) {
		m.Fatalf("read %s from %d, %d of them, backwards %v: %d records; want %d", stream, from, limit, direction, len(got), len(want))
	}
	if len(whole) == 0 {
		m.Fatalf("read %s: no error; want that there is no such stream", stream)
	}
}
