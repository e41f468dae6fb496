package series_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels/series"
)

func sampleAt(time int64, name, value string) series.Sample {
	return series.Sample{Time: &time, Channel: "c", Series: name, Value: json.RawMessage(value)}
}

func each(samples []series.Sample) iter.Seq2[series.Sample, error] {
	return func(yield func(series.Sample, error) bool) {
		for _, s := range samples {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func fold(t tb, f series.Folding, samples []series.Sample) (all []series.Window) {
	t.Helper()
	for w, err := range f.Windows(each(samples)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

func TestWindows(t *testing.T) {
	timeless := sampleAt(0, "a", `1`)
	timeless.Time = nil
	for _, tt := range []struct {
		name    string
		f       series.Folding
		samples []series.Sample
		want    string
	}{
		{"nothing", series.Folding{Width: 10}, nil, ""},
		{"a start is in, an end is not", series.Folding{Width: 10}, []series.Sample{sampleAt(0, "a", `1`), sampleAt(9, "a", `2`), sampleAt(10, "a", `5`)},
			"[0,10) a 2/2 1..2 1.5 2; [10,20) a 1/1 5..5 5 5"},
		{"before 1970, with a gap", series.Folding{Width: 10}, []series.Sample{sampleAt(-11, "a", `1`), sampleAt(-1, "a", `2`), sampleAt(25, "a", `-3`)},
			"[-20,-10) a 1/1 1..1 1 1; [-10,0) a 1/1 2..2 2 2; [20,30) a 1/1 -3..-3 -3 -3"},
		{"series apart", series.Folding{Width: 10}, []series.Sample{sampleAt(1, "b", `1`), sampleAt(2, "a", `2`), sampleAt(3, "b", `3`)},
			"[0,10) a 1/1 2..2 2 2; [0,10) b 2/2 1..3 2 3"},
		{"of objects the member value is the number", series.Folding{Width: 10}, []series.Sample{sampleAt(1, "a", `{"unit":"bpm","value":52}`), sampleAt(2, "a", `{"value":"x"}`), sampleAt(3, "a", `{"value":48}`)},
			`[0,10) a 3/2 48..52 50 {"value":48}`},
		{"what is no number counts", series.Folding{Width: 10}, []series.Sample{sampleAt(1, "a", `4`), sampleAt(2, "a", `"5"`), sampleAt(3, "a", `null`), sampleAt(4, "a", `1e999`), sampleAt(5, "a", `{}`)},
			"[0,10) a 5/1 4..4 4 {}"},
		{"no numbers at all", series.Folding{Width: 10}, []series.Sample{sampleAt(1, "a", `true`)}, "[0,10) a 1/0 0..0 0 true"},
		{"without a time", series.Folding{Width: 10}, []series.Sample{timeless, sampleAt(1, "a", `2`)}, "[0,10) a 1/1 2..2 2 2"},
		{"a member", series.Folding{Width: 10, Field: "x"}, []series.Sample{sampleAt(1, "a", `{"x":1,"y":9}`), sampleAt(2, "a", `{"y":9}`), sampleAt(3, "a", `{"x":"no"}`), sampleAt(4, "a", `7`)},
			`[0,10) a 2/1 1..1 1 "no"`},
		{"a member of a member", series.Folding{Width: 10, Field: "s.v"}, []series.Sample{sampleAt(1, "a", `{"s":{"v":3}}`), sampleAt(2, "a", `{"s":[3]}`), sampleAt(2, "a", `{"s.v":8}`)},
			"[0,10) a 1/1 3..3 3 3"},
		{"the ends of time", series.Folding{Width: 1000}, []series.Sample{sampleAt(math.MinInt64, "a", `1`), sampleAt(math.MaxInt64, "a", `2`)},
			"[-9223372036854775808,-9223372036854775000) a 1/1 1..1 1 1; [9223372036854775000,9223372036854775807) a 1/1 2..2 2 2"},
	} {
		var got []string
		for _, w := range fold(t, tt.f, tt.samples) {
			got = append(got, fmt.Sprintf("[%d,%d) %s %d/%d %v..%v %v %s", w.Start, w.End, w.Series, w.Count, w.Numbers, w.Min, w.Max, w.Mean, w.Last))
		}
		if text := strings.Join(got, "; "); text != tt.want {
			t.Errorf("%s: %s\nwant %s", tt.name, text, tt.want)
		}
	}
}

func TestWindowsEndWithAnError(t *testing.T) {
	broken, n := errors.New("broken"), 0
	for _, err := range (series.Folding{Width: 10}).Windows(func(yield func(series.Sample, error) bool) {
		_ = yield(sampleAt(1, "a", `1`), nil) && yield(series.Sample{}, broken)
	}) {
		if n++; !errors.Is(err, broken) {
			t.Errorf("yielded %v, want only the error", err)
		}
	}
	if n != 1 {
		t.Errorf("yielded %d times, want once", n)
	}
}

// number draws numbers of all sizes, those that cancel out among them.
func number(t *rapid.T) float64 {
	switch rapid.IntRange(0, 4).Draw(t, "kind of number") {
	case 0:
		return rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "any")
	case 1:
		return rapid.SampledFrom([]float64{1e308, -1e308, 1e16, -1e16, 0.1, 1, 5e-324, 0x1p960, -0x1p960}).Draw(t, "notable")
	}
	return float64(rapid.IntRange(-10_000, 10_000).Draw(t, "hundredths")) / 100
}

// exact is the mean of numbers, calculated with all their digits.
func exact(numbers []float64) *big.Float {
	sum := new(big.Float).SetPrec(3000)
	for _, n := range numbers {
		sum.Add(sum, new(big.Float).SetPrec(3000).SetFloat64(n))
	}
	return sum.Quo(sum, new(big.Float).SetPrec(3000).SetInt64(int64(len(numbers))))
}

// TestWindowsAreThoseOfANaiveFold compares windows with what lists and numbers of 3,000 bits say.
func TestWindowsAreThoseOfANaiveFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.Int64Range(1, 5000).Draw(t, "width")
		var samples []series.Sample
		values := map[string][]float64{} // by window and series
		last := map[string]string{}
		time := rapid.Int64Range(-10_000, 10_000).Draw(t, "begin")
		for range rapid.IntRange(0, 60).Draw(t, "samples") {
			time += rapid.Int64Range(0, 1500).Draw(t, "step")
			name, n := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "series"), number(t)
			text, _ := json.Marshal(n)
			samples = append(samples, sampleAt(time, name, string(text)))
			start := int64(math.Floor(float64(time)/float64(width))) * width
			key := fmt.Sprint(start, " ", name)
			values[key], last[key] = append(values[key], n), string(text)
		}
		all := fold(t, series.Folding{Width: width}, samples)
		if len(all) != len(values) {
			t.Fatalf("%d windows, want %d", len(all), len(values))
		}
		for _, w := range all {
			key := fmt.Sprint(w.Start, " ", w.Series)
			in := values[key]
			if w.Count != len(in) || w.Min != slices.Min(in) || w.Max != slices.Max(in) || string(w.Last) != last[key] || w.End-w.Start != width {
				t.Fatalf("window %+v, of %v", w, in)
			}
			want := exact(in)
			off, _ := new(big.Float).Sub(want, new(big.Float).SetFloat64(w.Mean)).Float64()
			near, _ := want.Float64()
			if math.Abs(off) > 2*(math.Nextafter(math.Abs(near), math.MaxFloat64)-math.Abs(near)) {
				t.Fatalf("mean of %v is %v, off by %v", in, w.Mean, off)
			}
		}
	})
}

// TestMeansDoNotDependOnOrder adds what a running sum would lose.
func TestMeansDoNotDependOnOrder(t *testing.T) {
	for _, values := range [][]string{{`1e16`, `1`, `-1e16`, `1`}, {`1`, `1`, `1e16`, `-1e16`}, {`-1e16`, `1e16`, `1`, `1`}} {
		var samples []series.Sample
		for i, v := range values {
			samples = append(samples, sampleAt(int64(i), "a", v))
		}
		if w := fold(t, series.Folding{Width: 10}, samples); w[0].Mean != 0.5 {
			t.Errorf("mean of %v is %v, want 0.5", values, w[0].Mean)
		}
	}
}

func BenchmarkWindows(b *testing.B) {
	var samples []series.Sample
	for i := range 100_000 {
		samples = append(samples, sampleAt(int64(i)*200, "a", fmt.Sprintf("%.4f", 9+float64(i%977)/1000)))
	}
	for b.Loop() {
		fold(b, series.Folding{Width: 60_000}, samples)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(samples)), "ns/sample")
}

// TestLargeLastValuesAreReadAnew keeps small last values and some large ones; the others are read when they are asked for.
func TestLargeLastValuesAreReadAnew(t *testing.T) {
	w := newWorld(t)
	defer w.remove()
	const n = 7
	large := strings.Repeat("x", 1<<20)
	var items []observation.Item
	for i := range n {
		name := fmt.Sprint("s", i)
		items = append(items, item(math.MaxInt64, name, `{"x":"`+large+`"}`), item(math.MaxInt64, name, `{"y":1}`), item(5, name, `{"x":1}`))
	}
	w.must(t, recorded(1, items...))
	f := series.Folding{Width: 1000, Field: "x"}
	var missing []series.Window
	for window, err := range f.Windows(w.store.Merged(t.Context(), series.Choice{Subject: "U1"})) {
		if err != nil {
			t.Fatal(err)
		}
		want := `"` + large + `"`
		if window.Start == 0 {
			want = "1"
		}
		if got, err := f.Last(t.Context(), w.store, "U1", window); err != nil || string(got) != want {
			t.Fatalf("the last of %s at %d has %d bytes, %v; want %d", window.Series, window.Start, len(got), err, len(want))
		}
		if window.Last == nil {
			missing = append(missing, window)
		}
	}
	if len(missing) == 0 || len(missing) == n {
		t.Fatalf("%d of %d large values were not kept", len(missing), n)
	}
	w.must(t, domain.Recorded{Position: at(2), Event: observation.Retracted{Subject: "U1", Channel: channel}})
	if got, err := f.Last(t.Context(), w.store, "U1", missing[0]); err != nil || string(got) != "null" {
		t.Errorf("after a retraction the last is %.20s, %v", got, err)
	}
}
