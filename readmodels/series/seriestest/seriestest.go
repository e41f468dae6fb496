// Package seriestest says what a store of samples must answer, whatever it keeps them in: what a plain list does.
package seriestest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels/series"
)

// Store is what the doors ask.
type Store interface {
	Checkpoint() domain.Position
	Each(ctx context.Context, q series.Query) iter.Seq2[series.Sample, error]
	Merged(ctx context.Context, c series.Choice) iter.Seq2[series.Sample, error]
	Latest(ctx context.Context, n series.Newest) iter.Seq2[series.Sample, error]
}

// World is a store with what writes to it.
type World interface {
	// Apply applies events together.
	Apply(t testing.TB, events []domain.Recorded)
	// Fail begins to apply events, but does not get to the end: they come again.
	Fail(t testing.TB, events []domain.Recorded)
	// Restart forgets all that is in memory only.
	Restart(t testing.TB)
	// Store is what serves at present.
	Store() Store
	// Dump is all that there is.
	Dump(t testing.TB) string
}

// Run holds a store to it. Open makes an empty one, which ends with the test. Rounds is how many random histories of it
// are tried.
func Run(t *testing.T, rounds int, open func(t testing.TB) World) {
	part := func(name string, hold func(*testing.T, World)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hold(t, open(t))
		})
	}
	part("Edges", edges)
	part("EqualTimes", equalTimes)
	part("Retraction", retraction)
	part("Paging", paging)
	part("Hostile", hostile)
	part("Large", large)
	part("Windows", windows)
	for seed := range rounds {
		part(fmt.Sprint("History", seed), func(t *testing.T, w World) { history(t, uint64(seed), w) })
	}
}

const channel = observation.LAMPSensor

func at(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }

func ptr(n int64) *int64 { return &n }

// Recorded is an upload of subject U1.
func recorded(position uint64, items ...observation.Item) domain.Recorded {
	return domain.Recorded{Position: at(position), Event: observation.Recorded{Subject: "U1", Channel: channel, Items: items}}
}

func item(ms int64, name, value string) observation.Item {
	return observation.Item{Time: ptr(ms), Series: name, Value: []byte(value)}
}

func read(t testing.TB, s Store, q series.Query) []series.Sample {
	t.Helper()
	return collect(t, s.Each(t.Context(), q))
}

func collect(t testing.TB, samples iter.Seq2[series.Sample, error]) (all []series.Sample) {
	t.Helper()
	for s, err := range samples {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// Show writes samples so that a difference can be read.
func show(samples []series.Sample) string {
	var b bytes.Buffer
	for _, s := range samples {
		if s.Time == nil {
			b.WriteString("null")
		} else {
			fmt.Fprint(&b, *s.Time)
		}
		value := string(s.Value)
		if len(value) > 40 {
			value = fmt.Sprintf("%s… (%d)", value[:40], len(value))
		}
		fmt.Fprintf(&b, " %s %q %s/%d %s\n", s.Channel, s.Series, s.Position, s.Index, value)
	}
	return b.String()
}

func values(samples []series.Sample) string {
	var all []string
	for _, s := range samples {
		all = append(all, string(s.Value))
	}
	return strings.Join(all, " ")
}

func edges(t *testing.T, w World) {
	const last = observation.MaxTime
	w.Apply(t, []domain.Recorded{
		recorded(1, item(5, "gps", `1`), item(5, "gps", `1`), item(last, "gps", `"max"`), item(-last, "gps", `"min"`)),
		recorded(2, observation.Item{Series: "gps", Value: []byte(`"null"`)}, item(5, `a "b"\`, `{"a":"\u0000\\\"\n"}`), item(-1, "é ${r}%,=", `-0.0`)),
		recorded(3), // nothing
		recorded(4, item(4_102_444_800_000, "gps", `"late"`), item(4_102_444_799_999, "gps", `12345678901234567890.5e-3`), item(-2_208_988_800_001, "gps", `1e999`)),
	})
	tests := []struct {
		name string
		q    series.Query
		want string
	}{
		{"nobody", series.Query{Subject: "U2", Channel: channel}, ""},
		{"no such channel", series.Query{Subject: "U1", Channel: "other"}, ""},
		{"no such series", series.Query{Subject: "U1", Channel: channel, Series: "steps"}, ""},
		{"newest first", series.Query{Subject: "U1", Channel: channel}, `"max" "late" 12345678901234567890.5e-3 {"a":"\u0000\\\"\n"} 1 1 -0.0 1e999 "min" "null"`},
		{"oldest first", series.Query{Subject: "U1", Channel: channel, Ascending: true}, `"null" "min" 1e999 -0.0 1 1 {"a":"\u0000\\\"\n"} 12345678901234567890.5e-3 "late" "max"`},
		{"one series", series.Query{Subject: "U1", Channel: channel, Series: "gps", Limit: 2}, `"max" "late"`},
		{"a name of signs", series.Query{Subject: "U1", Channel: channel, Series: `a "b"\`}, `{"a":"\u0000\\\"\n"}`},
		{"another one", series.Query{Subject: "U1", Channel: channel, Series: "é ${r}%,="}, `-0.0`},
		{"a lower bound", series.Query{Subject: "U1", Channel: channel, From: ptr(-last), Ascending: true, Limit: 1}, `"min"`},
		{"an upper bound is exclusive", series.Query{Subject: "U1", Channel: channel, To: ptr(5), Limit: 1}, `-0.0`},
		{"nothing between", series.Query{Subject: "U1", Channel: channel, From: ptr(6), To: ptr(6)}, ""},
		{"bounds that cross", series.Query{Subject: "U1", Channel: channel, From: ptr(6), To: ptr(5)}, ""},
	}
	for _, restarted := range []bool{false, true} {
		for _, tt := range tests {
			if got := values(read(t, w.Store(), tt.q)); got != tt.want {
				t.Errorf("%s (restarted: %t): %s, want %s", tt.name, restarted, got, tt.want)
			}
		}
		w.Restart(t)
	}
}

// equalTimes has many samples at one time, in one event, in several, and written again.
func equalTimes(t *testing.T, w World) {
	var events []domain.Recorded
	var m model
	for e := range 12 {
		var items []observation.Item
		for i := range 1000 {
			items = append(items, item(1_700_000_000_000, fmt.Sprint("s", i%3), fmt.Sprint(e*1000+i)))
		}
		events = append(events, recorded(uint64(10+e), items...))
	}
	for i, e := range events {
		m.apply(e)
		if i%4 == 0 {
			w.Fail(t, events[i:min(i+3, len(events))])
			w.Restart(t)
		}
		w.Apply(t, events[i:i+1])
	}
	for _, q := range []series.Query{
		{Subject: "U1", Channel: channel}, {Subject: "U1", Channel: channel, Ascending: true},
		{Subject: "U1", Channel: channel, Series: "s1", Limit: 2500}, {Subject: "U1", Channel: channel, Limit: 7000, Ascending: true},
	} {
		if got, want := read(t, w.Store(), q), m.read(q); show(got) != show(want) {
			t.Errorf("%+v: %d samples differ from the %d wanted", q, len(got), len(want))
		}
	}
}

func retraction(t *testing.T, w World) {
	steps := []domain.Recorded{
		recorded(1, item(10, "gps", `"early"`), item(20, "gps", `"end"`), item(15, "steps", `"other"`), observation.Item{Series: "gps", Value: []byte(`"null"`)}),
		{Position: at(2), Event: observation.Retracted{Subject: "U1", Channel: channel, Series: "gps", From: ptr(0), To: ptr(20)}},
		recorded(3, item(11, "gps", `"late"`)),
	}
	w.Fail(t, steps)
	w.Apply(t, steps)
	w.Restart(t)
	if got := values(read(t, w.Store(), series.Query{Subject: "U1", Channel: channel, Ascending: true})); got != `"null" "late" "other" "end"` {
		t.Errorf("after a retraction: %s", got)
	}
	w.Apply(t, []domain.Recorded{{Position: at(4), Event: observation.Retracted{Subject: "U1", Channel: channel}}})
	if got := values(read(t, w.Store(), series.Query{Subject: "U1", Channel: channel})); got != "" {
		t.Errorf("after a retraction of everything: %s", got)
	}
	w.Apply(t, []domain.Recorded{recorded(5, item(10, "gps", `"again"`), observation.Item{Series: "gps", Value: []byte(`"null"`)})})
	if got := values(read(t, w.Store(), series.Query{Subject: "U1", Channel: channel})); got != `"again" "null"` {
		t.Errorf("recorded after the retraction of everything: %s", got)
	}
}

// paging goes on from page to page while samples come, late ones too.
func paging(t *testing.T, w World) {
	var m model
	next := uint64(1)
	write := func(n int) {
		var events []domain.Recorded
		for range n {
			ms := int64(1_700_000_000_000 + next*61_000%3_000_000)
			e := recorded(next, item(ms, fmt.Sprint("s", next%4), fmt.Sprint(next)), item(ms, "s0", `"second"`))
			if next%3 == 0 {
				e.Event = observation.Recorded{Subject: "U1", Channel: "other", Items: e.Event.(observation.Recorded).Items}
			}
			events = append(events, e)
			m.apply(e)
			next++
		}
		w.Apply(t, events)
	}
	write(300)
	for _, c := range []series.Choice{{Subject: "U1"}, {Subject: "U1", Series: []string{"s0", "s3", "none"}}, {Subject: "U1", Channels: []string{"other"}, From: ptr(1_700_000_500_000)}} {
		c.Until = w.Store().Checkpoint()
		want := show(m.merged(c))
		var got []series.Sample
		for {
			page := 0
			for s, err := range w.Store().Merged(t.Context(), c) {
				if err != nil {
					t.Fatal(err)
				}
				mark := series.MarkOf(s)
				got, c.After = append(got, s), &mark
				if page++; page == 37 {
					break
				}
			}
			if page == 0 {
				break
			}
			write(3)
		}
		if show(got) != want {
			t.Errorf("%+v: pages hold %d samples, and differ from those in one piece", c, len(got))
		}
	}
}

// large has values of all sizes, up to several megabytes.
func large(t *testing.T, w World) {
	var items []observation.Item
	var want []string
	for i, size := range []int{1, 63_990, 64_000, 64_010, 300_000, 3_000_000, 2} {
		value := `"` + strings.Repeat("é", size/2) + `"`
		items, want = append(items, item(int64(1000+i), "blob", value)), append(want, value)
	}
	w.Apply(t, []domain.Recorded{recorded(1, items...)})
	if got := values(read(t, w.Store(), series.Query{Subject: "U1", Channel: channel, Ascending: true})); got != strings.Join(want, " ") {
		t.Errorf("large values have come back otherwise: %d bytes", len(got))
	}
	w.Apply(t, []domain.Recorded{recorded(2, items[5])})
	newest := series.Newest{Subject: "U1"}
	latest := collect(t, w.Store().Latest(t.Context(), newest))
	if len(latest) != 1 || string(latest[0].Value) != want[6] {
		t.Errorf("the latest of large values: %s", show(latest))
	}
	w.Apply(t, []domain.Recorded{recorded(3, item(2000, "blob", want[5]))})
	latest = collect(t, w.Store().Latest(t.Context(), newest))
	if len(latest) != 1 || string(latest[0].Value) != want[5] {
		t.Errorf("a large value that is the latest: %s", show(latest))
	}
	w.Apply(t, []domain.Recorded{recorded(4, item(1, "a", want[5]), item(1, "b", "2"), item(1, "c", want[4]), item(1, "d", want[5]))})
	for n, after := range []*series.Name{nil, {Channel: channel, Series: "a"}, {Channel: channel, Series: "b"}, {Channel: channel, Series: "bl"}, {Channel: channel, Series: "blob"}, {Channel: channel, Series: "c"}, {Channel: channel, Series: "d"}, {Channel: "z"}} {
		newest.After = after
		all := []string{want[5], "2", want[5], want[4], want[5]}
		if got, want := values(collect(t, w.Store().Latest(t.Context(), newest))), strings.Join(all[[]int{0, 1, 2, 2, 3, 4, 5, 5}[n]:], " "); got != want {
			t.Errorf("the latest after %v: %d bytes, want %d", after, len(got), len(want))
		}
	}
}

func windows(t *testing.T, w World) {
	w.Apply(t, []domain.Recorded{recorded(1, item(-1, "a", `2`), item(0, "a", `4`), item(9, "a", `"no"`), item(9, "b", `1e16`), item(8, "b", `1`), item(7, "b", `-1e16`), item(25, "a", `{"x":3}`))})
	var got []string
	for f, err := range (series.Folding{Width: 10}).Windows(w.Store().Merged(t.Context(), series.Choice{Subject: "U1"})) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("[%d,%d) %s %d/%d %v..%v %v %s", f.Start, f.End, f.Series, f.Count, f.Numbers, f.Min, f.Max, f.Mean, f.Last))
	}
	want := []string{"[-10,0) a 1/1 2..2 2 2", `[0,10) a 2/1 4..4 4 "no"`, "[0,10) b 3/3 -1e+16..1e+16 0.3333333333333333 1e16", `[20,30) a 1/0 0..0 0 {"x":3}`}
	if !slices.Equal(got, want) {
		t.Errorf("windows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
