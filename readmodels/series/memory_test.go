package series_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels/series"
)

// What is read in TestReadingsAreBounded, 40 to 50 MB each time, and what it may take.
const (
	heavyRows  = 48
	heavyValue = 1 << 20
	heavyBound = 32 << 20
)

// TestReadingsAreBounded reads much that lies at the same times, or is the last of its series: what is held at once must be
// far less than what is read.
func TestReadingsAreBounded(t *testing.T) {
	const start = int64(1_700_000_000_000)
	large := noise(heavyValue)
	events := func(n int, event func(i int) observation.Recorded) (all []domain.Recorded) {
		for i := range n {
			e := event(i)
			e.Subject = "U1"
			all = append(all, domain.Recorded{Position: at(uint64(i) + 1), Event: e})
		}
		return all
	}
	of := func(channel, name string) observation.Recorded {
		return observation.Recorded{Channel: channel, Items: []observation.Item{
			item(start, name, `1`), item(start+1000, name, large), item(start+2000, name, `2`)}}
	}
	batch := observation.Recorded{Channel: channel, Items: slices.Repeat([]observation.Item{item(start, "a", strings.Repeat("x", 20<<10))}, 1800)}
	names := make([]string, heavyRows)
	for i := range names {
		names[i] = fmt.Sprintf("s%02d", i)
	}
	var (
		between  = events(heavyRows, func(int) observation.Recorded { return of(channel, "a") })
		inSeries = events(heavyRows, func(i int) observation.Recorded { return of(channel, names[i]) })
		inOthers = events(heavyRows, func(i int) observation.Recorded { return of(names[i], "a") })
		lasts    = events(heavyRows, func(i int) observation.Recorded {
			return observation.Recorded{Channel: channel, Items: []observation.Item{item(start+int64(i), names[i], large)}}
		})
		sameTime = events(1, func(int) observation.Recorded { return batch })
		all      = series.Choice{Subject: "U1"}
	)
	merged := func(c series.Choice) func(*series.Store) iter.Seq2[series.Sample, error] {
		return func(s *series.Store) iter.Seq2[series.Sample, error] { return s.Merged(context.Background(), c) }
	}
	for _, tt := range []struct {
		name   string
		events []domain.Recorded
		read   func(*series.Store) iter.Seq2[series.Sample, error]
		want   int
	}{
		{"large samples between small ones", between, merged(all), 3 * heavyRows},
		{"newest first", between, func(s *series.Store) iter.Seq2[series.Sample, error] {
			return s.Each(context.Background(), series.Query{Subject: "U1", Channel: channel})
		}, 3 * heavyRows},
		{"many channels", inOthers, merged(all), 3 * heavyRows},
		{"many names", inSeries, merged(series.Choice{Subject: "U1", Series: names}), 3 * heavyRows},
		{"the latest of each series", lasts, func(s *series.Store) iter.Seq2[series.Sample, error] {
			return s.Latest(context.Background(), series.Newest{Subject: "U1"})
		}, heavyRows},
		{"a batch of one time", sameTime, merged(all), 1800},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := filled(t, tt.events)
			var last *series.Sample
			n, most := peak(t, func(yield func(series.Sample, error) bool) {
				for sample, err := range tt.read(s) {
					if err == nil && last != nil && series.Compare(*last, sample) == 0 {
						err = fmt.Errorf("%s comes twice", show([]series.Sample{sample}))
					}
					kept := sample
					kept.Value, last = nil, &kept
					if !yield(sample, err) {
						return
					}
				}
			})
			if n != tt.want || most > heavyBound {
				t.Errorf("%d samples took %d MiB, want %d and at most %d", n, most>>20, tt.want, heavyBound>>20)
			}
		})
	}
	t.Run("the last of windows", func(t *testing.T) {
		s := filled(t, inSeries)
		n, most := peak(t, series.Folding{Width: 1500}.Windows(s.Merged(context.Background(), all)))
		if n != 2*heavyRows || most > heavyBound {
			t.Errorf("%d windows took %d MiB, want %d and at most %d", n, most>>20, 2*heavyRows, heavyBound>>20)
		}
	})
}

// noise is a text that cannot be compressed.
func noise(n int) string {
	text := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(text)
	return string(text)
}

// filled is a store of events, one in a transaction.
func filled(t *testing.T, events []domain.Recorded) *series.Store {
	w := newWorld(t)
	t.Cleanup(w.remove)
	for _, e := range events {
		w.must(t, e)
	}
	return w.store
}

// peak goes through rows, and measures how much more memory is in use meanwhile than before.
func peak[T any](t *testing.T, rows iter.Seq2[T, error]) (n int, most uint64) {
	debug.FreeOSMemory()
	before := inUse()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(int64(before + heavyBound/4))) // what can be collected is
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	done, measured := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		for {
			select {
			case <-done:
				measured <- most
				return
			case <-time.After(time.Millisecond):
				most = max(most, inUse())
			}
		}
	}()
	for row, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		if n++; inUse() > before+heavyBound/2 {
			runtime.GC()
		}
		runtime.KeepAlive(row)
	}
	close(done)
	most = <-measured
	return n, most - min(most, before)
}

// inUse is the memory that the program has and uses, as a limit to it is understood.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
