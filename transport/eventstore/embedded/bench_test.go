package embedded_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/files/faultfs"
)

// eventData is the size of a measured event's data, bytes. On disk a record of it has recordSize.
const (
	eventData  = 1024
	recordSize = 1280
)

// appender appends one event of 1 KiB for a writer.
type appender func(writer int) error

// storeAppender gives each writer a stream of its own, and each event a new id, expecting any revision: the store looks
// each id up.
func storeAppender(store commands.EventStore, writers int) appender {
	type state struct {
		rng    *rand.Rand
		stream string
		record []domain.Record
	}
	states := make([]state, writers)
	for w := range states {
		r := domain.Record{
			Envelope: domain.Envelope{Type: "observation.recorded", Version: 2, ContentType: domain.JSONZstd, Actor: "U0123456789",
				Credential: "0123456789abcdef", Dialect: "lamp", Command: "observation.record", Subject: "U0123456789", Key: "0123456789abcdef"},
			Data: make([]byte, eventData),
		}
		states[w] = state{rand.New(rand.NewPCG(rand.Uint64(), 0)), fmt.Sprintf("observation-U%010d-lamp.sensor", w), []domain.Record{r}}
		for i := range r.Data {
			r.Data[i] = byte(states[w].rng.Uint32())
		}
	}
	return func(writer int) error {
		s := &states[writer]
		r := &s.record[0]
		binary.BigEndian.PutUint64(r.ID[:], s.rng.Uint64())
		binary.BigEndian.PutUint64(r.ID[8:], s.rng.Uint64())
		r.CommandID, r.Correlation, r.Causation = r.ID, r.ID, r.ID
		_, err := store.Append(context.Background(), s.stream, domain.Any, s.record)
		return err
	}
}

func baselineAppender(b *baseline) appender {
	p := make([]byte, recordSize)
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return func(int) error { return b.append(p) }
}

// drive lets writers append until stop says so, and returns how many events that were.
func drive(tb testing.TB, writers int, add appender, stop func() bool) int {
	tb.Helper()
	var events atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for !stop() {
				if err := add(w); err != nil {
					tb.Error(err)
					return
				}
				events.Add(1)
			}
		})
	}
	group.Wait()
	return int(events.Load())
}

// benchFolder is a folder on the disk to be measured: STRANDLINE_BENCH_DIR, or where tests have theirs.
func benchFolder(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("STRANDLINE_BENCH_DIR")
	if dir == "" {
		return tb.TempDir()
	}
	dir, err := os.MkdirTemp(dir, "bench")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func benchStore(tb testing.TB, opt embedded.Options) *embedded.Store {
	tb.Helper()
	store := openDisk(tb, benchFolder(tb), opt)
	tb.Cleanup(func() { store.Close() })
	return store
}

func openDisk(tb testing.TB, dir string, opt embedded.Options) *embedded.Store {
	tb.Helper()
	sys, err := files.NewDisk(dir)
	if err != nil {
		tb.Fatal(err)
	}
	store, err := embedded.Open(sys, opt)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// BenchmarkAppend appends single events of 1 KiB, to the store, to the store that does not wait for the disk, and to the
// baseline.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64, 256} {
		for name, target := range map[string]func(testing.TB) appender{
			"store": func(tb testing.TB) appender { return storeAppender(benchStore(tb, embedded.Options{}), writers) },
			"nosync": func(tb testing.TB) appender {
				return storeAppender(benchStore(tb, embedded.Options{NoSync: true}), writers)
			},
			"baseline": func(tb testing.TB) appender { return openBaseline(tb, true) },
		} {
			b.Run(fmt.Sprintf("%d/%s", writers, name), func(b *testing.B) {
				add := target(b)
				var left atomic.Int64
				left.Store(int64(b.N))
				b.SetBytes(eventData)
				b.ResetTimer()
				drive(b, writers, add, func() bool { return left.Add(-1) < 0 })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

func openBaseline(tb testing.TB, sync bool) appender {
	tb.Helper()
	b := newBaseline(tb, benchFolder(tb), sync)
	tb.Cleanup(func() { b.close() })
	return baselineAppender(b)
}

// BenchmarkReplay reads a log of 1 KiB events from its start, as a rebuild of all projections does.
func BenchmarkReplay(b *testing.B) {
	store := benchStore(b, embedded.Options{NoSync: true})
	fill(b, store, 200_000)
	b.SetBytes(200_000 * eventData)
	for b.Loop() {
		replay(b, store, 200_000)
	}
}

func fill(tb testing.TB, store commands.EventStore, events int64) {
	tb.Helper()
	var left atomic.Int64
	left.Store(events)
	drive(tb, 256, storeAppender(store, 256), func() bool { return left.Add(-1) < 0 })
}

func replay(tb testing.TB, store commands.EventStore, atLeast int) {
	tb.Helper()
	n := 0
	for _, err := range store.ReadAll(context.Background(), domain.Position{}, 0, commands.Forwards) {
		if err != nil {
			tb.Fatal(err)
		}
		n++
	}
	if n < atLeast {
		tb.Fatalf("replayed %d events; want %d", n, atLeast)
	}
}

// TestSyncsPerEvent is the counter that is gated: at 512 writers at most 40 syncs for 1,000 events. Each sync is held
// until every writer has an append in flight, so that the figure does not depend on the machine.
func TestSyncsPerEvent(t *testing.T) {
	const writers, each = 512, 8
	sys := faultfs.New(1)
	store := open(t, sys, embedded.Options{SegmentSize: 4 << 20})
	defer store.Close()
	var active, inFlight atomic.Int64
	active.Store(writers)
	sys.HoldSync(func(string) {
		for inFlight.Load() < active.Load() {
			pause()
		}
	})
	before := sys.Count(faultfs.Sync)
	add := storeAppender(store, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			defer active.Add(-1)
			for range each {
				inFlight.Add(1)
				if err := add(w); err != nil {
					t.Error(err)
				}
				inFlight.Add(-1)
			}
		})
	}
	group.Wait()
	syncs := sys.Count(faultfs.Sync) - before
	perThousand := float64(syncs) * 1000 / (writers * each)
	t.Logf("%d syncs for %d events: %.1f for 1,000", syncs, writers*each, perThousand)
	if perThousand > 40 {
		t.Errorf("%.1f syncs for 1,000 events; want at most 40", perThousand)
	}
}

// TestBenchReport prints the ratios that are promised, each from alternating rounds of the store and of what it is
// compared with. STRANDLINE_BENCH=1 turns it on; it takes some minutes and 2 GB of disk.
func TestBenchReport(t *testing.T) {
	if os.Getenv("STRANDLINE_BENCH") == "" {
		t.Skip("STRANDLINE_BENCH is not set")
	}
	t.Run("append", reportAppend)
	t.Run("durability", reportDurability)
	t.Run("million", reportMillion)
}

func reportAppend(t *testing.T) {
	for _, target := range []struct {
		writers int
		ratio   float64
	}{{1, 0.9}, {64, 0.5}, {256, 0.4}} {
		what := fmt.Sprintf("append, %d writers / baseline", target.writers)
		ratioOf(t, what, target.ratio, target.writers, storeAppender(benchStore(t, embedded.Options{}), target.writers), openBaseline(t, true))
	}
}

func reportDurability(t *testing.T) {
	durable, not := benchStore(t, embedded.Options{}), benchStore(t, embedded.Options{NoSync: true})
	ratioOf(t, "durable / not durable, 256 writers", 0.7, 256, storeAppender(durable, 256), storeAppender(not, 256))
	ratioOf(t, "not durable / baseline without sync", 0.5, 256, storeAppender(not, 256), openBaseline(t, false))
}

// ratioOf measures two appenders in turns and prints the median of their ratios.
func ratioOf(t *testing.T, what string, target float64, writers int, measured, reference appender) {
	t.Helper()
	const rounds, round = 7, 1500 * time.Millisecond
	rate := func(add appender) float64 {
		end := time.Now().Add(round)
		return float64(drive(t, writers, add, func() bool { return time.Now().After(end) })) / round.Seconds()
	}
	rate(reference)
	rate(measured)
	var ratios, ours, theirs []float64
	for range rounds {
		a, b := rate(reference), rate(measured)
		ratios, theirs, ours = append(ratios, b/a), append(theirs, a), append(ours, b)
	}
	line(t, what, median(ratios), target, fmt.Sprintf("%.0f / %.0f events/s", median(ours), median(theirs)))
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

func line(t *testing.T, what string, ratio, target float64, detail string) {
	t.Helper()
	verdict := "met"
	if ratio < target {
		verdict = "MISSED"
	}
	t.Logf("%-42s %6.2f   target %.2f   %-6s   %s", what, ratio, target, verdict, detail)
}

// reportMillion kills a process that has appended a million events, opens its store from a cold cache, and replays it.
func reportMillion(t *testing.T) {
	dir := benchFolder(t)
	killAfterMillion(t, dir)
	dropCache(t, dir)
	began := time.Now()
	store := openDisk(t, dir, embedded.Options{})
	took := time.Since(began)
	t.Logf("%-42s %6.0f ms   target 2000 ms", "open after kill -9 with 10⁶ events, cold", float64(took.Microseconds())/1000)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	var ratios, ours, theirs []float64
	for range 3 {
		a, b := measureScan(t, dir), measureReplay(t, dir)
		ratios, theirs, ours = append(ratios, b/a), append(theirs, a), append(ours, b)
	}
	line(t, "cold replay / sequential checksum scan", median(ratios), 0.3, fmt.Sprintf("%.0f / %.0f MB/s", median(ours)/1e6, median(theirs)/1e6))
}

// million is how many events a child appends before it is killed.
const million = 1_000_000

func killAfterMillion(t *testing.T, dir string) {
	t.Helper()
	cmd := childCommand(dir, 0)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, err = out.Read(make([]byte, 1)) // it has appended a million and goes on
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil {
		t.Fatalf("the child appended no million: %v", err)
	}
}

// load is the work of that child.
func load(store commands.EventStore) {
	var n atomic.Int64
	drive(new(testing.T), 256, storeAppender(store, 256), func() bool {
		if n.Add(1) == million+257 { // all but the newest 256 have been answered
			os.Stdout.Write([]byte("!"))
		}
		return false
	})
}

// dropCache makes all files durable and lets the kernel forget their pages.
func dropCache(t *testing.T, dir string) {
	t.Helper()
	forEachFile(t, dir, func(f *os.File) {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Fatal(err)
		}
	})
}

func forEachFile(t *testing.T, dir string, visit func(*os.File)) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		visit(f)
		f.Close()
	}
}

// measureScan reads the segments in order and computes their checksum, in bytes a second.
func measureScan(t *testing.T, dir string) float64 {
	t.Helper()
	dropCache(t, dir)
	buf, table := make([]byte, 1<<20), crc32.MakeTable(crc32.Castagnoli)
	began, bytes, sum := time.Now(), 0, uint32(0)
	forEachFile(t, dir, func(f *os.File) {
		if filepath.Ext(f.Name()) != ".segment" {
			return
		}
		for {
			n, err := f.Read(buf)
			sum = crc32.Update(sum, table, buf[:n])
			bytes += n
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	return float64(bytes) / time.Since(began).Seconds()
}

// measureReplay reads all events through the port, in bytes of segments a second.
func measureReplay(t *testing.T, dir string) float64 {
	t.Helper()
	size := int64(0)
	forEachFile(t, dir, func(f *os.File) {
		if info, err := f.Stat(); err == nil && filepath.Ext(f.Name()) == ".segment" {
			size += info.Size()
		}
	})
	dropCache(t, dir)
	store := openDisk(t, dir, embedded.Options{VerifyRate: -1})
	defer store.Close()
	began := time.Now()
	replay(t, store, million)
	return float64(size) / time.Since(began).Seconds()
}
