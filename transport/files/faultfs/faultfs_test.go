package faultfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"strandline/transport/files"
	"strandline/transport/files/faultfs"
)

const page = 4096

func TestBehavesAsAFileSystem(t *testing.T) {
	disk, err := files.NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, sys := range map[string]files.System{"disk": disk, "faultfs": faultfs.New(1)} {
		t.Run(name, func(t *testing.T) {
			must(t, sys.MkdirAll("a/b"))
			f := create(t, sys, "a/b/one")
			write(t, f, []byte("hello"), 3)
			want(t, sys, "a/b/one", "\x00\x00\x00hello")
			must(t, f.Truncate(5))
			must(t, f.Truncate(7))
			want(t, sys, "a/b/one", "\x00\x00\x00he\x00\x00")
			must(t, f.Allocate(3))
			must(t, f.Allocate(8))
			want(t, sys, "a/b/one", "\x00\x00\x00he\x00\x00\x00")
			must(t, f.Sync())
			must(t, sys.Link("a/b/one", "a/two"))
			must(t, sys.Rename("a/b/one", "a/b/three"))
			write(t, f, []byte("X"), 0)
			want(t, sys, "a/two", "X\x00\x00he\x00\x00\x00")
			must(t, sys.Remove("a/two"))
			must(t, sys.SyncDir("a"))
			names, err := sys.List("a")
			if err != nil || !slices.Equal(names, []string{"b"}) {
				t.Errorf("List(a) = %v, %v; want b", names, err)
			}
			testReading(t, f)
			testErrors(t, sys)
			must(t, f.Close())
		})
	}
}

func testReading(t *testing.T, f files.File) {
	t.Helper()
	buffer := make([]byte, 6)
	if n, err := f.ReadAt(buffer, 4); n != 4 || err != io.EOF {
		t.Errorf("ReadAt over the end = %d, %v; want 4, EOF", n, err)
	}
	if n, err := f.ReadAt(buffer, 100); n != 0 || err != io.EOF {
		t.Errorf("ReadAt beyond the end = %d, %v; want 0, EOF", n, err)
	}
	mapped, unmap, err := f.Map(4)
	if err != nil || string(mapped) != "X\x00\x00h" {
		t.Errorf("Map(4) = %q, %v", mapped, err)
	}
	must(t, unmap())
	if size, err := f.Size(); size != 8 || err != nil {
		t.Errorf("Size() = %d, %v; want 8", size, err)
	}
}

func testErrors(t *testing.T, sys files.System) {
	t.Helper()
	_, open := sys.Open("none", false)
	_, createTwice := sys.Open("a/b/three", true)
	_, createNowhere := sys.Open("nowhere/x", true)
	_, read := sys.ReadFile("none")
	_, list := sys.List("none")
	for _, tt := range []struct {
		what      string
		got, want error
	}{
		{"open", open, fs.ErrNotExist},
		{"create twice", createTwice, fs.ErrExist},
		{"create in no folder", createNowhere, fs.ErrNotExist},
		{"read", read, fs.ErrNotExist},
		{"list", list, fs.ErrNotExist},
		{"rename", sys.Rename("none", "a/x"), fs.ErrNotExist},
		{"link", sys.Link("none", "a/x"), fs.ErrNotExist},
		{"link over", sys.Link("a/b/three", "a/b/three"), fs.ErrExist},
		{"remove", sys.Remove("none"), fs.ErrNotExist},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s = %v; want %v", tt.what, tt.got, tt.want)
		}
	}
}

func TestLockIsForOne(t *testing.T) {
	sys := faultfs.New(1)
	first := create(t, sys, "lock")
	second := open(t, sys, "lock")
	must(t, first.Lock())
	if err := second.Lock(); err == nil {
		t.Error("second Lock = nil; want an error")
	}
	must(t, first.Close())
	must(t, second.Lock())
}

// What is synced stays whatever the chances; what is not may stay or go, page by page.
func TestLockIsShared(t *testing.T) {
	for _, sys := range both(t) {
		var three []files.File
		for i := range 3 {
			f, err := sys.Open("f", i == 0)
			must(t, err)
			three = append(three, f)
		}
		must(t, three[0].Share())
		must(t, three[1].Share())
		if err := three[2].Lock(); !files.IsHeld(err) {
			t.Errorf("Lock of what is shared = %v", err)
		}
		must(t, three[0].Close())
		must(t, three[1].Close())
		must(t, three[2].Lock())
		again, err := sys.Open("f", false)
		must(t, err)
		if err := again.Share(); !files.IsHeld(err) {
			t.Errorf("Share of what somebody has alone = %v", err)
		}
	}
}

func TestLinked(t *testing.T) {
	for _, sys := range both(t) {
		f, err := sys.Open("f", true)
		must(t, err)
		g, err := sys.Open("g", true)
		must(t, err)
		must(t, sys.Rename("g", "f"))
		if linked, err := f.Linked(); linked || err != nil {
			t.Errorf("Linked of what another was moved over = %v, %v", linked, err)
		}
		if linked, err := g.Linked(); !linked || err != nil {
			t.Errorf("Linked of what was moved = %v, %v", linked, err)
		}
	}
}

// both are a real and a pretended file system.
func both(t *testing.T) []files.System {
	t.Helper()
	disk, err := files.NewDisk(t.TempDir())
	must(t, err)
	return []files.System{disk, faultfs.New(1)}
}

func TestOnlySyncedIsSure(t *testing.T) {
	sys := faultfs.New(1)
	f := create(t, sys, "f")
	before, after := bytes.Repeat([]byte("a"), 8*page), bytes.Repeat([]byte("b"), 8*page)
	write(t, f, before, 0)
	must(t, f.Sync())
	must(t, sys.SyncDir("."))
	write(t, f, after[:6*page], 2*page)
	outcomes := map[string]bool{}
	torn := false
	for seed := range uint64(300) {
		got, err := sys.Restart(seed).ReadFile("f")
		must(t, err)
		if !bytes.Equal(got[:2*page], before[:2*page]) || len(got) != len(before) {
			t.Fatalf("seed %d: what was synced has changed", seed)
		}
		pattern := ""
		for i := 2; i < 8; i++ {
			p := got[i*page : (i+1)*page]
			kept := bytes.Count(p, []byte("b"))
			if !bytes.Equal(p[:kept], after[:kept]) || kept%512 != 0 {
				t.Fatalf("seed %d: page %d is torn other than after some sectors", seed, i)
			}
			torn = torn || kept > 0 && kept < page
			pattern += fmt.Sprint(kept / 512)
		}
		outcomes[pattern] = true
	}
	if !outcomes["888888"] || len(outcomes) < 50 || !torn {
		t.Errorf("%d outcomes, torn %v, all kept %v; want many, some torn, some whole", len(outcomes), torn, outcomes["888888"])
	}
}

func TestNamesAreDurableAfterSyncDir(t *testing.T) {
	sys := faultfs.New(1)
	must(t, sys.MkdirAll("d"))
	must(t, sys.SyncDir("."))
	for _, name := range []string{"d/kept", "d/lost", "d/old"} {
		f := create(t, sys, name)
		write(t, f, []byte(name), 0)
		must(t, f.Sync())
		if name != "d/old" {
			continue
		}
		must(t, sys.Remove("d/lost"))
		must(t, sys.SyncDir("d"))
	}
	f := create(t, sys, "d/new")
	must(t, f.Sync())
	must(t, sys.Rename("d/new", "d/old"))
	must(t, sys.Remove("d/kept"))
	seen := map[string]bool{}
	for seed := range uint64(200) {
		after := sys.Restart(seed)
		seen[fmt.Sprint(after.Names())] = true
		old, err := after.ReadFile("d/old")
		if err != nil || len(old) != 0 && string(old) != "d/old" {
			t.Fatalf("seed %d: a renamed-over file is %q, %v; want the old or the new one", seed, old, err)
		}
	}
	for _, names := range []string{"[d/kept d/old]", "[d/old]", "[d/kept d/new d/old]", "[d/new d/old]"} {
		if !seen[names] {
			t.Errorf("never saw %s; saw %v", names, seen)
		}
		delete(seen, names)
	}
	if len(seen) > 0 {
		t.Errorf("saw %v; want none of these", seen)
	}
}

func TestCrashAtEveryCall(t *testing.T) {
	work := func(sys *faultfs.FS) (synced bool, err error) {
		if err := sys.MkdirAll("d"); err != nil {
			return false, err
		}
		f, err := sys.Open("d/f", true)
		if err != nil {
			return false, err
		}
		if _, err = f.WriteAt([]byte("data"), 0); err != nil {
			return false, err
		}
		if err := errors.Join(f.Sync(), sys.SyncDir("d"), sys.SyncDir(".")); err != nil {
			return false, err
		}
		return true, sys.Rename("d/f", "d/g")
	}
	whole := faultfs.New(1)
	if _, err := work(whole); err != nil || whole.Changes() != 7 {
		t.Fatalf("err = %v, changes = %d; want 7", err, whole.Changes())
	}
	for at := 1; at <= 7; at++ {
		for seed := range uint64(40) {
			sys := faultfs.New(seed)
			sys.CrashAt(at)
			synced, err := work(sys)
			if !errors.Is(err, faultfs.ErrCrashed) || !sys.Crashed() {
				t.Fatalf("crash at %d: err = %v", at, err)
			}
			wantOp := []string{"MkdirAll", "Create", "WriteAt", "Sync", "SyncDir", "SyncDir", "Rename"}[at-1]
			if op, _ := sys.CrashedAt(); op != wantOp {
				t.Fatalf("crash at %d was at %s; want %s", at, op, wantOp)
			}
			names := sys.Restart(seed).Names()
			if synced && !slices.Equal(names, []string{"d/f"}) && !slices.Equal(names, []string{"d/g"}) {
				t.Fatalf("crash at %d, seed %d: the synced file is gone: %v", at, seed, names)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	sys := faultfs.New(1)
	f := create(t, sys, "f")
	must(t, sys.SyncDir("."))
	sys.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.WriteAt}, At: 2, Stays: true, Err: syscall.ENOSPC})
	sys.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.Sync}, Name: "f", At: 1, Err: syscall.EIO})
	write(t, f, []byte("one"), 0)
	for range 2 {
		if n, err := f.WriteAt([]byte("two"), 3); !errors.Is(err, syscall.ENOSPC) || n > 3 {
			t.Errorf("WriteAt = %d, %v; want ENOSPC", n, err)
		}
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Sync = %v; want EIO", err)
	}
	must(t, f.Sync())
	sys.Heal()
	write(t, f, []byte("two"), 3)
	if got := sys.Count(faultfs.Sync); got != 2 {
		t.Errorf("Count(Sync) = %d; want 2", got)
	}
}

// After a failed sync the page can be read, a second sync succeeds, and yet the data may be gone.
func TestFailedSyncLosesPages(t *testing.T) {
	lost := 0
	for seed := range uint64(50) {
		sys := faultfs.New(seed)
		f := create(t, sys, "f")
		must(t, f.Truncate(page))
		must(t, f.Sync())
		must(t, sys.SyncDir("."))
		sys.Inject(faultfs.Fault{Ops: []faultfs.Op{faultfs.Sync}, At: 1, Err: syscall.EIO})
		write(t, f, []byte("data"), 0)
		if err := f.Sync(); err == nil {
			t.Fatal("Sync = nil; want EIO")
		}
		must(t, f.Sync())
		want(t, sys, "f", "data"+string(make([]byte, page-4)))
		got, err := sys.Restart(seed).ReadFile("f")
		must(t, err)
		if string(got[:4]) != "data" {
			lost++
		}
	}
	if lost == 0 || lost == 50 {
		t.Errorf("lost %d of 50; want some", lost)
	}
}

func TestRestartWithLosesChosenPages(t *testing.T) {
	sys := faultfs.New(1)
	f := create(t, sys, "f")
	write(t, f, bytes.Repeat([]byte("x"), 4*page), 0)
	after := sys.RestartWith(func(name string, p int64) int {
		if name != "f" {
			t.Errorf("name = %q; want f", name)
		}
		return []int{8, 0, 3, 8}[p]
	})
	got, err := after.ReadFile("f")
	must(t, err)
	for i, kept := range []int{8, -1, 3, 8} {
		if count := bytes.Count(got[i*page:(i+1)*page], []byte("x")); kept >= 0 && count != kept*512 && count != page {
			t.Errorf("page %d has %d bytes", i, count)
		}
	}
}

func TestFlipBit(t *testing.T) {
	sys := faultfs.New(1)
	f := create(t, sys, "f")
	write(t, f, []byte{0, 0, 0}, 0)
	must(t, f.Sync())
	must(t, sys.SyncDir("."))
	must(t, sys.FlipBit("f", 9))
	want(t, sys, "f", "\x00\x02\x00")
	want(t, sys.Restart(3), "f", "\x00\x02\x00")
	if err := sys.FlipBit("none", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("FlipBit(none) = %v", err)
	}
}

func TestHoldSync(t *testing.T) {
	sys := faultfs.New(1)
	f := create(t, sys, "f")
	gate := make(chan struct{})
	var held atomic.Int32
	sys.HoldSync(func(string) { held.Add(1); <-gate })
	var group sync.WaitGroup
	group.Go(func() { must(t, f.Sync()) })
	for held.Load() == 0 {
		write(t, f, []byte("still writing"), 0)
	}
	if got := sys.Count(faultfs.Sync); got != 0 {
		t.Errorf("Count(Sync) = %d while held; want 0", got)
	}
	close(gate)
	group.Wait()
	if got := sys.Count(faultfs.Sync); got != 1 {
		t.Errorf("Count(Sync) = %d; want 1", got)
	}
}

func create(t *testing.T, sys files.System, name string) files.File {
	return opened(t, sys, name, true)
}
func open(t *testing.T, sys files.System, name string) files.File { return opened(t, sys, name, false) }

func opened(t *testing.T, sys files.System, name string, create bool) files.File {
	t.Helper()
	f, err := sys.Open(name, create)
	must(t, err)
	return f
}

func write(t *testing.T, f files.File, p []byte, off int64) {
	t.Helper()
	if n, err := f.WriteAt(p, off); n != len(p) || err != nil {
		t.Fatalf("WriteAt = %d, %v; want %d", n, err, len(p))
	}
}

func want(t *testing.T, sys files.System, name, content string) {
	t.Helper()
	if got, err := sys.ReadFile(name); err != nil || string(got) != content {
		t.Errorf("%s = %q, %v; want %q", name, got, err, content)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
