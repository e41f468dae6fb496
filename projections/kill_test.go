package projections_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/codec"
	"strandline/projections"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
)

// victim is the variable that makes the test binary project a folder until it is killed.
const victim = "STRANDLINE_TEST_VICTIM"

// TestKilledProjectionsComeBackTheSame kills a process that projects a log with SIGKILL, again and again, and compares
// what the last one leaves with read models that were built in one go.
func TestKilledProjectionsComeBackTheSame(t *testing.T) {
	if dir := os.Getenv(victim); dir != "" {
		project(t, dir)
		return
	}
	rounds := 6
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		rounds = 100
	}
	dir := t.TempDir()
	fillLog(t, dir)
	slowest := time.Duration(0)
	for n := range rounds {
		if n%4 == 0 { // from the start again
			os.RemoveAll(filepath.Join(dir, "readmodels"))
		}
		slowest = max(slowest, killSoon(t, dir))
	}
	project(t, dir)
	broken := dumps(t, dir, filepath.Join(dir, "readmodels"))
	whole := dumps(t, dir, t.TempDir())
	if broken != whole {
		t.Errorf("dumps after %d kills:\n%s\nand of read models that were left alone:\n%s", rounds, broken, whole)
	}
	t.Logf("%d kills, slowest start after one %v", rounds, slowest)
}

// openLog opens the log in dir.
func openLog(t *testing.T, dir string) (*embedded.Store, projections.Decode) {
	t.Helper()
	disk, err := files.NewDisk(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(disk, embedded.Options{NoSync: true, VerifyRate: -1})
	if err != nil {
		t.Fatal(err)
	}
	c := codec.New(nil, nil, plain{}, plain{})
	return store, func(ctx context.Context, r domain.Record) (domain.Recorded, error) {
		return c.Decode(ctx, r, forwards{store})
	}
}

// fillLog copies a log of everything into dir.
func fillLog(t *testing.T, dir string) {
	t.Helper()
	l := newLog()
	live(t, l)
	store, _ := openLog(t, dir)
	defer store.Close()
	for r, err := range l.ReadAll(t.Context(), domain.Position{}, 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Append(t.Context(), r.Stream, domain.Any, []domain.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
}

// project builds the read models in dir up to the head of the log.
func project(t *testing.T, dir string) {
	t.Helper()
	store, decode := openLog(t, dir)
	defer store.Close()
	head, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, _ := models(t, filepath.Join(dir, "readmodels"))
	if os.Getenv(victim) != "" {
		fmt.Println("ready")
	}
	_, stop := run(t, store, decode, all...)
	defer stop()
	for _, m := range all {
		for m.Checkpoint() != head {
			time.Sleep(time.Millisecond)
		}
	}
}

// killSoon starts a process that projects dir and kills it after a moment. It returns how long it took to start.
func killSoon(t *testing.T, dir string) time.Duration {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProjectionsComeBackTheSame$")
	cmd.Env = append(os.Environ(), victim+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fscanln(out, new(string))
	took := time.Since(start)
	time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
	cmd.Process.Kill()
	cmd.Wait()
	return took
}

// dumps are the hashes of the dumps of the read models in a folder, built from the log in dir where they are not there.
func dumps(t *testing.T, dir, readModels string) (text string) {
	t.Helper()
	store, decode := openLog(t, dir)
	defer store.Close()
	head, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, closeAll := models(t, readModels)
	defer closeAll()
	for _, m := range all {
		sum := sha256.New()
		if err := projections.Dump(t.Context(), store, decode, m, head, sum); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s %x\n", m.Name(), sum.Sum(nil))
	}
	return text
}
