package projections_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/codec"
	"strandline/domain/observation"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/keys"
	"strandline/transport/zstd"
)

// events is how many events the benches rebuild from: a tenth of the figure that counts, unless the long form is asked
// for.
func events() int {
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		return 1_000_000
	}
	return 100_000
}

// world is a log on disk, sealed as in production.
type world struct {
	*embedded.Store
	codec   *codec.Codec
	keys    *keys.Store
	samples int
}

func (w *world) decode(ctx context.Context, r domain.Record) (domain.Recorded, error) {
	return w.codec.Decode(ctx, r, forwards{w.Store})
}

type forwards struct{ *embedded.Store }

func (f forwards) ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return f.Store.ReadStream(ctx, stream, from, limit, commands.Forwards)
}

// newWorld fills a log with n events of so many samples each, by a hundred participants, each event by a request of its
// own.
func newWorld(b *testing.B, n, samples int) *world {
	b.Helper()
	logDir, err := files.NewDisk(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	keyDir, err := files.NewDisk(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	k, err := keys.Open(keyDir, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	store, err := embedded.Open(logDir, embedded.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	z, err := zstd.New()
	if err != nil {
		b.Fatal(err)
	}
	w := &world{store, codec.New(k, k, z, z), k, n * samples}
	const together = 100
	for at := 0; at < n; at += together {
		w.append(b, at/together%100, at, min(together, n-at), samples)
	}
	return w
}

// append records some events of one participant.
func (w *world) append(b *testing.B, participant, first, n, samples int) {
	records := w.encode(b, participant, first, n, samples)
	for some := range slices.Chunk(records, max(1, 10_000/(100*samples))) {
		if _, err := w.Append(b.Context(), records[0].Stream, domain.Any, some); err != nil {
			b.Fatal(err)
		}
	}
}

// encode makes the records of some events of one participant.
func (w *world) encode(b *testing.B, participant, first, n, samples int) (records []domain.Record) {
	subject := fmt.Sprintf("U%010d", participant)
	key, err := w.keys.KeyFor(b.Context(), subject)
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		var id domain.ID
		stamp := first + i
		id[2], id[3], id[4], id[5], id[6], id[8] = byte(stamp>>24), byte(stamp>>16), byte(stamp>>8), byte(stamp), 0x70, 0x80
		rand.Read(id[9:])
		env := domain.Envelope{ID: id, Stream: "observation-" + subject + "-lamp.sensor", Actor: subject, Credential: strings.Repeat("c", 64),
			Dialect: "lamp", CommandID: id, Command: "observation.record", Correlation: id, Causation: id, Subject: subject, Key: key}
		request := &domain.Request{Address: "10.1.2.3", Agent: "lamp-core/2024.11.18", Method: "POST",
			Route: "/participant/{id}/sensor_event", Object: subject, Status: 200}
		one, err := w.codec.Encode(env, request, observation.Recorded{Subject: subject, Channel: observation.LAMPSensor, Items: items(first+i, samples)})
		if err != nil {
			b.Fatal(err)
		}
		records = append(records, one...)
	}
	return records
}

func items(event, n int) []observation.Item {
	all := make([]observation.Item, n)
	for i := range all {
		at := 1_700_000_000_000 + int64(event)*int64(n)*200 + int64(i)*200
		all[i] = observation.Item{Time: &at, Series: "lamp.accelerometer",
			Value: []byte(fmt.Sprintf(`{"x":%.6f,"y":%.6f,"z":9.81}`, float64(at%7919)/7919, float64(at%104729)/104729))}
	}
	return all
}

// tables are the projections in SQLite.
func tables() []projections.Projection {
	return []projections.Projection{projections.Documents(), projections.Series(), projections.Audit()}
}

// rebuild applies the whole log to new read models in dir and returns how long it took.
func (w *world) rebuild(b *testing.B, dir string) time.Duration {
	b.Helper()
	head, err := w.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	tree, treeModel := projections.Directory(dir, "g", slog.New(slog.DiscardHandler))
	all, waits := []projections.Model{treeModel}, []func(context.Context, domain.Position) error{tree.Wait}
	for _, p := range tables() {
		db, m := table(b, dir, p)
		all, waits = append(all, m), append(waits, db.Wait)
	}
	ctx, stop := context.WithCancel(b.Context())
	start, done := time.Now(), make(chan error)
	go func() { done <- projections.New(w, w.decode, all).Run(ctx) }()
	for _, wait := range waits {
		if err := wait(ctx, head); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(start)
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return took
}

// bulk inserts the rows of the read models in dir into new files with the same tables and indexes, in large transactions
// from memory, and returns how long that took for each file. Reading them does not count.
func bulk(b *testing.B, dir string) (longest, sum time.Duration) {
	b.Helper()
	for _, p := range tables() {
		from, _ := table(b, dir, p)
		to, _ := table(b, b.TempDir(), p)
		took := time.Duration(0)
		for _, name := range strings.FieldsFunc(p.Schema.Tables, func(r rune) bool { return r == ';' }) {
			words := strings.Fields(name)
			if len(words) > 2 && words[0] == "CREATE" && words[1] == "TABLE" {
				took += copyTable(b, from, to, words[2])
			}
		}
		from.Close()
		to.Close()
		longest, sum = max(longest, took), sum+took
	}
	return longest, sum
}

// copyTable inserts the rows of a table and returns how long that took.
func copyTable(b *testing.B, from, to *readmodels.DB, name string) (took time.Duration) {
	b.Helper()
	err := from.View(b.Context(), func(tx *readmodels.Tx) error {
		columns := []string{}
		for row, err := range tx.Query("SELECT name FROM pragma_table_info(?)", name) {
			if err != nil {
				return err
			}
			columns = append(columns, row.Text(0))
		}
		insert := "INSERT INTO " + name + " VALUES (" + strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",") + ")"
		query := "SELECT typeof(" + strings.Join(columns, "), typeof(") + "), " + strings.Join(columns, ", ") + " FROM " + name
		var rows [][]any
		for row, err := range tx.Query(query) {
			if err != nil {
				return err
			}
			if rows = append(rows, values(row, len(columns))); len(rows) == 20_000 {
				took += insertAll(b, to, insert, rows)
				rows = rows[:0]
			}
		}
		took += insertAll(b, to, insert, rows)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return took
}

func values(row readmodels.Row, n int) []any {
	all := make([]any, n)
	for i := range all {
		switch row.Text(i) {
		case "integer":
			all[i] = row.Int64(n + i)
		case "text":
			all[i] = row.Text(n + i)
		case "blob":
			all[i] = append([]byte{}, row.Raw(n+i)...)
		}
	}
	return all
}

func insertAll(b *testing.B, to *readmodels.DB, insert string, rows [][]any) time.Duration {
	b.Helper()
	if len(rows) == 0 {
		return 0
	}
	start := time.Now()
	err := to.Update(b.Context(), at(1), func(tx *readmodels.Tx) error {
		for _, row := range rows {
			if err := tx.Exec(insert, row...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// ceiling decodes the whole log on all processors and returns how long it took.
func (w *world) ceiling(b *testing.B) time.Duration {
	b.Helper()
	head, err := w.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for records, err := range w.Follow(b.Context(), domain.Position{}) {
		if err != nil {
			b.Fatal(err)
		}
		var group sync.WaitGroup
		for half := range slices.Chunk(records, max(1, (len(records)+1)/2)) {
			group.Go(func() {
				for _, r := range half {
					if _, err := w.decode(b.Context(), r); err != nil {
						b.Error(err)
					}
				}
			})
		}
		group.Wait()
		if len(records) == 0 || records[len(records)-1].Position == head {
			return time.Since(start)
		}
	}
	return 0
}

// BenchmarkRebuildOfSingles compares a rebuild of single-sample events with inserting the same rows in bulk, the files
// beside each other (ratio) or one after the other (ratio-one-by-one).
func BenchmarkRebuildOfSingles(b *testing.B) {
	n := events()
	w := newWorld(b, n, 1)
	var took, longest, sum, work time.Duration
	for b.Loop() {
		dir := b.TempDir()
		before := processorTime(b)
		took += w.rebuild(b, dir)
		work += processorTime(b) - before
		l, s := bulk(b, dir)
		longest, sum = longest+l, sum+s
	}
	b.ReportMetric(float64(n*b.N)/took.Seconds(), "events/s")
	b.ReportMetric(float64(n*b.N)/longest.Seconds(), "bulk-events/s")
	b.ReportMetric(work.Seconds()*1e6/float64(n*b.N), "cpu-µs/event")
	b.ReportMetric(longest.Seconds()/took.Seconds(), "ratio")
	b.ReportMetric(sum.Seconds()/took.Seconds(), "ratio-one-by-one")
}

// processorTime is what this process has used of all processors, which wanders less than time does on a busy machine.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRebuildOfBatches compares a rebuild of events of a hundred samples with decoding them.
func BenchmarkRebuildOfBatches(b *testing.B) {
	n := events() / 20
	w := newWorld(b, n, 100)
	var took, decoding time.Duration
	for b.Loop() {
		took += w.rebuild(b, b.TempDir())
		decoding += w.ceiling(b)
	}
	b.ReportMetric(float64(w.samples*b.N)/took.Seconds(), "samples/s")
	b.ReportMetric(float64(w.samples*b.N)/decoding.Seconds(), "decoded-samples/s")
	b.ReportMetric(decoding.Seconds()/took.Seconds(), "ratio")
}

// BenchmarkLive appends events one by one, each waiting for all read models, by one writer and by sixteen.
func BenchmarkLive(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			w := newWorld(b, 100, 1)
			dir := b.TempDir()
			tree, treeModel := projections.Directory(dir, "g", slog.New(slog.DiscardHandler))
			all, waits := []projections.Model{treeModel}, []func(context.Context, domain.Position) error{tree.Wait}
			for _, p := range tables() {
				db, m := table(b, dir, p)
				all, waits = append(all, m), append(waits, db.Wait)
			}
			_, stop := run(b, w, w.decode, all...)
			defer stop()
			b.SetParallelism(max(1, writers/2))
			if writers == 1 {
				b.SetParallelism(1)
			}
			var next atomic.Int64
			start := time.Now()
			b.ResetTimer()
			one := func() {
				n := int(next.Add(1))
				r := w.encode(b, n%100, 1000+n, 1, 1)
				done, err := w.Append(b.Context(), r[0].Stream, domain.Any, r)
				if err != nil {
					b.Error(err)
				}
				for _, wait := range waits {
					if err := wait(b.Context(), done.Position); err != nil {
						b.Error(err)
					}
				}
			}
			if writers == 1 {
				for range b.N {
					one()
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						one()
					}
				})
			}
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "events/s")
		})
	}
}
