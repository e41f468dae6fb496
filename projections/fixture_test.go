package projections_test

import (
	"context"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/codec"
	"strandline/domain/observation"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/transport/eventstore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// log is a store with the codec that fills and opens it. Nothing is sealed, because no event names a key.
type log struct {
	*memory.Store
	codec *codec.Codec
	drawn uint64
}

func newLog(options ...memory.Option) *log {
	clock := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC) }
	return &log{Store: memory.New(append(options, memory.WithClock(clock))...), codec: codec.New(nil, nil, plain{}, plain{})}
}

// plain compresses nothing.
type plain struct{}

func (plain) Compress(dst, src []byte) []byte            { return append(dst, src...) }
func (plain) Decompress(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }

// decode opens a record.
func (l *log) decode(ctx context.Context, r domain.Record) (domain.Recorded, error) {
	return l.codec.Decode(ctx, r, streams{l.Store})
}

// streams reads a stream forwards.
type streams struct{ *memory.Store }

func (s streams) ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return s.Store.ReadStream(ctx, stream, from, limit, commands.Forwards)
}

// id draws the next id.
func (l *log) id() domain.ID {
	l.drawn++
	return domain.ID{6: 0x70, 8: 0x80, 14: byte(l.drawn >> 8), 15: byte(l.drawn)}
}

// add records an event in a request of its own and returns its position.
func (l *log) add(t testing.TB, stream string, e domain.Event) domain.Position {
	t.Helper()
	id := l.id()
	env := domain.Envelope{ID: id, Stream: stream, Actor: "root", Dialect: "lamp", Correlation: id, Command: e.EventType()}
	records, err := l.codec.Encode(env, &domain.Request{Route: "/" + stream, Status: 200}, e)
	if err != nil {
		t.Fatal(err)
	}
	done, err := l.Append(t.Context(), stream, domain.Any, records)
	if err != nil {
		t.Fatal(err)
	}
	return done.Position
}

// sample records one observation.
func (l *log) sample(t testing.TB, n int) domain.Position {
	t.Helper()
	at := int64(n) * 1000
	return l.add(t, "observation-U0000000001-lamp.sensor", observation.Recorded{Subject: "U0000000001",
		Channel: observation.LAMPSensor, Items: []observation.Item{{Time: &at, Series: "lamp.steps", Value: []byte(`{"value":1}`)}}})
}

// head is the position of the last event.
func (l *log) head(t testing.TB) domain.Position {
	t.Helper()
	at, err := l.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// trace is a projection that writes down every event that it sees, and fails as its hook says.
func trace(name string, hook func(r domain.Recorded) error) projections.Projection {
	apply := func(tx *readmodels.Tx, r domain.Recorded) error {
		if err := tx.Exec("INSERT INTO seen (position) VALUES (?)", r.Position.String()); err != nil {
			return err
		}
		if hook == nil {
			return nil
		}
		return hook(r)
	}
	tables := "CREATE TABLE seen (id INTEGER PRIMARY KEY, position TEXT)"
	return projections.Projection{
		Schema: readmodels.Schema{Name: name, Version: 1, Tables: tables},
		New:    func() projections.Applier { return projections.ApplyFunc(apply) },
	}
}

// table opens the database of a projection in dir.
func table(t testing.TB, dir string, p projections.Projection) (*readmodels.DB, projections.Model) {
	t.Helper()
	db, err := readmodels.Open(dir, p.Schema, "g")
	if err != nil {
		t.Fatal(err)
	}
	return db, projections.Table(p, db)
}

// run starts a runner and stops it at the end of the test, or before by the function returned.
func run(t testing.TB, feed projections.Feed, decode projections.Decode, models ...projections.Model) (*projections.Runner, func()) {
	t.Helper()
	r := projections.New(feed, decode, models, projections.WithLogger(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return r, stop
}

// wait waits until a read model is at a position.
func wait(t testing.TB, w interface {
	Wait(ctx context.Context, position domain.Position) error
}, at domain.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.Wait(ctx, at); err != nil {
		t.Fatalf("wait for %s: %v", at, err)
	}
}

// seen are the positions that a trace has written down.
func seen(t testing.TB, db *readmodels.DB) []string {
	t.Helper()
	var all []string
	err := db.View(t.Context(), func(tx *readmodels.Tx) error {
		for row, err := range tx.Query("SELECT position FROM seen ORDER BY id") {
			if err != nil {
				return err
			}
			all = append(all, row.Text(0))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// dump is the dump of a model at a position.
func dump(t testing.TB, l *log, m projections.Model, at domain.Position) string {
	t.Helper()
	var b strings.Builder
	if err := projections.Dump(t.Context(), l, l.decode, m, at, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
