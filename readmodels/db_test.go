package readmodels_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"strandline/domain"
	"strandline/readmodels"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var notes = readmodels.Schema{Name: "notes", Version: 1, Tables: "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"}

var secondNotes = readmodels.Schema{Name: "notes", Version: 2, Tables: notes.Tables}

func open(t *testing.T, dir string, schema readmodels.Schema, generation string) *readmodels.DB {
	t.Helper()
	db, err := readmodels.Open(dir, schema, generation)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func at(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }

// write adds a note and moves the checkpoint to n.
func write(t *testing.T, db *readmodels.DB, n uint64, text string) {
	t.Helper()
	err := db.Update(t.Context(), at(n), func(tx *readmodels.Tx) error {
		return tx.Exec("INSERT INTO note (text) VALUES (?)", text)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// texts reads all notes.
func texts(t *testing.T, db *readmodels.DB) string {
	t.Helper()
	var all []string
	err := db.View(t.Context(), func(tx *readmodels.Tx) error {
		for row, err := range tx.Query("SELECT text FROM note ORDER BY id") {
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
	return fmt.Sprint(all)
}

func TestDataAndCheckpointSurviveTogether(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, notes, "g")
	write(t, db, 3, "one")
	failed := errors.New("no")
	err := db.Update(t.Context(), at(4), func(tx *readmodels.Tx) error {
		return errors.Join(tx.Exec("INSERT INTO note (text) VALUES ('lost')"), failed)
	})
	if !errors.Is(err, failed) || db.Checkpoint() != at(3) {
		t.Errorf("failed Update: %v, checkpoint %s; want %v, 3", err, db.Checkpoint(), failed)
	}
	db.Close()

	db = open(t, dir, notes, "g")
	defer db.Close()
	if got := texts(t, db); got != "[one]" || db.Checkpoint() != at(3) {
		t.Errorf("after opening again: %s at %s; want [one] at 3", got, db.Checkpoint())
	}
}

func TestAFileThatCannotServeIsDropped(t *testing.T) {
	tests := []struct {
		name   string
		schema readmodels.Schema
		gen    string
		harm   func(path string) error
		want   string
		files  int
	}{
		{"kept as it is", notes, "g", nil, "[one]", 1},
		{"of another generation", notes, "h", nil, "[]", 1},
		{"of another version, for whose program it is kept", secondNotes, "g", nil, "[]", 2},
		{"of another version and generation", secondNotes, "h", nil, "[]", 1},
		{"not a database", notes, "g", func(p string) error { return os.WriteFile(p, []byte("nonsense, and long enough"), 0o600) }, "[]", 1},
		{"empty", notes, "g", func(p string) error { return os.Truncate(p, 0) }, "[]", 1},
		{"cut", notes, "g", func(p string) error { return os.Truncate(p, 4096) }, "[]", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, dir, notes, "g")
			write(t, db, 3, "one")
			db.Close()
			if tt.harm != nil {
				if err := tt.harm(filepath.Join(dir, "notes-v1-b1.db")); err != nil {
					t.Fatal(err)
				}
			}
			db = open(t, dir, tt.schema, tt.gen)
			defer db.Close()
			if got := texts(t, db); got != tt.want {
				t.Errorf("notes = %s, want %s", got, tt.want)
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(found) != tt.files {
				t.Errorf("files left: %v, want %d", found, tt.files)
			}
		})
	}
}

func TestAFileBuiltBesideServesAfterTheSwitch(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, notes, "g")
	write(t, db, 3, "old")
	build, err := db.Beside(nil)
	if err != nil {
		t.Fatal(err)
	}
	err = build.Update(t.Context(), at(3), func(tx *readmodels.Tx) error {
		return tx.Exec("INSERT INTO note (text) VALUES ('new')")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, db); got != "[old]" {
		t.Errorf("before the switch: %s, want [old]", got)
	}
	if err := build.Switch(); err != nil {
		t.Fatal(err)
	}
	write(t, db, 4, "newer")
	if got := texts(t, db); got != "[new newer]" {
		t.Errorf("after the switch: %s, want [new newer]", got)
	}
	db.Close()
	db = open(t, dir, notes, "g")
	defer db.Close()
	if got := texts(t, db); got != "[new newer]" {
		t.Errorf("after opening again: %s, want [new newer]", got)
	}
}

func TestReadersSurviveASwitch(t *testing.T) {
	db := open(t, t.TempDir(), notes, "g")
	defer db.Close()
	write(t, db, 1, "one")
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := db.View(t.Context(), func(tx *readmodels.Tx) error { return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		build, err := db.Beside(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := build.Switch(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	readers.Wait()
}

func TestAnAttemptThatFailsLeavesNothing(t *testing.T) {
	db := open(t, t.TempDir(), notes, "g")
	defer db.Close()
	failed := errors.New("no")
	err := db.Update(t.Context(), at(1), func(tx *readmodels.Tx) error {
		err := tx.Attempt(func() error {
			return errors.Join(tx.Exec("INSERT INTO note (text) VALUES ('lost')"), failed)
		})
		if !errors.Is(err, failed) {
			t.Errorf("Attempt = %v, want %v", err, failed)
		}
		if err := tx.Park(readmodels.Parked{Position: at(1), Stream: "s", Type: "t", Reason: err.Error()}); err != nil {
			return err
		}
		return tx.Attempt(func() error { return tx.Exec("INSERT INTO note (text) VALUES ('kept')") })
	})
	if err != nil {
		t.Fatal(err)
	}
	parked, err := db.Parked(t.Context())
	if err != nil || len(parked) != 1 || parked[0] != (readmodels.Parked{at(1), "s", "t", "no"}) {
		t.Errorf("Parked = %v, %v", parked, err)
	}
	if got := texts(t, db); got != "[kept]" {
		t.Errorf("notes = %s, want [kept]", got)
	}
}

func TestReadersComeBackAfterARest(t *testing.T) {
	db := open(t, t.TempDir(), notes, "g")
	defer db.Close()
	write(t, db, 1, "one")
	var resting sync.WaitGroup
	resting.Go(func() {
		for range 100 {
			db.Rest()
		}
	})
	for range 100 {
		if got := texts(t, db); got != "[one]" {
			t.Errorf("notes = %s, want [one]", got)
		}
	}
	resting.Wait()
}

func TestACheckpointThatMovedAloneIsKeptAtClose(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, notes, "g")
	write(t, db, 1, "one")
	for n := range uint64(5000) {
		if err := db.Update(t.Context(), at(n+2), func(*readmodels.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	db.Close()
	if err := db.Update(t.Context(), at(9999), func(*readmodels.Tx) error { return nil }); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("Update after Close = %v, want unavailable", err)
	}
	db = open(t, dir, notes, "g")
	defer db.Close()
	if db.Checkpoint() != at(5001) {
		t.Errorf("checkpoint %s, want %s", db.Checkpoint(), at(5001))
	}
}

func TestViewMayNotWrite(t *testing.T) {
	db := open(t, t.TempDir(), notes, "g")
	defer db.Close()
	err := db.View(t.Context(), func(tx *readmodels.Tx) error { return tx.Exec("DELETE FROM note") })
	if err == nil {
		t.Error("a View wrote")
	}
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	db := open(t, t.TempDir(), notes, "g")
	defer db.Close()
	big := make([]byte, 5<<20)
	for i := range big {
		big[i] = byte(i * 7)
	}
	err := db.View(t.Context(), func(tx *readmodels.Tx) error {
		for row, err := range tx.Query("SELECT ?, ?, ?, ?, ?, ?, ?", nil, int64(-5), 2.5, "a\x00b", []byte{}, true, big) {
			if err != nil {
				return err
			}
			if !row.IsNull(0) || row.Int64(1) != -5 || row.Float64(2) != 2.5 || row.Text(3) != "a\x00b" ||
				row.IsNull(4) || row.Int(5) != 1 || string(row.Blob(6)) != string(big) {
				t.Error("a value changed")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWaitEndsAtThePosition(t *testing.T) {
	var w readmodels.Watermark
	var waits sync.WaitGroup
	for n := range uint64(100) {
		waits.Go(func() {
			if err := w.Wait(t.Context(), at(n)); err != nil || w.At().Before(at(n)) {
				t.Errorf("Wait(%d) = %v at %s", n, err, w.At())
			}
		})
	}
	for n := range uint64(100) {
		w.Set(at(n))
	}
	waits.Wait()

	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := w.Wait(short, at(200)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait beyond = %v, want deadline exceeded", err)
	}
	full := errors.New("disk full")
	waits.Go(func() {
		if err := w.Wait(t.Context(), at(200)); !errors.Is(err, readmodels.ErrStalled) || !errors.Is(err, full) {
			t.Errorf("Wait on a stalled read model = %v", err)
		}
	})
	w.Stall(full)
	waits.Wait()
	w.Set(at(200))
	if err := w.Wait(t.Context(), at(200)); err != nil {
		t.Errorf("Wait after the stall = %v", err)
	}
}

func TestWantedTellsOfWaits(t *testing.T) {
	var w readmodels.Watermark
	told := func(wanted <-chan struct{}) bool {
		select {
		case <-wanted:
			return true
		default:
			return false
		}
	}
	before := w.Wanted()
	if told(before) {
		t.Error("told of a wait before there was one")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Wait(ctx, at(1)) }()
	<-before
	for range 2 {
		if !told(w.Wanted()) {
			t.Error("not told of somebody who waits")
		}
	}
	stop()
	<-ended
	if told(w.Wanted()) {
		t.Error("told of somebody who has gone")
	}
}

func BenchmarkUpdateOfOneRow(b *testing.B) {
	db, err := readmodels.Open(b.TempDir(), notes, "g")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		db.Update(b.Context(), at(n), func(tx *readmodels.Tx) error {
			return tx.Exec("INSERT INTO note (text) VALUES (?)", "a note of some length, as notes are")
		})
	}
}

func BenchmarkInsertInALargeTransaction(b *testing.B) {
	db, err := readmodels.Open(b.TempDir(), notes, "g")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	b.ReportAllocs()
	db.Update(b.Context(), at(1), func(tx *readmodels.Tx) error {
		for b.Loop() {
			tx.Exec("INSERT INTO note (text) VALUES (?)", "a note of some length, as notes are")
		}
		return nil
	})
}

func BenchmarkViewOfOneRow(b *testing.B) {
	db, err := readmodels.Open(b.TempDir(), notes, "g")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.Update(b.Context(), at(1), func(tx *readmodels.Tx) error {
		for range 1000 {
			tx.Exec("INSERT INTO note (text) VALUES (?)", "a note of some length, as notes are")
		}
		return nil
	})
	b.ReportAllocs()
	for b.Loop() {
		db.View(b.Context(), func(tx *readmodels.Tx) error {
			for row := range tx.Query("SELECT text FROM note WHERE id = ?", 500) {
				_ = row.Raw(0)
			}
			return nil
		})
	}
}

func TestTheWriteAheadLogStaysShort(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, notes, "g")
	defer db.Close()
	large := make([]byte, 1<<20)
	for n := range uint64(100) {
		err := db.Update(t.Context(), at(n+1), func(tx *readmodels.Tx) error {
			return tx.Exec("INSERT OR REPLACE INTO note VALUES (?, ?)", int(n%7), large)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "notes-v1-b1.db-wal"))
	if err != nil || info.Size() > 48<<20 {
		t.Errorf("write-ahead log after 100 MiB: %v, %v; want at most 48 MiB", info, err)
	}
}
