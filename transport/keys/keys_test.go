package keys_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/codec"
	"strandline/transport/files"
	"strandline/transport/files/faultfs"
	"strandline/transport/keys"
)

func open(t testing.TB, sys files.System) *keys.Store {
	t.Helper()
	s, err := keys.Open(sys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keyFor(t testing.TB, s *keys.Store, owner string) string {
	t.Helper()
	id, err := s.KeyFor(context.Background(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func seal(t testing.TB, s *keys.Store, key, plain string) []byte {
	t.Helper()
	sealed, err := s.Seal([]byte("head"), key, []byte(plain), []byte("ad"))
	if err != nil {
		t.Fatal(err)
	}
	if string(sealed[:4]) != "head" {
		t.Fatalf("Seal did not append: %q", sealed)
	}
	return sealed[4:]
}

func TestSealsAndOpensAlsoAfterReopening(t *testing.T) {
	sys := faultfs.New(1)
	s := open(t, sys)
	key := keyFor(t, s, "U0000000001")
	sealed := seal(t, s, key, "pulse 72")
	hash := s.Hash("access key", "jane@example.org")
	if bytes.Contains(sealed, []byte("pulse")) {
		t.Error("the plaintext can be read")
	}
	if bytes.Equal(sealed, seal(t, s, key, "pulse 72")) {
		t.Error("sealing twice gave the same bytes")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, sys)
	defer s.Close()
	if again := keyFor(t, s, "U0000000001"); again != key {
		t.Errorf("key is %s after reopening, was %s", again, key)
	}
	got, err := s.Open([]byte("x"), key, sealed, []byte("ad"))
	if err != nil || string(got) != "xpulse 72" {
		t.Errorf("Open = %q, %v", got, err)
	}
	if s.Hash("access key", "jane@example.org") != hash {
		t.Error("hash changed after reopening")
	}
	if s.Hash("access ke", "yjane@example.org") == hash {
		t.Error("purpose and text run into each other")
	}
}

func TestOpenRefuses(t *testing.T) {
	s := open(t, faultfs.New(1))
	defer s.Close()
	key, other := keyFor(t, s, "a"), keyFor(t, s, "b")
	sealed := seal(t, s, key, "x")
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for _, tt := range []struct {
		name, key  string
		sealed, ad []byte
		err        error
	}{
		{"other associated data", key, sealed, []byte("da"), domain.ErrDamaged},
		{"another key", other, sealed, []byte("ad"), domain.ErrDamaged},
		{"a flipped bit", key, flipped, []byte("ad"), domain.ErrDamaged},
		{"too few bytes", key, sealed[:27], []byte("ad"), domain.ErrDamaged},
		{"an unknown key", "1234", sealed, []byte("ad"), codec.ErrKeyDestroyed},
		{"no key id at all", "not hexadecimal", sealed, []byte("ad"), codec.ErrKeyDestroyed},
	} {
		if _, err := s.Open(nil, tt.key, tt.sealed, tt.ad); !errors.Is(err, tt.err) {
			t.Errorf("%s: Open = %v, want %v", tt.name, err, tt.err)
		}
	}
}

func TestDestroyedKeysStayDestroyed(t *testing.T) {
	ctx := context.Background()
	sys := faultfs.New(1)
	s := open(t, sys)
	key, stays := keyFor(t, s, "gone"), keyFor(t, s, "stays")
	sealed, kept := seal(t, s, key, "x"), seal(t, s, stays, "y")
	for range 2 {
		if err := s.Destroy(ctx, "gone"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Destroy(ctx, "never seen"); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		if _, err := s.Open(nil, key, sealed, []byte("ad")); !errors.Is(err, codec.ErrKeyDestroyed) {
			t.Errorf("round %d: Open of a destroyed key = %v", round, err)
		}
		if _, err := s.Seal(nil, key, nil, nil); !errors.Is(err, codec.ErrKeyDestroyed) {
			t.Errorf("round %d: Seal under a destroyed key = %v", round, err)
		}
		for _, owner := range []string{"gone", "never seen"} {
			if _, err := s.KeyFor(ctx, owner); !errors.Is(err, domain.ErrRejected) {
				t.Errorf("round %d: KeyFor(%s) = %v", round, owner, err)
			}
		}
		if got, err := s.Open(nil, stays, kept, []byte("ad")); err != nil || string(got) != "y" {
			t.Errorf("round %d: Open of a key that stays = %q, %v", round, got, err)
		}
		keyFor(t, s, fmt.Sprint("made later ", round))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, sys)
	}
	for _, owner := range []string{"", commands.Installation, "names"} {
		if err := s.Destroy(ctx, owner); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("Destroy(%q) = %v", owner, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDestroyLeavesNothingOfTheKeyOnDisk(t *testing.T) {
	dir := t.TempDir()
	sys, err := files.NewDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, sys)
	defer s.Close()
	keyFor(t, s, "U0000000001")
	before, err := os.ReadFile(filepath.Join(dir, "subjects"))
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.LastIndex(before, []byte("U0000000001"))
	box := before[i+len("U0000000001"):]
	if err := s.Destroy(context.Background(), "U0000000001"); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "subjects"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(after, box[:16]) {
		t.Error("the wrapped key is still in the file")
	}
	info, err := os.Stat(filepath.Join(dir, "root.key"))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("root.key: %v, %v", info, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("files left: %v", entries)
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	sys, err := files.NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, sys)
	defer s.Close()
	if _, err := keys.Open(sys, rand.Reader); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("second Open = %v", err)
	}
}

func TestOneSyncForManyNewOwners(t *testing.T) {
	sys := faultfs.New(1)
	s := open(t, sys)
	defer s.Close()
	const writers = 64
	gate, first := make(chan struct{}), make(chan struct{})
	var once sync.Once
	syncs := 0
	sys.HoldSync(func(string) {
		syncs++ // one at a time: the store writes under a lock
		once.Do(func() { close(first) })
		<-gate
	})
	var all sync.WaitGroup
	ask := func(i int) {
		defer all.Done()
		if _, err := s.KeyFor(context.Background(), fmt.Sprint("owner ", i/2)); err != nil {
			t.Error(err)
		}
	}
	all.Add(writers + 1)
	go ask(2 * writers)
	<-first
	for i := range writers {
		go ask(i)
	}
	for s.Waiting() < writers/2 {
		time.Sleep(time.Millisecond)
	}
	close(gate)
	all.Wait()
	if syncs != 2 {
		t.Errorf("%d syncs for 1 + %d owners, want 2", syncs, writers/2)
	}
}

func TestFailedWriteStopsTheStore(t *testing.T) {
	for _, op := range []faultfs.Op{faultfs.Sync, faultfs.WriteAt} {
		sys := faultfs.New(1)
		s := open(t, sys)
		key := keyFor(t, s, "before")
		sys.Inject(faultfs.Fault{Ops: []faultfs.Op{op}, At: 1, Err: syscall.EIO})
		for i := range 2 {
			if _, err := s.KeyFor(context.Background(), fmt.Sprint(i)); !errors.Is(err, domain.ErrUnavailable) {
				t.Errorf("KeyFor after a failed write = %v", err)
			}
		}
		seal(t, s, key, "what is there still works")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFullDiskIsGotOver(t *testing.T) {
	ctx := context.Background()
	for _, op := range []faultfs.Op{faultfs.Allocate, faultfs.Create} {
		sys := faultfs.New(1)
		s := open(t, sys)
		before := keyFor(t, s, "before")
		sys.Inject(faultfs.Fault{Ops: []faultfs.Op{op}, At: 1, Err: syscall.ENOSPC})
		_, err := s.KeyFor(ctx, "new")
		if op == faultfs.Create {
			err = s.Destroy(ctx, "before")
		}
		if !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("with a full disk: %v", err)
		}
		fresh := keyFor(t, s, "new")
		if got := keyFor(t, s, "before"); got != before {
			t.Errorf("key is %s, was %s", got, before)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s = open(t, sys)
		if keyFor(t, s, "before") != before || keyFor(t, s, "new") != fresh {
			t.Error("keys changed")
		}
	}
}

func TestDamageIsReported(t *testing.T) {
	build := func(t *testing.T) (*faultfs.FS, int64) {
		sys := faultfs.New(1)
		s := open(t, sys)
		for i := range 5 {
			keyFor(t, s, fmt.Sprint("owner", i))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := sys.ReadFile("subjects")
		if err != nil {
			t.Fatal(err)
		}
		return sys, int64(len(data))
	}
	_, size := build(t)
	const mark = 20 // the last group, which only says what is durable
	for at := int64(0); at < size-mark; at++ {
		sys, _ := build(t)
		if err := sys.FlipBit("subjects", at*8+at%8); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Open(sys.Restart(1), rand.Reader); !errors.Is(err, domain.ErrDamaged) {
			t.Fatalf("Open with a bit flipped at byte %d of %d = %v", at, size, err)
		}
	}
	t.Run("root key", func(t *testing.T) {
		sys, _ := build(t)
		if err := sys.Remove("root.key"); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Open(sys, rand.Reader); !errors.Is(err, domain.ErrDamaged) {
			t.Errorf("Open without root.key = %v", err)
		}
		sys, _ = build(t)
		if err := sys.FlipBit("root.key", 3); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Open(sys, rand.Reader); !errors.Is(err, domain.ErrDamaged) {
			t.Errorf("Open with another root.key = %v", err)
		}
	})
}
