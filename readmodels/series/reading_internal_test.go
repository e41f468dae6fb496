package series

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/readmodels"
)

// TestAPageIsTheSameHoweverLittleIsHeld gives chunks that seem so large that what cannot come into the page is dropped all the
// time.
func TestAPageIsTheSameHoweverLittleIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room, size := rapid.IntRange(1, 40).Draw(t, "room"), rapid.IntRange(1, 4000).Draw(t, "size")
		open := &opened{ascending: rapid.Bool().Draw(t, "ascending"), room: room, size: size}
		var all []entry
		for range rapid.IntRange(0, 20).Draw(t, "chunks") {
			var chunk []entry
			for range rapid.IntRange(1, 20).Draw(t, "samples") {
				e := entry{time: rapid.Int64Range(0, 50).Draw(t, "time"), position: domain.Position{Commit: uint64(len(all) + len(chunk))}}
				e.value = slices.Repeat([]byte{byte(e.position.Commit)}, rapid.IntRange(0, 100).Draw(t, "length"))
				chunk = append(chunk, e)
			}
			all = append(all, chunk...)
			slices.SortFunc(chunk, open.order)
			chunk = slices.DeleteFunc(slices.Clone(chunk), func(e entry) bool { return open.beyond(&e) })
			open.hold(chunk, rapid.SampledFrom([]int{0, openSize / 3, openSize + 1}).Draw(t, "held"))
		}
		slices.SortFunc(all, open.order)
		for i := 0; !open.full() && open.front() != nil; i++ {
			if i == room/2 {
				open.shrink()
			}
			open.take()
		}
		n := 0
		for ; n < min(len(all), room) && size > 0; n++ {
			size -= all[n].size()
		}
		if !slices.EqualFunc(open.page, all[:n], func(a, b entry) bool { return compare(&a, &b) == 0 && string(a.value) == string(b.value) }) {
			t.Fatalf("a page of %d\n%v\nwant %d\n%v", len(open.page), open.page, n, all[:n])
		}
	})
}

// order is that of reading.
func (o *opened) order(a, b entry) int {
	if o.ascending {
		return compare(&a, &b)
	}
	return compare(&b, &a)
}

// TestLargeSamplesBesideSmallOnesInAChunk are in files of before, and come as they should.
func TestLargeSamplesBesideSmallOnesInAChunk(t *testing.T) {
	db, err := readmodels.Open(t.TempDir(), Schema, "g")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const channels, each = 3, 4
	large := make([]byte, 600<<10)
	rand.NewChaCha8([32]byte{}).Read(large)
	w := NewWriter()
	err = db.Update(t.Context(), domain.Position{Commit: 99, Prepare: 99}, func(tx *readmodels.Tx) error {
		for n := range channels * each {
			s, err := w.stream(tx, streamName{"U1", fmt.Sprint("c", n%channels)})
			if err != nil {
				return err
			}
			id, err := w.series(tx, s, "a")
			if err != nil {
				return err
			}
			var entries []entry
			for i := range 5 {
				p := uint64(n + 1)
				e := entry{time: int64(i), position: domain.Position{Commit: p, Prepare: p}, index: i, value: []byte(fmt.Sprint(i))}
				if i%2 == 1 {
					e.value = large
				}
				entries = append(entries, e)
			}
			if _, err := w.insertChunk(tx, place{s.id, id, 0}, entries, measure(entries).size, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var last *Sample
	n := 0
	for s, err := range NewStore(db).Merged(t.Context(), Choice{Subject: "U1"}) {
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && Compare(*last, s) >= 0 || (*s.Time%2 == 1) != (len(s.Value) == len(large)) {
			t.Errorf("sample %d is %d of %s with %d bytes", n, *s.Time, s.Position, len(s.Value))
		}
		last, n = &s, n+1
	}
	if n != 5*channels*each {
		t.Errorf("%d samples, want %d", n, 5*channels*each)
	}
}
