package backup_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"strandline/cmd/strandline/backup"
	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/files/faultfs"
	"strandline/transport/keys"
)

// world is a log and its keys, to which events are added, each sealed under the key of a subject of its own.
type world struct {
	backup.Source
	mu     sync.Mutex
	events int // that have been acknowledged
	keys   map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log, err := embedded.Open(faultfs.New(1), embedded.Options{SegmentSize: 8 << 10, VerifyRate: -1})
	if err != nil {
		t.Fatal(err)
	}
	held, err := keys.Open(faultfs.New(2), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(); held.Close() })
	return &world{Source: backup.Source{Log: log, Keys: held}, keys: map[string]string{}}
}

// add appends n events.
func (w *world) add(ctx context.Context, n int) error {
	for range n {
		w.mu.Lock()
		i := w.events
		w.mu.Unlock()
		owner := fmt.Sprint("subject-", i)
		key, err := w.Keys.KeyFor(ctx, owner)
		if err != nil {
			return err
		}
		sealed, err := w.Keys.Seal(nil, key, []byte(owner), nil)
		if err != nil {
			return err
		}
		e := domain.Envelope{ID: domain.ID(uuid.New()), Type: "test.happened", Version: 1, Stream: "test-" + owner, Key: key, ContentType: domain.JSON, Actor: "system"}
		if _, err := w.Log.Append(ctx, e.Stream, domain.Any, []domain.Record{{Envelope: e, Data: sealed}}); err != nil {
			return err
		}
		w.mu.Lock()
		w.events, w.keys[key] = i+1, owner
		w.mu.Unlock()
	}
	return nil
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events
}

// places are where a backup goes to.
type places struct{ log, keys *faultfs.FS }

func newPlaces(seed uint64) places { return places{faultfs.New(seed), faultfs.New(seed + 1)} }

func (p places) destination() backup.Destination { return backup.Destination{Log: p.log, Keys: p.keys} }

// restart is what the places hold after the power has come back.
func (p places) restart(seed uint64) places {
	return places{p.log.Restart(seed), p.keys.Restart(seed + 1)}
}

func (w *world) backUp(t *testing.T, p places) (backup.Result, error) {
	t.Helper()
	return backup.Run(t.Context(), w.Source, p.destination(), "test", time.Unix(1, 0), nil)
}

// restored restores from the places, and makes sure that it holds at least so many events, each opened by its key.
func (w *world) restored(t *testing.T, p places, lastComplete bool, atLeast int) (backup.Restored, error) {
	t.Helper()
	to := newPlaces(99)
	r, err := backup.Restore(t.Context(), p.destination(), to.destination(), lastComplete, nil)
	if err != nil {
		return r, err
	}
	log, err := embedded.Open(to.log, embedded.Options{VerifyRate: -1})
	if err != nil {
		t.Fatalf("open what was restored: %v", err)
	}
	defer log.Close()
	held, err := keys.Open(to.keys, rand.Reader)
	if err != nil {
		t.Fatalf("open the keys restored: %v", err)
	}
	defer held.Close()
	if log.Generation() == w.Log.Generation() || log.Generation() != r.Generation {
		t.Errorf("restored with generation %s, told %s, the first has %s", log.Generation(), r.Generation, w.Log.Generation())
	}
	n := 0
	for e, err := range log.ReadAll(t.Context(), domain.Position{}, 0, commands.Forwards) {
		if err != nil {
			t.Fatalf("read what was restored: %v", err)
		}
		n++
		if plain, err := held.Open(nil, e.Key, e.Data, nil); err != nil || "test-"+string(plain) != e.Stream {
			t.Fatalf("event %d of %s: %q, %v", n, e.Stream, plain, err)
		}
	}
	if n < atLeast || uint64(n) != r.Events || r.Position.Commit != uint64(n) {
		t.Errorf("restored %d events, told %d, want at least %d", n, r.Events, atLeast)
	}
	return r, nil
}

// TestInterrupted cuts the power of either place at every call, in a first backup and in one that adds to it. Restoring
// tells that it was interrupted; with lastComplete it yields the backup before, whole; and the next backup goes on.
func TestInterrupted(t *testing.T) {
	points, seeds := 0, 2
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		seeds = 40
	}
	for n := 1; ; n++ {
		done := true
		for seed := range seeds {
			done = interrupted(t, n, seed) && done
			points += 2
		}
		if done {
			break
		}
	}
	t.Logf("%d backups interrupted at a call of either place, each noticed, none that was complete was lost, each made good by the next", points)
}

// interrupted cuts the power at the nth call of two backups, and tells whether both were done by then.
func interrupted(t *testing.T, n, seed int) (done bool) {
	t.Helper()
	w := newWorld(t)
	if err := w.add(t.Context(), 80); err != nil {
		t.Fatal(err)
	}
	p := newPlaces(uint64(1000*n + seed))
	done = true
	before, complete := 0, false
	for round := range 2 {
		part := p.log
		if (seed+round)%2 == 1 {
			part = p.keys
		}
		part.CrashAt(n)
		_, err := w.backUp(t, p)
		if err != nil && !part.Crashed() {
			t.Fatalf("call %d: backup: %v", n, err)
		}
		done = done && err == nil
		p = p.restart(uint64(1000*n + seed))
		w.afterCrash(t, p, err == nil, complete, before)
		before = w.count()
		if _, err := w.backUp(t, p); err != nil {
			t.Fatalf("call %d: the backup after an interrupted one: %v", n, err)
		}
		if _, err := w.restored(t, p, false, before); err != nil {
			t.Fatalf("call %d: restore: %v", n, err)
		}
		complete = true
		if err := w.add(t.Context(), 40); err != nil {
			t.Fatal(err)
		}
	}
	return done
}

// afterCrash looks at what an interrupted backup has left.
func (w *world) afterCrash(t *testing.T, p places, done, complete bool, before int) {
	t.Helper()
	r, err := w.restored(t, p, false, before)
	if done && err != nil {
		t.Fatalf("restore of a backup that was answered: %v", err)
	}
	if err == nil && !done && r.Events < uint64(before) {
		t.Fatalf("an interrupted backup is restored as if it were whole, with %d events", r.Events)
	}
	if err == nil {
		return
	}
	if !errors.Is(err, domain.ErrRejected) {
		t.Fatalf("an interrupted backup is not told from a damaged one: %v", err)
	}
	if _, err := w.restored(t, p, true, before); (err == nil) != complete {
		t.Fatalf("the backup before the interrupted one, complete %v: %v", complete, err)
	}
}

// TestUnderLoad makes backups one upon the other while events are added. Each holds all that was acknowledged before it.
func TestUnderLoad(t *testing.T) {
	w, p := newWorld(t), newPlaces(5)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := w.add(ctx, 10); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var written, whole int64
	for range 8 {
		before := w.count()
		made, err := w.backUp(t, p)
		if err != nil || !made.Verified {
			t.Fatalf("backup: %+v, %v", made, err)
		}
		if r, err := w.restored(t, p, false, before); err != nil || r.Position != made.Position {
			t.Fatalf("restored %+v of %+v: %v", r, made, err)
		}
		written, whole = written+made.Written, made.Bytes
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if written > whole+8*8<<10 {
		t.Errorf("8 backups have copied %d bytes for a log of %d: what is there is copied again", written, whole)
	}
	t.Logf("8 backups beside a writer: %d events, %d KiB, of which %d KiB were copied in all", w.count(), whole>>10, written>>10)
}

// TestDamagedBackup: one bit of a backup turned over, or one file gone, and nothing is restored.
func TestDamagedBackup(t *testing.T) {
	w, p := newWorld(t), newPlaces(5)
	if err := w.add(t.Context(), 60); err != nil {
		t.Fatal(err)
	}
	if _, err := w.backUp(t, p); err != nil {
		t.Fatal(err)
	}
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	flips := 0
	for range 60 {
		q := p.restart(rng.Uint64())
		part := []*faultfs.FS{q.log, q.keys}[rng.IntN(2)]
		names := part.Names()
		name := names[rng.IntN(len(names))]
		content, err := part.ReadFile(name)
		if err != nil || len(content) == 0 || name == "store.json" {
			continue // a folder; or what only the log's own opening looks at, which is checked against the manifest
		}
		if rng.IntN(8) == 0 {
			err = part.Remove(name)
		} else {
			err = part.FlipBit(name, rng.Int64N(8*int64(len(content))))
		}
		if err != nil {
			t.Fatal(err)
		}
		flips++
		if _, err := w.restored(t, q, false, 0); err == nil {
			t.Errorf("%s is damaged, and the backup is restored", name)
		}
	}
	t.Logf("%d damaged backups, none restored", flips)
}

// TestDestinations that are not to be used are refused, and nothing is changed in them.
func TestDestinations(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	for _, world := range []*world{w, other} {
		if err := world.add(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
	}
	made := newPlaces(1)
	if _, err := w.backUp(t, made); err != nil {
		t.Fatal(err)
	}
	occupied := newPlaces(3)
	if _, err := occupied.log.Open("letter", true); err != nil {
		t.Fatal(err)
	}
	for says, p := range map[string]places{
		"neither empty nor an earlier backup": occupied,
		"half with the keys":                  {made.keys, made.log},
		"half with the log":                   {faultfs.New(8), made.log},
	} {
		if _, err := w.backUp(t, p); !errors.Is(err, domain.ErrRejected) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
	if _, err := other.backUp(t, made); !errors.Is(err, domain.ErrRejected) || !strings.Contains(err.Error(), "another log") {
		t.Errorf("the backup of another log: %v", err)
	}
	foreign := newPlaces(5)
	if _, err := other.backUp(t, foreign); err != nil {
		t.Fatal(err)
	}
	for says, p := range map[string]places{
		"belong to another log":   {made.log, foreign.keys},
		"half with the keys":      {made.keys, made.log},
		"there is no backup":      newPlaces(9),
		"half with the log: --fr": {made.log, made.log},
	} {
		if _, err := w.restored(t, p, true, 0); !errors.Is(err, domain.ErrRejected) || !strings.Contains(err.Error(), says) {
			t.Errorf("restore: %v; want %q", err, says)
		}
	}
}

// TestDestroyedKeys are in no backup made after their end, and what they sealed stays sealed.
func TestDestroyedKeys(t *testing.T) {
	w, p := newWorld(t), newPlaces(5)
	if err := w.add(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	if _, err := w.backUp(t, p); err != nil {
		t.Fatal(err)
	}
	early, p := p.restart(1), p.restart(2)
	if err := w.Keys.Destroy(t.Context(), "subject-3"); err != nil {
		t.Fatal(err)
	}
	if err := w.add(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := w.backUp(t, p); err != nil {
		t.Fatal(err)
	}
	if names := strings.Join(p.keys.Names(), " "); strings.Count(names, "subjects.") != 1 {
		t.Errorf("keys of an earlier backup are still there: %s", names)
	}
	to := newPlaces(50)
	r, err := backup.Restore(t.Context(), p.destination(), to.destination(), false, nil)
	if err != nil || r.Sealed != 1 || r.Destroyed != 1 {
		t.Errorf("restored %+v, %v; want one event sealed, one key destroyed", r, err)
	}
	held, err := keys.Open(to.keys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := held.KeyFor(t.Context(), "subject-3"); !errors.Is(err, domain.ErrRejected) {
		t.Errorf("a destroyed key is made again after restoring: %v", err)
	}
	// The keys of before do not go with the log of now.
	if _, err := w.restored(t, places{p.log, early.keys}, false, 0); !errors.Is(err, domain.ErrRejected) || !strings.Contains(err.Error(), "older than the log") {
		t.Errorf("older keys: %v", err)
	}
}

// TestLinks: on one disk, full segments are linked and not copied; they stay as they are when the log is cut afterwards.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	disk := func(name string) *files.Disk {
		d, err := files.NewDisk(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	log, err := embedded.Open(disk("log"), embedded.Options{SegmentSize: 8 << 10, VerifyRate: -1})
	if err != nil {
		t.Fatal(err)
	}
	held, err := keys.Open(disk("keys"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	w := &world{Source: backup.Source{Log: log, Keys: held}, keys: map[string]string{}}
	if err := w.add(t.Context(), 300); err != nil {
		t.Fatal(err)
	}
	dest := backup.Destination{Log: disk("to"), Keys: disk("keys-to")}
	made, err := backup.Run(t.Context(), w.Source, dest, "test", time.Unix(1, 0), nil)
	if err != nil || made.Written > 8<<10 || made.Bytes < 40<<10 {
		t.Fatalf("on one disk: %+v, %v; want links", made, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	// A repair in the middle of the log must not reach into the backup.
	d := embedded.Damage{First: 1, Last: 300, Segment: "segments/00000000000000000001.segment", Byte: 64}
	if _, err := embedded.Cut(t.Context(), disk("log"), d, false, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	r, err := backup.Restore(t.Context(), dest, backup.Destination{Log: disk("restored"), Keys: disk("restored-keys")}, false, nil)
	if err != nil || r.Events != 300 || r.Sealed != 0 {
		t.Errorf("restored after the log was cut: %+v, %v", r, err)
	}
	log, err = embedded.Open(disk("log"), embedded.Options{SegmentSize: 8 << 10, VerifyRate: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	w.Log = log
	if _, err := backup.Run(t.Context(), w.Source, dest, "test", time.Unix(2, 0), nil); !errors.Is(err, domain.ErrRejected) || !strings.Contains(err.Error(), "before this log was restored or repaired") {
		t.Errorf("the log has lost events, and its backup goes over the one that has them: %v", err)
	}
}
