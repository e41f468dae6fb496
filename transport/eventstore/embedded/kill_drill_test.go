package embedded_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
)

// Environment of the processes that the drills start: this test's own program again.
const (
	childFolder = "STRANDLINE_DRILL_CHILD"
	childLife   = "STRANDLINE_DRILL_LIFE"
)

// TestMain is also the main function of a drill's child.
func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		os.Exit(child(folder, os.Getenv(childLife)))
	}
	os.Exit(m.Run())
}

const killWriters = 24

// child opens the store in folder, says so or why not, appends with many writers until it is killed, and writes each
// acknowledgement to its standard output: life, writer, seq, revision, position.
func child(folder, life string) int {
	sys, err := files.NewDisk(folder)
	if err != nil {
		return 1
	}
	store, err := embedded.Open(sys, childOptions(life))
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	n, err := strconv.Atoi(life)
	if err != nil {
		return 1
	}
	if n == 0 {
		load(store)
	}
	out := &acks{EventStore: store}
	var group sync.WaitGroup
	for w := range killWriters {
		group.Go(func() { newLedger().write(context.Background(), out, uint32(n), uint16(w), 1<<30) })
	}
	group.Wait()
	return 1
}

// childOptions: life 0 is a benchmark, with the options that a server has.
func childOptions(life string) embedded.Options {
	if life == "0" {
		return embedded.Options{}
	}
	return embedded.Options{SegmentSize: 1 << 20}
}

// acks is a store that says each acknowledgement aloud before its caller hears of it.
type acks struct {
	commands.EventStore
	mu sync.Mutex
}

func (a *acks) Append(ctx context.Context, stream string, expected domain.Expected, rs []domain.Record) (commands.Appended, error) {
	done, err := a.EventStore.Append(ctx, stream, expected, rs)
	if err != nil {
		return done, err
	}
	line := append(make([]byte, 0, 28), rs[0].ID[:12]...)
	line = binary.BigEndian.AppendUint64(line, done.Revision)
	line = binary.BigEndian.AppendUint64(line, done.Position.Commit)
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err = os.Stdout.Write(line)
	return done, err
}

// TestKill kills a loaded process with signal 9, again and again on one growing folder. What it has acknowledged is there.
func TestKill(t *testing.T) {
	var y tally
	folder, ledger := t.TempDir(), newLedger()
	sys, err := files.NewDisk(folder)
	if err != nil {
		t.Fatal(err)
	}
	rounds := scale(30, 300)
	for life := 1; life <= rounds; life++ {
		killOnce(t, folder, uint32(life), ledger)
		store, err := y.open(sys, embedded.Options{SegmentSize: 1 << 20})
		if err != nil {
			t.Fatalf("open after kill %d: %v", life, err)
		}
		y.point("kill")
		check := ledger.checkNew
		if life == rounds {
			check = ledger.check
		}
		if err := check(t.Context(), store); err != nil {
			y.violation(t, "after kill %d: %v", life, err)
		}
		if err := ledger.retry(t.Context(), store); err != nil {
			y.violation(t, "after kill %d: %v", life, err)
		}
		if err := store.Close(); err != nil {
			y.violation(t, "close: %v", err)
		}
	}
	t.Logf("%d records", len(ledger.known))
	y.report(t)
}

// killOnce runs a child for some milliseconds and adds what it acknowledged to the ledger, and what it had in flight.
func killOnce(t *testing.T, folder string, life uint32, ledger *ledger) {
	t.Helper()
	cmd := childCommand(folder, life)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	in := bufio.NewReaderSize(out, 1<<16)
	if _, err := in.Peek(1); err != nil {
		t.Fatalf("child %d acknowledged nothing: %v", life, cmd.Wait())
	}
	time.AfterFunc(time.Duration(rand.IntN(40_000))*time.Microsecond, func() { cmd.Process.Kill() })
	next, own := ledger.hear(t, in)
	cmd.Wait()
	for w := range uint16(killWriters) {
		k := appendKey{life, w, next[w]}
		ledger.open[k] = domain.Any
		if k.own() {
			ledger.open[k] = own[w] - 1 // NoStream if there is none yet
		}
	}
}

// hear reads acknowledgements until the pipe ends. It returns what each writer was to send next, and one more than the
// last revision of its own stream.
func (l *ledger) hear(t *testing.T, in io.Reader) (next map[uint16]uint32, own map[uint16]domain.Expected) {
	t.Helper()
	next, own = map[uint16]uint32{}, map[uint16]domain.Expected{}
	for line := make([]byte, 28); ; {
		if _, err := io.ReadFull(in, line); err != nil {
			return next, own
		}
		var id domain.ID
		copy(id[:], line)
		k, _, _ := keyOf(id)
		revision, position := binary.BigEndian.Uint64(line[12:]), binary.BigEndian.Uint64(line[20:])
		l.acked[k] = commands.Appended{Revision: revision, Position: domain.Position{Commit: position, Prepare: position}}
		next[k.writer] = k.seq + 1
		if k.own() {
			own[k.writer] = domain.Exactly(revision) + 1
		}
	}
}

func childCommand(folder string, life uint32) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+folder, childLife+"="+strconv.Itoa(int(life)))
	return cmd
}

// TestSecondOpener: a folder has one server. A second one is refused at once, in this process and from another one, and
// does no harm; when the first has closed, the next may come.
func TestSecondOpener(t *testing.T) {
	folder := t.TempDir()
	sys, err := files.NewDisk(folder)
	if err != nil {
		t.Fatal(err)
	}
	ledger := newLedger()
	store := open(t, sys, small())
	if err := ledger.work(t.Context(), store, 1, 3, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Open(sys, small()); !errors.Is(err, domain.ErrUnavailable) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second opener in this process = %v; want that the folder is in use", err)
	}
	second := childCommand(folder, 2)
	var said strings.Builder
	second.Stderr = &said
	if err := second.Run(); err == nil || !strings.Contains(said.String(), "in use") {
		t.Errorf("a second opener in another process ended with %v and said %q; want that the folder is in use", err, &said)
	}
	if err := ledger.work(t.Context(), store, 3, 3, 5); err != nil {
		t.Errorf("append after a second opener came: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = open(t, sys, small())
	defer store.Close()
	if err := ledger.check(t.Context(), store); err != nil {
		t.Error(err)
	}
}
