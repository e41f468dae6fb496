package series

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
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
