package series

import (
	"bytes"
	"cmp"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"strandline/domain"
)

var anyEntry = rapid.Custom(func(t *rapid.T) entry {
	e := entry{
		timeless: rapid.Bool().Draw(t, "timeless"),
		series:   rapid.SampledFrom([]int64{0, 1, math.MaxInt64}).Draw(t, "series"),
		position: anyPosition.Draw(t, "position"),
		index:    rapid.SampledFrom([]int{0, 1, 1500, math.MaxInt}).Draw(t, "index"),
		value:    []byte(rapid.SampledFrom([]string{"", "1", `{"x":"é"}`, strings.Repeat("x", 3000)}).Draw(t, "value")),
	}
	if !e.timeless {
		e.time = rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 1000)).Draw(t, "time")
	}
	return e
})

var anyPosition = rapid.Custom(func(t *rapid.T) domain.Position {
	numbers := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300))
	p := domain.Position{Commit: numbers.Draw(t, "commit")}
	p.Prepare = p.Commit
	if rapid.Bool().Draw(t, "pair") {
		p.Prepare = numbers.Draw(t, "prepare")
	}
	return p
})

func TestBlocksComeBackAsTheyWere(t *testing.T) {
	b := newBlocks()
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOf(anyEntry).Draw(t, "entries")
		block := b.encode([]byte("before"), entries, rapid.Bool().Draw(t, "compress"))[len("before"):]
		got, err := b.decode(nil, block)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i].value = append([]byte{}, got[i].value...)
		}
		if len(got) != len(entries) || len(got) > 0 && !reflect.DeepEqual(got, entries) {
			t.Fatalf("decode = %+v, want %+v", got, entries)
		}
	})
}

func TestBytesOfPositionsAreOrderedAsPositionsAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := anyPosition.Draw(t, "p"), anyPosition.Draw(t, "q")
		a, b := appendPosition(nil, p), appendPosition(nil, q)
		if bytes.Compare(a, b) != p.Compare(q) {
			t.Fatalf("%v and %v are written as %x and %x", p, q, a, b)
		}
		if got, err := readPosition(a); err != nil || got != p {
			t.Fatalf("readPosition(%x) = %v, %v; want %v", a, got, err, p)
		}
	})
}

func TestChunksAreCutWhenTheyAreFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 2*fullSize)), 1, 300).Draw(t, "lengths")
		entries := make([]entry, len(lengths))
		for i := range entries {
			entries[i].value = make([]byte, lengths[i])
		}
		for len(entries) > 0 {
			n, size := cut(entries)
			if n == 0 || size != measure(entries[:n]).size {
				t.Fatalf("cut = %d of size %d, measured %d", n, size, measure(entries[:n]).size)
			}
			large := 0
			for large < len(entries) && entries[large].size() < fullSize {
				large++
			}
			some := entries[:max(1, large)]
			full := 1
			for full < len(some) && measure(some[:full]).size < fullSize {
				full++
			}
			rest := measure(some[full:]).size
			if n != full && !(n == len(some) && rest < fullSize/2) {
				t.Fatalf("cut %d of %d, which are full at %d and leave %d", n, len(some), full, rest)
			}
			entries = entries[n:]
		}
	})
}

func TestClassesOfSize(t *testing.T) {
	for _, tt := range []struct{ size, class int }{
		{64, 0}, {1<<10 - 1, 0}, {1 << 10, 1}, {8<<10 - 1, 1}, {8 << 10, 2}, {64<<10 - 1, 2}, {64 << 10, 3}, {64 << 20, 3},
	} {
		if got := classOf(tt.size); got != tt.class {
			t.Errorf("classOf(%d) = %d, want %d", tt.size, got, tt.class)
		}
	}
}

func TestDays(t *testing.T) {
	for _, time := range []int64{math.MinInt64, -bucketLength - 1, -bucketLength, -1, 0, 1, bucketLength - 1, bucketLength, math.MaxInt64} {
		start, end := startOfDay(time), endOfDay(time)
		if start > time || end < time {
			t.Errorf("day of %d is from %d to %d", time, start, end)
		}
		e := entry{time: time}
		for _, other := range []int64{start, end} {
			if o := (entry{time: other}); o.bucket() != e.bucket() {
				t.Errorf("%d is not in the day of %d", other, time)
			}
		}
		if start > math.MinInt64 {
			if o := (entry{time: start - 1}); cmp.Compare(o.bucket(), e.bucket()) >= 0 {
				t.Errorf("%d is not before the day of %d", start-1, time)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	b := newBlocks()
	b.decoder, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<20)) // a small frame can hold very much
	entries := []entry{
		{time: 5, series: 1, position: domain.Position{Commit: 9, Prepare: 9}, value: []byte(`{"x":1}`)},
		{timeless: true, series: 2, position: domain.Position{Commit: 10, Prepare: 8}, index: 3, value: []byte(strings.Repeat("a", 500))},
	}
	f.Add(b.encode(nil, entries, false))
	f.Add(b.encode(nil, entries, true))
	f.Add(b.encode(nil, entries[:1], false))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, block []byte) {
		got, err := b.decode(nil, block)
		if err != nil {
			return
		}
		again, err := b.decode(nil, b.encode(nil, got, true))
		if err != nil || len(again) != len(got) || len(got) > 0 && !reflect.DeepEqual(again, got) {
			t.Errorf("decode = %+v; written and read again %+v, %v", got, again, err)
		}
	})
}
