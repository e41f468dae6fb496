package series_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"strandline/domain"
	"strandline/readmodels"
	"strandline/readmodels/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tb is what tests, benchmarks and rapid's checks have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
}

// world is a file with its writer and store.
type world struct {
	dir    string
	db     *readmodels.DB
	writer *series.Writer
	store  *series.Store
}

func newWorld(t tb) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "series")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: dir}
	w.open(t)
	return w
}

func (w *world) open(t tb) {
	t.Helper()
	db, err := readmodels.Open(w.dir, series.Schema, "g")
	if err != nil {
		t.Fatal(err)
	}
	w.db, w.writer, w.store = db, series.NewWriter(), series.NewStore(db)
}

func (w *world) reopen(t tb) {
	t.Helper()
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	w.open(t)
}

func (w *world) remove() {
	w.db.Close()
	os.RemoveAll(w.dir)
}

// apply writes events in one transaction.
func (w *world) apply(events []domain.Recorded) error {
	return w.transact(events, w.writer.Flush)
}

// transact applies events in one transaction that has the given end.
func (w *world) transact(events []domain.Recorded, end func(*readmodels.Tx) error) error {
	err := w.db.Update(context.Background(), events[len(events)-1].Position, func(tx *readmodels.Tx) error {
		for _, e := range events {
			if err := w.writer.Apply(tx, e); err != nil {
				return err
			}
		}
		return end(tx)
	})
	if err != nil {
		w.writer.Forget()
	}
	return err
}

// dump is the hash of the store's dump.
func (w *world) dump(t tb) string {
	t.Helper()
	hash := sha256.New()
	if err := w.store.Dump(context.Background(), hash); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// chunks describes all chunk rows.
func (w *world) chunks(t tb) (rows []string) {
	t.Helper()
	err := w.db.View(context.Background(), func(tx *readmodels.Tx) error {
		for row, err := range tx.Query(`SELECT stream, series, bucket, class, oldest, oldest_at, newest, newest_at, block, id FROM chunk ORDER BY id`) {
			if err != nil {
				return err
			}
			rows = append(rows, fmt.Sprint(row.Int64(0), row.Int64(1), row.Int64(2), row.Int64(3),
				row.Text(4), row.Blob(5), row.Text(6), row.Blob(7), sha256.Sum256(row.Raw(8)), row.Int64(9)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// count is the number that query yields.
func (w *world) count(t tb, query string) (n int) {
	t.Helper()
	err := w.db.View(context.Background(), func(tx *readmodels.Tx) error {
		for row, err := range tx.Query(query) {
			if err != nil {
				return err
			}
			n = row.Int(0)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) read(t tb, q series.Query) []series.Sample {
	t.Helper()
	samples, err := w.store.Read(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

func at(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }

func ptr(n int64) *int64 { return &n }

// show writes samples so that a difference can be read.
func show(samples []series.Sample) string {
	var b bytes.Buffer
	for _, s := range samples {
		if s.Time == nil {
			b.WriteString("null")
		} else {
			fmt.Fprint(&b, *s.Time)
		}
		fmt.Fprintf(&b, " %s %s/%d %d:%.16s\n", s.Series, s.Position, s.Index, len(s.Value), s.Value)
	}
	return b.String()
}

var _ tb = (*testing.T)(nil)
