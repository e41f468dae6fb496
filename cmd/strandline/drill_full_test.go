package main_test

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDrillDiskFull runs the server on a file system that runs full: everything but probes is answered 503, reads too,
// because they could not be recorded. With room again it serves again, and all that was answered is there.
func TestDrillDiskFull(t *testing.T) {
	data := mountTiny(t, 512<<20)
	s := startNode(t, data)
	made := newStudy(t, s, 4)
	var promises promises
	fill(t, filepath.Join(data, "ballast"))
	refused := false
	for n := 0; n < 2000 && !refused; n++ {
		noise := make([]byte, 96<<10) // does not compress
		_, _ = rand.Read(noise)       // never fails
		at := int64(-1 - n)
		body := `{"timestamp":` + strconv.FormatInt(at, 10) + `,"sensor":"lamp.steps","data":"` + hex.EncodeToString(noise) + `"}`
		status, answer, _, err := s.try(root, "POST", "/participant/"+made.participants[n%4]+"/sensor_event", body)
		if err != nil {
			t.Fatalf("a full disk made the server go away after %d posts: %v\n%s", n, err, s.log)
		}
		switch refused = status != 200; {
		case !refused:
			promises.events[n%4] = append(promises.events[n%4], at)
		case status != 503:
			t.Errorf("POST on a full disk: %d %s, want 503", status, answer)
		}
	}
	if !refused {
		t.Fatal("the disk did not run full")
	}
	full := s.statuses(made)
	for n := 0; n < 5000 && full["read"] == 200; n++ {
		full = s.statuses(made) // what is small may still fit
	}
	if full["read"] != 503 || full["write"] != 503 || full["livez"] != 200 {
		t.Errorf("on a full disk: %v, want reads and writes 503, livez 200\n%s", full, s.log)
	}
	if status, answer := s.as(t, "", "GET", "/readyz", ""); status != 503 || !strings.Contains(answer, `{"part":"log","reason":"the disk is full"}`) {
		t.Errorf("on a full disk, /readyz: %d %s", status, answer)
	}
	if free, runway := s.metric(t, "strandline_disk_free_bytes"), s.metric(t, "strandline_disk_runway_seconds"); free > 1<<20 || runway > 60 {
		t.Errorf("on a full disk: %v bytes are free, for %v s", free, runway)
	}

	if err := os.Remove(filepath.Join(data, "ballast")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for s.statuses(made)["write"] != 200 {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("30 s after there was room again: %v\n%s", s.statuses(made), s.log)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("with room again, writes are answered after %s", time.Since(begin).Round(time.Millisecond))
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		status, answer := s.as(t, "", "GET", "/readyz", "")
		if status == 200 {
			break
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("30 s after writes are answered again, /readyz: %d %s", status, answer)
		}
	}
	loadAndKill(s, made, &promises, 500*time.Millisecond)
	s = startNode(t, data)
	promises.checkAll(t, s, study{participants: made.participants})
}

// loadAndKill writes for a while, then kills the server.
func loadAndKill(s *server, made study, promises *promises, d time.Duration) {
	var group sync.WaitGroup
	for i, p := range made.participants {
		group.Go(func() { promises.load(s, i, p) })
	}
	time.Sleep(d)
	s.kill()
	group.Wait()
}

// statuses asks for one of everything.
func (s *server) statuses(made study) map[string]int {
	p := made.participants[0]
	all := map[string]int{}
	for name, r := range map[string]asked{
		"livez": {"", "GET", "/livez", ""},
		"read":  {root, "GET", "/participant/" + p + "/sensor_event?limit=1", ""},
		"write": {root, "PUT", "/type/" + p + "/attachment/full/me", strconv.FormatInt(time.Now().UnixNano(), 10)},
	} {
		all[name], _, _, _ = s.try(r.who, r.method, r.path, r.body) // no answer is status 0
	}
	return all
}

// mountTiny mounts a file system of a given size in memory, where the machine lets us.
func mountTiny(t *testing.T, size int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system takes root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+strconv.Itoa(size), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("this machine does not let us mount: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() }) // -l: a killed server may still be going
	return dir
}

// fill takes all the room that is left on the file system of a file.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zeros := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(zeros)
	}
	if info, err := f.Stat(); err != nil || info.Size() == 0 {
		t.Fatalf("there was no room to fill: %v, %v", info, err)
	}
}
