package embedded

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"strandline/transport/files/faultfs"
)

// runStore is enough of a store to write runs.
func runStore() *Store {
	sys := faultfs.New(1)
	if err := makeFolders(sys); err != nil {
		panic(err)
	}
	return &Store{sys: sys}
}

// drawTable draws the memtable of a full segment. Few different hashes make long lists of one stream and shared hashes.
func drawTable(t *rapid.T, first uint64) *memtable {
	m := newMemtable(first)
	hashes := rapid.Uint64Range(1, 300).Draw(t, "hashes")
	seed := rapid.Uint64().Draw(t, "seed")
	next := map[uint64]uint64{}
	for i := range rapid.IntRange(1, 1500).Draw(t, "records") {
		seed = seed*6364136223846793005 + 1442695040888963407
		stream := seed >> 33 % hashes * 0x9e3779b97f4a7c15
		m.add(indexed{uint32(i), uint32(i + 1), stream, seed >> 40 * 77, next[stream]})
		if next[stream]++; seed>>62 == 3 {
			next[stream] = 0 // another stream of the same hash begins
		}
	}
	return m
}

// TestRunIsItsMemtable asks runs, merged or not, and the memtables that they were made of the same questions.
func TestRunIsItsMemtable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := runStore()
		var mems []*memtable
		var runs []*run
		first := uint64(1)
		for range rapid.IntRange(1, 4).Draw(t, "segments") {
			m := drawTable(t, first)
			r, err := s.writeIndex(m)
			if err != nil {
				t.Fatal(err)
			}
			mems, runs, first = append(mems, m), append(runs, r), r.last+1
		}
		compareSources(t, runs[0], mems[:1])
		if err := s.writeRun(merged(runs)); err != nil {
			t.Fatal(err)
		}
		all, err := openRun(s.sys, 1, first-1)
		if err != nil {
			t.Fatal(err)
		}
		compareSources(t, all, mems)
	})
}

func compareSources(t *rapid.T, r *run, mems []*memtable) {
	t.Helper()
	hashes, events := []uint64{12345}, []uint64{54321}
	for _, m := range mems {
		hashes, events = append(hashes, m.hashes...), append(events, m.events...)
	}
	for range 20 {
		q := query{stream: rapid.SampledFrom(hashes).Draw(t, "stream"), upTo: rapid.Uint64Range(1, r.last).Draw(t, "upTo"), all: true}
		got, err := r.entries(q)
		if want := everything(t, q, mems); err != nil || !slices.Equal(got, want) {
			t.Fatalf("entries of %+v = %v, %v; want %v", q, got, err, want)
		}
		comparePages(t, r, q, got)
		event := rapid.SampledFrom(events).Draw(t, "event")
		var want []uint64
		for _, m := range mems {
			some, _ := m.positions(event)
			want = append(want, some...)
		}
		if got, err := r.positions(event); err != nil || !slices.Equal(got, want) {
			t.Fatalf("positions of %d = %v, %v; want %v", event, got, err, want)
		}
	}
}

// everything is what the memtables have, in the order of a run.
func everything(t *rapid.T, q query, mems []*memtable) (want []entry) {
	for _, m := range mems {
		some, err := m.entries(q)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, some...)
	}
	slices.SortFunc(want, func(a, b entry) int { return streamRow{0, a}.compare(streamRow{0, b}) })
	return want
}

// comparePages asks for a part of the entries, in both directions.
func comparePages(t *rapid.T, r *run, q query, all []entry) {
	t.Helper()
	q.all, q.limit = false, rapid.IntRange(1, 300).Draw(t, "limit")
	q.from = rapid.Uint64Range(0, 400).Draw(t, "from")
	want := q.cut(slices.DeleteFunc(slices.Clone(all), func(e entry) bool { return e.revision < q.from }))
	if got, err := r.entries(q); err != nil || !slices.Equal(got, want) {
		t.Fatalf("entries of %+v = %v, %v; want %v", q, got, err, want)
	}
	q.backwards = true
	want = slices.DeleteFunc(slices.Clone(all), func(e entry) bool { return e.revision > q.from })
	slices.Reverse(want)
	if got, err := r.entries(q); err != nil || !slices.Equal(got, q.cut(want)) {
		t.Fatalf("entries of %+v = %v, %v; want %v", q, got, err, q.cut(want))
	}
}

// TestRunNoticesFlippedBits flips bits in every page: what cannot be trusted is an error, never another answer.
func TestRunNoticesFlippedBits(t *testing.T) {
	s := runStore()
	m := newMemtable(1)
	for i := range 2000 {
		m.add(indexed{uint32(i), uint32(i + 1), uint64(i%50) << 50, uint64(i) << 40, uint64(i / 50)})
	}
	good, err := s.writeIndex(m)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(good.bytes); at += 509 {
		flip(t, s, good.name(), at)
		if !noticed(s, good) {
			t.Errorf("a flipped bit in byte %d was not noticed", at)
		}
		flip(t, s, good.name(), at)
	}
	if noticed(s, good) {
		t.Error("the run is bad although all bits are as they were")
	}
}

func flip(t *testing.T, s *Store, name string, at int) {
	t.Helper()
	if err := s.sys.(*faultfs.FS).FlipBit(name, int64(at)*8+int64(at%8)); err != nil {
		t.Fatal(err)
	}
}

func noticed(s *Store, good *run) bool {
	r, err := openRun(s.sys, good.first, good.last)
	if err != nil {
		return true
	}
	var bad *badRunError
	return errors.As(r.verify(func(int) error { return nil }), &bad)
}
