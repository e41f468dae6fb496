package embedded_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
)

const version1, version1Records = "testdata/v1", "testdata/v1.jsonl"

// TestVersion1 opens a folder that the first version has written and compares it record by record, with and without its
// index. It must pass for ever. STRANDLINE_WRITE_V1=1 wrote the folder, once.
func TestVersion1(t *testing.T) {
	if os.Getenv("STRANDLINE_WRITE_V1") != "" {
		writeVersion1(t)
	}
	want, err := os.ReadFile(version1Records)
	if err != nil {
		t.Fatal(err)
	}
	for _, without := range []string{"", "index"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(version1)); err != nil {
			t.Fatal(err)
		}
		if without != "" {
			if err := os.RemoveAll(filepath.Join(dir, without)); err != nil {
				t.Fatal(err)
			}
		}
		store := openAt(t, dir, embedded.Options{SegmentSize: 16 << 10})
		compareLines(t, dump(t, store), want)
		compareStreams(t, store)
		if g := store.Generation().String(); g != "03020100-0706-8504-8b0a-09080f0e0d0c" {
			t.Errorf("generation = %s; want that of the folder, since nothing was lost", g)
		}
		report, err := store.Verify(t.Context())
		if lines := uint64(bytes.Count(want, []byte("\n"))); err != nil || report.Records != lines {
			t.Errorf("verify = %+v, %v; want %d records", report, err, lines)
		}
		if _, err := store.Append(t.Context(), "thing-1", domain.StreamExists, []domain.Record{{Envelope: domain.Envelope{ID: testID(99, 99)}}}); err != nil {
			t.Errorf("append: %v", err)
		}
	}
}

// compareLines compares two dumps line by line.
func compareLines(t *testing.T, got, want []byte) {
	t.Helper()
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("record %d differs, or there are %d instead of %d", i+1, len(g), len(w))
		}
	}
}

// compareStreams reads every stream and finds every event again by its id.
func compareStreams(t *testing.T, store *embedded.Store) {
	t.Helper()
	revisions := map[string]uint64{}
	for r, err := range store.ReadAll(t.Context(), domain.Position{}, 0, commands.Forwards) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Revision != revisions[r.Stream] {
			t.Fatalf("position %v has revision %d; want %d", r.Position, r.Revision, revisions[r.Stream])
		}
		revisions[r.Stream]++
		if found, err := store.Find(t.Context(), r.Stream, r.ID); err != nil || found.Position != r.Position {
			t.Fatalf("find the event at %v: %v at %v", r.Position, err, found.Position)
		}
	}
	for stream, n := range revisions {
		for r, err := range store.ReadStream(t.Context(), stream, 0, 0, commands.Forwards) {
			if n--; err != nil || r.Stream != stream {
				t.Fatalf("read %s: %v", stream, err)
			}
		}
		if n != 0 {
			t.Errorf("%s lacks %d records", stream, n)
		}
	}
}

func dump(t *testing.T, store *embedded.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	for r, err := range store.ReadAll(t.Context(), domain.Position{}, 0, commands.Forwards) {
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// writeVersion1 makes the folder: ten segments, a merged run, every field of an envelope.
func writeVersion1(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(version1), os.MkdirAll(version1, 0o755)); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	random := make([]byte, 32)
	for i := range random {
		random[i] = byte(i^3) & 15
	}
	store := openAt(t, version1, embedded.Options{
		SegmentSize: 16 << 10, Random: bytes.NewReader(random),
		Clock: func() time.Time { at = at.Add(1234567 * time.Microsecond); return at },
	})
	appendVersion1(t, store)
	for store.Stats().Runs != 2 { // eight of one segment, merged, and one more
		time.Sleep(time.Millisecond)
	}
	records := dump(t, store)
	if err := errors.Join(store.Close(), os.WriteFile(version1Records, records, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(version1+"/lock"), os.RemoveAll(version1+"/segments/spare")); err != nil {
		t.Fatal(err)
	}
}

func appendVersion1(t *testing.T, store *embedded.Store) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	for i := 0; store.Stats().Segments < 10; i++ {
		rs := make([]domain.Record, 1+i%4)
		for j := range rs {
			rs[j] = version1Record(rng, i, j)
		}
		if _, err := store.Append(t.Context(), fmt.Sprintf("thing-%d", i%7), domain.Any, rs); err != nil {
			t.Fatal(err)
		}
	}
}

func version1Record(rng *rand.Rand, i, j int) domain.Record {
	e := domain.Envelope{ID: testID(i, j), Type: "thing.done", Version: 1 + i%3*100, ContentType: domain.ContentType(i % 6)}
	if i%2 == 0 {
		e.Actor, e.Credential, e.APIKey, e.Dialect = "U1234567890", "credential-1", "key-2", "lamp"
		e.CommandID, e.Command, e.Correlation, e.Causation = testID(i, 1000), "thing.do", testID(i, 1001), testID(i, 1002)
		e.Subject, e.Key = "Ünïcode", fmt.Sprint("subject-key-", i)
	}
	if i%5 == 0 {
		e.Extra = []byte{18, 1, byte(i), 200, 1, 2, 'h', 'i'}
	}
	return domain.Record{Envelope: e, Data: bytes.Repeat([]byte{byte(i), byte(j), 0, 'x'}, rng.IntN(400))}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	text := `{"format":2,"id":"03020100-0706-8504-8908-0b0a0d0c0f0e","generation":"03020100-0706-8504-8908-0b0a0d0c0f0e"}`
	if err := os.WriteFile(filepath.Join(dir, "store.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := tryOpenAt(dir)
	if !errors.Is(err, domain.ErrRejected) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("open = %v; want a refusal that names format 2", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "segments")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the folder was changed")
	}
}

// TestMissingFilesAreDamage: what is not there is noticed, and never taken for a shorter or a new log.
func TestMissingFilesAreDamage(t *testing.T) {
	for _, pattern := range []string{"store.json", "segments/*0001.segment", "segments/*0034.segment", "segments/*", "segments/*0147.segment"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(version1)); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		store, err := tryOpenAt(dir)
		if err == nil {
			_, err = store.Verify(t.Context())
			store.Close()
		}
		if !errors.Is(err, domain.ErrDamaged) {
			t.Errorf("without %s: %v; want damage", pattern, err)
		}
	}
}
