package series_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels/series"
)

func (m model) merged(c series.Choice) (found []series.Sample) {
	for _, k := range m {
		switch {
		case k.subject != c.Subject, len(c.Channels) > 0 && !slices.Contains(c.Channels, k.channel),
			len(c.Series) > 0 && !slices.Contains(c.Series, k.Series), !within(k.Time, c.From, c.To),
			!c.Until.IsZero() && c.Until.Before(k.Position),
			c.After != nil && series.Compare(k.Sample, series.Sample{Time: c.After.Time, Position: c.After.Position, Index: c.After.Index}) <= 0:
			continue
		}
		found = append(found, k.Sample)
	}
	slices.SortFunc(found, series.Compare)
	return found
}

func (m model) latest(n series.Newest) (found []series.Sample) {
	last := map[[2]string]series.Sample{}
	for _, s := range m.merged(series.Choice{Subject: n.Subject, Channels: n.Channels, Series: n.Series}) {
		if n.After == nil || s.Channel > n.After.Channel || s.Channel == n.After.Channel && s.Series > n.After.Series {
			last[[2]string{s.Channel, s.Series}] = s
		}
	}
	for _, s := range last {
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b series.Sample) int {
		return strings.Compare(a.Channel+"\x00\x00"+a.Series, b.Channel+"\x00\x00"+b.Series)
	})
	return found
}

// choice draws what to ask for; after one of the samples that there are, at times.
func (s *scene) choice(m model) series.Choice {
	c := series.Choice{Subject: s.pick(append(subjects, "U3"), "subject"), From: s.bound("from"), To: s.bound("to")}
	c.Channels, c.Series = s.some([]string{"lamp.activity", "lamp.sensor", "none"}, "channels"), s.some(append(names, "none"), "series")
	if len(m) > 0 && rapid.Bool().Draw(s.t, "goes on") {
		mark := series.MarkOf(rapid.SampledFrom(m).Draw(s.t, "after").Sample)
		c.After = &mark
	}
	if len(m) > 0 && rapid.Bool().Draw(s.t, "ends early") {
		c.Until = rapid.SampledFrom(m).Draw(s.t, "until").Position
	}
	return c
}

// some draws a few of the given texts, often none.
func (s *scene) some(from []string, label string) (some []string) {
	for _, text := range from {
		if rapid.IntRange(0, 3).Draw(s.t, label) == 0 {
			some = append(some, text)
		}
	}
	return some
}

func (w *world) merged(t tb, c series.Choice) (found []series.Sample) {
	t.Helper()
	for s, err := range w.store.Merged(context.Background(), c) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, s)
	}
	return found
}

func (w *world) latest(t tb, n series.Newest) (found []series.Sample) {
	t.Helper()
	for s, err := range w.store.Latest(context.Background(), n) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, s)
	}
	return found
}

func showAll(samples []series.Sample) string {
	var b strings.Builder
	for _, s := range samples {
		b.WriteString(s.Channel + " " + show([]series.Sample{s}))
	}
	return b.String()
}

// TestMergedAndLatestAnswerAsAPlainListDoes compares both with a list, however the samples lie in the file.
func TestMergedAndLatestAnswerAsAPlainListDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, s, m := newWorld(t), &scene{t: t, clock: 1_700_000_000_000}, model{}
		defer w.remove()
		for range rapid.IntRange(1, 8).Draw(t, "transactions") {
			events := s.events()
			if err := w.apply(events); err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				m.apply(e)
			}
			c := s.choice(m)
			if got, want := showAll(w.merged(t, c)), showAll(m.merged(c)); got != want {
				t.Fatalf("Merged(%+v) =\n%s\nwant\n%s", c, got, want)
			}
			n := series.Newest{Subject: c.Subject, Channels: c.Channels, Series: c.Series}
			if rapid.Bool().Draw(t, "latest goes on") {
				n.After = &series.Name{Channel: s.pick(channels, "channel"), Series: s.pick(names, "series")}
			}
			if got, want := showAll(w.latest(t, n)), showAll(m.latest(n)); got != want {
				t.Fatalf("Latest(%+v) =\n%s\nwant\n%s", n, got, want)
			}
		}
	})
}

// TestMergedOfLargeSamples compares with a list where samples are so large that their turn has to come.
func TestMergedOfLargeSamples(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		w, m, random := newWorld(t), model{}, rand.New(rand.NewPCG(seed, 0))
		sizes := []int{1, 1, 1, 60_000, 70_000, 300_000, 900_000}
		for n := range uint64(30) {
			e := observation.Recorded{Subject: "U1", Channel: fmt.Sprint("c", random.IntN(3))}
			for range random.IntN(4) {
				e.Items = append(e.Items, item(random.Int64N(8), fmt.Sprint("s", random.IntN(5)), noise(sizes[random.IntN(len(sizes))])))
			}
			r := domain.Recorded{Position: at(n + 1), Event: e}
			m.apply(r)
			w.must(t, r)
		}
		all := []string{"s0", "s1", "s2", "s3", "s4", "none"}
		for _, c := range []series.Choice{{}, {Series: all}, {Series: all[:2]}, {Channels: []string{"c1"}}, {Series: all, From: ptr(2), To: ptr(6)}} {
			c.Subject = "U1"
			if got, want := showAll(w.merged(t, c)), showAll(m.merged(c)); got != want {
				t.Errorf("%d: Merged(%+v) =\n%q\nwant\n%q", seed, c, got, want)
			}
		}
		w.remove()
	}
}

// TestMergedStandsStillWhileOthersWrite goes on from page to page while samples come, late ones too.
func TestMergedStandsStillWhileOthersWrite(t *testing.T) {
	w, l := newWorld(t), newLoad(1, 0.3)
	defer w.remove()
	const before = 20_000
	w.must(t, l.events(0, before)...)
	c := series.Choice{Subject: "U1000000007", Until: w.store.Checkpoint()}
	want := showAll(w.merged(t, c))
	var got []series.Sample
	for n := before; ; n += 500 {
		page := 0
		for s, err := range w.store.Merged(t.Context(), c) {
			if err != nil {
				t.Fatal(err)
			}
			mark := series.MarkOf(s)
			got, c.After = append(got, s), &mark
			if page++; page == 17 {
				break
			}
		}
		if page == 0 {
			break
		}
		w.must(t, l.events(n, n+500)...)
	}
	if showAll(got) != want || len(got) != before/participants {
		t.Errorf("%d samples in pages differ from those in one piece", len(got))
	}
}

// BenchmarkLatest finds the latest samples of ten series among many.
func BenchmarkLatest(b *testing.B) {
	w, l := newWorld(b), newLoad(1, 0.1)
	defer w.remove()
	for done := 0; done < million(); done += perTx {
		if err := w.apply(l.events(done, done+perTx)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if got := w.latest(b, series.Newest{Subject: "U1000000007"}); len(got) != sensors {
			b.Fatal(len(got))
		}
	}
}

// BenchmarkMerged reads all samples of one subject.
func BenchmarkMerged(b *testing.B) {
	w, n := newWorld(b), 0
	defer w.remove()
	l := newLoad(100, 0)
	for done := 0; done < million()/10; done += perTx {
		if err := w.apply(l.events(done, done+perTx)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		for _, err := range w.store.Merged(b.Context(), series.Choice{Subject: "U1000000007"}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/sample")
}
