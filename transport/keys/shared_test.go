package keys_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/codec"
	"strandline/transport/files"
	"strandline/transport/files/faultfs"
	"strandline/transport/keys"
)

func share(t testing.TB, sys files.System) *keys.Store {
	t.Helper()
	s, err := keys.Share(sys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSharedKeysOpenWhatOthersHaveSealed(t *testing.T) {
	sys := faultfs.New(1)
	a, b := share(t, sys), share(t, sys)
	if a.Hash("p", "text") != b.Hash("p", "text") {
		t.Error("names differ between those who share the keys")
	}
	for i := range 5 {
		owner := fmt.Sprint("U", i)
		sealed := seal(t, a, keyFor(t, a, owner), owner)
		key := keyFor(t, b, owner)
		if key != keyFor(t, a, owner) {
			t.Errorf("%s has two keys", owner)
		}
		if plain, err := b.Open(nil, key, sealed, []byte("ad")); string(plain) != owner {
			t.Errorf("Open of what another has sealed = %q, %v", plain, err)
		}
		a, b = b, a
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	c := open(t, sys)
	defer c.Close()
	keyFor(t, c, "U0")
}

// TestSharedKeyUnknownAtFirst: the key of a payload that comes from elsewhere is looked for, without a call of KeyFor.
func TestSharedKeyUnknownAtFirst(t *testing.T) {
	sys := faultfs.New(1)
	a, b := share(t, sys), share(t, sys)
	key := keyFor(t, a, "U1")
	sealed := seal(t, a, key, "pulse")
	if plain, err := b.Open(nil, key, sealed, []byte("ad")); string(plain) != "pulse" || !b.Has(key) {
		t.Errorf("Open = %q, %v", plain, err)
	}
	if _, err := b.Open(nil, "abc", sealed, []byte("ad")); !errors.Is(err, codec.ErrKeyDestroyed) {
		t.Errorf("Open under a key that nobody has made = %v", err)
	}
}

func TestSharedKeysAreMadeOnce(t *testing.T) {
	sys := faultfs.New(1)
	stores := []*keys.Store{share(t, sys), share(t, sys), share(t, sys)}
	var mu sync.Mutex
	made := map[string]map[string]bool{}
	var all sync.WaitGroup
	for i := range 120 {
		all.Go(func() {
			owner := fmt.Sprint(i / len(stores) % 20)
			key, err := stores[i%len(stores)].KeyFor(context.Background(), owner)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if made[owner] == nil {
				made[owner] = map[string]bool{}
			}
			made[owner][key] = true
		})
	}
	all.Wait()
	for owner, ids := range made {
		if len(ids) != 1 {
			t.Errorf("%s has %d keys", owner, len(ids))
		}
	}
	if found, err := keys.Examine(sys); err != nil || found.Keys != 21 {
		t.Errorf("Examine = %+v, %v; want 21 keys", found, err)
	}
}

func TestSharedKeyIsDestroyedForEverybody(t *testing.T) {
	ctx := context.Background()
	sys := faultfs.New(1)
	a, b, idle := share(t, sys), share(t, sys), share(t, sys)
	for i := range 4 {
		gone, stays := fmt.Sprint("gone", i), fmt.Sprint("stays", i)
		key, kept := keyFor(t, a, gone), keyFor(t, b, stays)
		sealed, other := seal(t, a, key, "x"), seal(t, b, kept, "y")
		for _, s := range []*keys.Store{a, b} {
			if _, err := s.Open(nil, key, sealed, []byte("ad")); err != nil { // it is in everybody's cache now
				t.Fatal(err)
			}
		}
		if err := a.Destroy(ctx, gone); err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]*keys.Store{"a": a, "b": b, "idle": idle} {
			if _, err := s.Open(nil, key, sealed, []byte("ad")); !errors.Is(err, codec.ErrKeyDestroyed) {
				t.Errorf("%s: Open under a key that another has destroyed = %v", name, err)
			}
			if _, err := s.Seal(nil, key, []byte("z"), nil); !errors.Is(err, codec.ErrKeyDestroyed) {
				t.Errorf("%s: Seal = %v", name, err)
			}
			if _, err := s.KeyFor(ctx, gone); !errors.Is(err, domain.ErrRejected) {
				t.Errorf("%s: KeyFor = %v", name, err)
			}
			if plain, err := s.Open(nil, kept, other, []byte("ad")); string(plain) != "y" {
				t.Errorf("%s: Open of another's = %q, %v", name, plain, err)
			}
		}
		a, b = b, a
	}
	c, err := b.Copy(ctx)
	if found, bad := keys.ExamineCopy(c); err != nil || bad != nil || found.Keys != 5 || found.Destroyed != 4 {
		t.Errorf("Copy holds %+v, %v, %v", found, bad, err)
	}
}

func TestKeysAreAloneOrShared(t *testing.T) {
	sys := faultfs.New(1)
	a := share(t, sys)
	if _, err := keys.Open(sys, rand.Reader); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("Open of shared keys = %v", err)
	}
	a.Close()
	b := open(t, sys)
	defer b.Close()
	if _, err := keys.Share(sys, rand.Reader); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("Share of keys that somebody has alone = %v", err)
	}
}

// TestSharedKeysWhileAnotherHangs: who holds the lock and does not go on keeps nobody from using the keys there are.
func TestSharedKeysWhileAnotherHangs(t *testing.T) {
	sys := faultfs.New(1)
	a := share(t, sys)
	key := keyFor(t, a, "U1")
	sealed := seal(t, a, key, "x")
	hanging, err := sys.Open("lock", false)
	if err == nil {
		err = hanging.Lock()
	}
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := a.Open(nil, keyFor(t, a, "U1"), sealed, []byte("ad")); err != nil {
			t.Fatal(err)
		}
	}
	made := make(chan error)
	go func() {
		_, err := a.KeyFor(context.Background(), "U2")
		made <- err
	}()
	select {
	case err := <-made:
		t.Errorf("a key was made beside the lock: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	hanging.Close()
	if err := <-made; err != nil {
		t.Error(err)
	}
}

// TestSharedKeysAfterATornWrite: what a killed process has left is cut off by the next that writes.
func TestSharedKeysAfterATornWrite(t *testing.T) {
	sys := faultfs.New(1)
	a, b := share(t, sys), share(t, sys)
	before := keyFor(t, a, "U1")
	file, err := sys.Open("subjects", false)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := file.Size()
	if _, err := file.WriteAt([]byte("SKG1\xff\x00\x00\x00 half of a group, longer than the whole one that comes in its place, by far, as it had held several keys"+strings.Repeat(".", 400)), size); err != nil {
		t.Fatal(err)
	}
	key := keyFor(t, b, "U2")
	if keyFor(t, a, "U2") != key || keyFor(t, b, "U1") != before {
		t.Error("keys differ")
	}
	if found, err := keys.Examine(sys); err != nil || found.Keys != 3 || found.Torn != 0 {
		t.Errorf("Examine = %+v, %v", found, err)
	}
}

// TestDrillSharedPowerCut is the power cut of keys that two share.
func TestDrillSharedPowerCut(t *testing.T) {
	outcomes, points := 5, 0
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		outcomes = 100
	}
	for n := 1; ; n++ {
		finished := false
		for seed := range outcomes {
			sys := faultfs.New(uint64(seed))
			sys.CrashAt(n)
			ack, done := liveShared(sys)
			finished = finished || done
			sys = sys.Restart(uint64(1000*n + seed))
			points++
			s, err := keys.Share(sys, rand.Reader)
			if err == nil {
				err = ack.check(s)
			}
			if err != nil {
				t.Errorf("crash at call %d, seed %d: %v", n, seed, err)
			}
		}
		if finished {
			break
		}
	}
	t.Logf("points %d", points)
}

// liveShared makes and destroys keys in two processes by turns, until the power goes, or the work is done.
func liveShared(sys *faultfs.FS) (acknowledged, bool) {
	ctx := context.Background()
	ack := acknowledged{map[string][]byte{}, map[string]string{}, map[string]bool{}}
	a, err := keys.Share(sys, rand.Reader)
	if err != nil {
		return ack, false
	}
	b, err := keys.Share(sys, rand.Reader)
	for i := 0; i < 6 && err == nil; i++ {
		owner, key := fmt.Sprint(i), ""
		if key, err = a.KeyFor(ctx, owner); err != nil {
			break
		}
		ack.owners[owner] = key
		ack.sealed[key], err = a.Seal(nil, key, []byte(owner), nil)
		if i == 3 && err == nil {
			ack.destroyed["1"] = false
			err = b.Destroy(ctx, "1")
			ack.destroyed["1"] = err == nil
		}
		a, b = b, a
	}
	return ack, err == nil && errors.Join(a.Close(), b.Close()) == nil
}

// sharer is a process that makes and destroys keys, and says so.
type sharer struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

const sharerFolder = "STRANDLINE_TEST_SHARED_KEYS"

// TestSharer is that process, and no test by itself.
func TestSharer(t *testing.T) {
	dir := os.Getenv(sharerFolder)
	if dir == "" {
		t.Skip("it is what TestDrillSharedKill starts")
	}
	disk, err := files.NewDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := share(t, disk)
	for i := 0; ; i++ {
		now := time.Now().UnixMilli() / 2
		common := fmt.Sprint("common", now) // others make it at the same time
		key := keyFor(t, s, common)
		fmt.Printf("\nkey %s %s %x\n", common, key, seal(t, s, key, common))
		if i%8 == 0 {
			own := fmt.Sprint("own", os.Getpid(), "-", i)
			key := keyFor(t, s, own)
			fmt.Printf("\nkey %s %s %x\n", own, key, seal(t, s, key, own))
			if err := s.Destroy(t.Context(), own); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("\ngone %s %s\n", own, key)
		}
	}
}

// TestDrillSharedKill kills processes that share keys with -9, over and over, while this one uses what they say they have
// made, and does not what they have destroyed.
func TestDrillSharedKill(t *testing.T) {
	rounds := 12
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		rounds = 400
	}
	dir := t.TempDir()
	disk, err := files.NewDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &sharedWatch{t: t, store: share(t, disk), keys: map[string]string{}, sealed: map[string][]byte{}, gone: map[string]bool{}}
	var running []*sharer
	for range 3 {
		running = append(running, w.start(dir))
	}
	for i := range rounds {
		time.Sleep(time.Duration(20+37*i%100) * time.Millisecond)
		victim := running[i%len(running)]
		_ = victim.cmd.Process.Kill() // it does not end by itself
		<-victim.ended
		running[i%len(running)] = w.start(dir)
	}
	for _, s := range running {
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	again := share(t, disk)
	defer again.Close()
	for owner, key := range w.keys {
		_, err := again.Open(nil, key, w.sealed[owner], []byte("ad"))
		if w.gone[owner] != errors.Is(err, codec.ErrKeyDestroyed) && !strings.HasPrefix(owner, "own") || w.gone[owner] && err == nil {
			t.Errorf("%s, destroyed %v: %v", owner, w.gone[owner], err)
		}
	}
	if len(w.keys) == 0 || len(w.gone) == 0 {
		t.Errorf("%d keys and %d destroyed: nothing was tried", len(w.keys), len(w.gone))
	}
	found, err := keys.Examine(disk)
	t.Logf("%d kills: %d keys made by several processes, one for each owner, %d of them destroyed; %+v, %v", rounds, len(w.keys), len(w.gone), found, err)
	if err != nil {
		t.Error(err)
	}
}

// sharedWatch compares what processes say.
type sharedWatch struct {
	t     *testing.T
	store *keys.Store

	mu     sync.Mutex
	keys   map[string]string // by owner
	sealed map[string][]byte
	gone   map[string]bool
}

func (w *sharedWatch) start(dir string) *sharer {
	s := &sharer{cmd: exec.Command(os.Args[0], "-test.run", "^TestSharer$"), ended: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), sharerFolder+"="+dir)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			w.take(strings.Fields(lines.Text()))
		}
		_ = s.cmd.Wait() // it was killed
	}()
	return s
}

// take checks what a process says against what the others have said, and against what this one can do.
func (w *sharedWatch) take(words []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(words) == 3 && words[0] == "gone":
		w.gone[words[1]] = true
		if _, err := w.store.Open(nil, words[2], w.sealed[words[1]], []byte("ad")); !errors.Is(err, codec.ErrKeyDestroyed) {
			w.t.Errorf("the key of %s has been destroyed elsewhere; Open = %v", words[1], err)
		}
	case len(words) == 4 && words[0] == "key":
		if before, ok := w.keys[words[1]]; ok && before != words[2] {
			w.t.Errorf("%s has the keys %s and %s", words[1], before, words[2])
		}
		sealed, err := hex.DecodeString(words[3])
		if err != nil {
			return // killed in the middle of a line
		}
		w.keys[words[1]], w.sealed[words[1]] = words[2], sealed
		if plain, err := w.store.Open(nil, words[2], sealed, []byte("ad")); err == nil && string(plain) != words[1] ||
			err != nil && !strings.HasPrefix(words[1], "own") { // which may be gone already
			w.t.Errorf("the key of %s was made elsewhere; Open = %q, %v", words[1], plain, err)
		}
	case len(words) > 0 && strings.HasPrefix(words[0], "---"):
		w.t.Errorf("a process has failed: %s", words)
	}
}
