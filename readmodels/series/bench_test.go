package series_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/codec"
	"strandline/domain/observation"
	"strandline/readmodels"
	"strandline/readmodels/series"
)

// Shape of the load: participants who send single samples or batches in turn, of so many sensors each.
const (
	participants = 100
	sensors      = 10
	perTx        = 4096 // events in a transaction of a rebuild: what projections take at once
	batchesPerTx = 800  // of 100 samples: 4 MiB of them
)

// load makes events one after the other: number n is of participant n mod 100.
type load struct {
	random *rand.Rand
	late   float64 // share of samples that are up to four weeks late
	batch  int     // samples in an event
	start  int64
}

func newLoad(batch int, late float64) *load {
	return &load{rand.New(rand.NewPCG(1, 2)), late, batch, 1_700_000_000_000}
}

func (l *load) event(n int) domain.Recorded {
	sensor := "lamp.sensor." + strconv.Itoa(n/participants%sensors)
	items := make([]observation.Item, l.batch)
	for i := range items {
		items[i] = observation.Item{Time: ptr(l.time(n*l.batch + i)), Series: sensor, Value: l.value()}
	}
	return domain.Recorded{Position: at(uint64(n) + 1), Event: observation.Recorded{
		Subject: "U" + strconv.Itoa(1_000_000_000+n%participants), Channel: observation.LAMPSensor, Items: items}}
}

// time of the i-th sample: two a second on the whole.
func (l *load) time(i int) int64 {
	time := l.start + int64(i)*500
	if l.late > 0 && l.random.Float64() < l.late {
		time -= l.random.Int64N(28 * day)
	}
	return time
}

func (l *load) value() json.RawMessage {
	return fmt.Appendf(nil, `{"x":%.4f,"y":%.4f,"z":%.4f}`, l.random.Float64(), l.random.Float64(), 9+l.random.Float64())
}

// events makes all events from one number up to another.
func (l *load) events(from, to int) []domain.Recorded {
	all := make([]domain.Recorded, 0, to-from)
	for n := from; n < to; n++ {
		all = append(all, l.event(n))
	}
	return all
}

// million is 10⁶, or less in a short run: STRANDLINE_DRILL=long asks for the full size.
func million() int {
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		return 1_000_000
	}
	return 100_000
}

// fill writes n events in large transactions and returns the time that the writing took.
func (w *world) fill(b *testing.B, l *load, n int) (took time.Duration) {
	for done := 0; done < n; {
		events := l.events(done, min(done+perTx, n))
		start := time.Now()
		if err := w.apply(events); err != nil {
			b.Fatal(err)
		}
		took += time.Since(start)
		done += len(events)
	}
	return took
}

// insertRows is the baseline of a rebuild: one row for each sample, in bulk, into the same tables and indexes.
func (w *world) insertRows(b *testing.B, events []domain.Recorded) {
	err := w.db.Update(context.Background(), events[len(events)-1].Position, func(tx *readmodels.Tx) error {
		for n, r := range events {
			e := r.Event.(observation.Recorded)
			for _, item := range e.Items {
				position := binary.BigEndian.AppendUint64(nil, r.Position.Commit)
				err := tx.Exec(`INSERT INTO chunk (stream, series, bucket, class, oldest, oldest_at, newest, newest_at, block)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, n%participants, n%(participants*sensors), *item.Time/day, 0,
					*item.Time, position, *item.Time, position, []byte(item.Value))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRebuildSingle compares a rebuild from single-sample events with inserting a row for each, in turns.
func BenchmarkRebuildSingle(b *testing.B) {
	for _, late := range []float64{0, 0.1} {
		b.Run(fmt.Sprintf("late=%v", late), func(b *testing.B) {
			for b.Loop() {
				store, rows := newWorld(b), newWorld(b)
				l, n := newLoad(1, late), million()
				var ours, theirs time.Duration
				for done := 0; done < n; done += perTx {
					events := l.events(done, min(done+perTx, n))
					start := time.Now()
					if err := store.apply(events); err != nil {
						b.Fatal(err)
					}
					ours += time.Since(start)
					start = time.Now()
					rows.insertRows(b, events)
					theirs += time.Since(start)
				}
				b.ReportMetric(float64(theirs)/float64(ours), "×rows")
				b.ReportMetric(float64(ours.Nanoseconds())/float64(n), "ns/sample")
				store.remove()
				rows.remove()
			}
		})
	}
}

// BenchmarkRebuildBatches compares a rebuild from batches of 100 with only decoding them, in turns.
func BenchmarkRebuildBatches(b *testing.B) {
	for b.Loop() {
		w, l, n := newWorld(b), newLoad(100, 0), million()/5
		var ours, decoding time.Duration
		for done := 0; done < n; {
			stored := encode(b, l.events(done, min(done+batchesPerTx, n)))
			start := time.Now()
			events := decode(b, stored, done)
			decoding += time.Since(start)
			if err := w.apply(events); err != nil {
				b.Fatal(err)
			}
			ours += time.Since(start)
			done += len(events)
		}
		b.ReportMetric(float64(decoding)/float64(ours), "×decoding")
		b.ReportMetric(float64(ours.Nanoseconds())/float64(n*100), "ns/sample")
		b.ReportMetric(float64(decoding.Nanoseconds())/float64(n*100), "ns-decoding/sample")
		w.remove()
	}
}

func encode(b *testing.B, events []domain.Recorded) (stored [][]byte) {
	for _, e := range events {
		_, _, data, err := codec.Marshal(e.Event)
		if err != nil {
			b.Fatal(err)
		}
		stored = append(stored, data)
	}
	return stored
}

func decode(b *testing.B, stored [][]byte, first int) (events []domain.Recorded) {
	for i, data := range stored {
		e, err := codec.Unmarshal("observation.recorded", 2, data)
		if err != nil {
			b.Fatal(err)
		}
		events = append(events, domain.Recorded{Position: at(uint64(first+i) + 1), Event: e})
	}
	return events
}

// BenchmarkNewest1000 reads the newest samples of one participant among many, over stores of two sizes, the larger of
// which got a tenth of its samples late. The last events came one by one, as they do in life.
func BenchmarkNewest1000(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
		late float64
	}{{"all", million(), 0}, {"10×,late", 10 * million(), 0.1}} {
		b.Run(size.name, func(b *testing.B) {
			w, l := newWorld(b), newLoad(1, size.late)
			defer w.remove()
			const live = 10_000
			w.fill(b, l, size.n-live)
			for _, e := range l.events(size.n-live, size.n) {
				if err := w.apply([]domain.Recorded{e}); err != nil {
					b.Fatal(err)
				}
			}
			var took []time.Duration
			for b.Loop() {
				q := series.Query{Subject: "U" + strconv.Itoa(1_000_000_000+len(took)%participants), Channel: observation.LAMPSensor, Limit: 1000}
				start := time.Now()
				if got := w.read(b, q); len(got) != 1000 {
					b.Fatal(len(got))
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(w.count(b, "SELECT count(*) FROM chunk")), "chunks")
			b.ReportMetric(float64(w.count(b, "SELECT page_count*4096/1024/1024 FROM pragma_page_count")), "MiB")
		})
	}
}

// BenchmarkLive applies single samples, each in a transaction of its own.
func BenchmarkLive(b *testing.B) {
	w, l := newWorld(b), newLoad(1, 0.1)
	defer w.remove()
	events := l.events(0, 100_000)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		e := events[n%len(events)]
		n++
		e.Position = at(uint64(n))
		if err := w.apply([]domain.Recorded{e}); err != nil {
			b.Fatal(err)
		}
	}
}
