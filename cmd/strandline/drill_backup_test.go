package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// vault is the two folders of a backup.
type vault struct{ log, keys string }

func newVault(t *testing.T) vault {
	dir := t.TempDir()
	return vault{filepath.Join(dir, "log"), filepath.Join(dir, "keys")}
}

// made is what `backup --json` prints last.
type made struct {
	Done     bool
	Position string
	Events   int
	Copied   int64
	Written  int64
	Verified bool
}

func (v vault) backUp(t *testing.T, s *server) made {
	t.Helper()
	out, messages, code := command(t, "backup", "--url", s.url, "--to", v.log, "--keys-to", v.keys, "--json")
	for n := 0; n < 50 && strings.Contains(messages, "being made already"); n++ { // that of a client that was killed has not ended yet
		time.Sleep(100 * time.Millisecond)
		out, messages, code = command(t, "backup", "--url", s.url, "--to", v.log, "--keys-to", v.keys, "--json")
	}
	var m made
	if err := json.Unmarshal([]byte(out), &m); code != 0 || err != nil || !m.Done || !m.Verified {
		t.Fatalf("backup: exit code %d, %v, %s%s", code, err, out, messages)
	}
	return m
}

func (v vault) restore(t *testing.T, to string, more ...string) (stderr string, code int) {
	t.Helper()
	_, stderr, code = command(t, append([]string{"restore", "--from", v.log, "--keys-from", v.keys, "--data", to}, more...)...)
	return stderr, code
}

// dumpsAt is the SHA-256 of what every projection holds at a position, the end if that is empty.
func dumpsAt(t *testing.T, data, at string) string {
	t.Helper()
	all := sha256.New()
	for _, name := range []string{"directory", "documents", "series", "audit"} {
		args := []string{"projection", "dump", name, "--data", data}
		if at != "" {
			args = append(args, "--at", at)
		}
		out, messages, code := command(t, args...)
		if code != 0 || out == "" {
			t.Fatalf("%v: exit code %d, %s", args, code, messages)
		}
		all.Write([]byte(out))
	}
	return hex.EncodeToString(all.Sum(nil))
}

// TestDrillBackup makes backups of a server under load, of which the server or the client is killed in the middle of
// some. Each one that was answered is restored: it verifies, all dumps equal those of the source at its position, all
// that was answered before it began is there; one that was interrupted is noticed.
func TestDrillBackup(t *testing.T) {
	data, v := t.TempDir(), newVault(t)
	s := startNode(t, data)
	study := newStudy(t, s, 4)
	var promised promises
	killed, cut, noticed := 0, 0, 0
	var written, whole int64
	rounds := pick(6, 60)
	for round := range rounds {
		stop := make(chan struct{})
		var group sync.WaitGroup
		for i, p := range study.participants {
			group.Go(func() { promised.until(stop, s, i, p) })
		}
		time.Sleep(time.Duration(50+rand.IntN(300)) * time.Millisecond)
		switch round % 3 {
		case 1: // the server dies
			interrupt(t, s, v, func() { s.kill() })
			killed++
			group.Wait()
			s = startNode(t, data)
		case 2: // the client does
			interrupt(t, s, v, nil)
			cut++
		}
		if stderr, code := v.restore(t, filepath.Join(t.TempDir(), "r")); code == 3 && strings.Contains(stderr, "interrupted") {
			noticed++
		} else if code != 0 && !strings.Contains(stderr, "no such file") && !strings.Contains(stderr, "there is no backup") {
			t.Errorf("restore after an interrupted backup: exit code %d, %s", code, stderr)
		}
		before := promised.answered()
		m := v.backUp(t, s)
		written, whole = written+m.Written, m.Copied
		close(stop)
		group.Wait()
		if round == rounds-1 || round%5 == 0 {
			s.stop(t)
			verifyRestored(t, data, v, m, study, before)
			s = startNode(t, data)
		}
	}
	if written > 2*whole {
		t.Errorf("%d KiB were copied in all for a log of %d KiB: what is there is copied again", written>>10, whole>>10)
	}
	t.Logf("%d backups under load, beside %d servers and %d clients killed in the middle of one (%d times noticed at restoring); "+
		"%d events answered; a log of %d KiB, of which %d KiB were copied in all; restored: all answered there, all dumps equal",
		rounds, killed, cut, noticed, promised.count(), whole>>10, written>>10)
}

// until writes until stop is closed, or the server gone.
func (p *promises) until(stop <-chan struct{}, s *server, i int, participant string) {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := p.next.Add(1)
		if n%10 < 3 {
			continue // those stand for other kinds of writes
		}
		status, answer, _, err := s.send(c, root, "POST", "/participant/"+participant+"/sensor_event", reading(n))
		if err != nil {
			return
		}
		if status == 200 {
			p.keep(i, n, answer)
		}
	}
}

// answered is a copy of what has been answered so far.
func (p *promises) answered() (events [4][]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, e := range p.events {
		events[i] = append(events[i], e...)
	}
	return events
}

// interrupt begins a backup and kills its client, or what kill kills, a moment later.
func interrupt(t *testing.T, s *server, v vault, kill func()) {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(name, "backup", "--url", s.url, "--to", v.log, "--keys-to", v.keys)
	c.Env = append(os.Environ(), "STRANDLINE_ACCESS_KEY="+rootKey, "STRANDLINE_SECRET_KEY="+rootSecret)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// Starting the client takes most of it; the backup itself a few milliseconds.
	time.Sleep(time.Duration(10+rand.IntN(40)) * time.Millisecond)
	if kill != nil {
		kill()
	}
	_ = c.Process.Kill() // it may have ended
	_ = c.Wait()         // killed, most often
}

// verifyRestored restores a backup of a stopped server and compares it with that.
func verifyRestored(t *testing.T, data string, v vault, m made, study study, before [4][]int64) {
	t.Helper()
	restored := filepath.Join(t.TempDir(), "restored")
	if stderr, code := v.restore(t, restored); code != 0 {
		t.Fatalf("restore: exit code %d, %s", code, stderr)
	}
	if stderr, code := v.restore(t, restored); code != 3 || !strings.Contains(stderr, "not empty") {
		t.Errorf("restore into a folder that is not empty: exit code %d, %s", code, stderr)
	}
	if one, other := dumpsAt(t, data, m.Position), dumpsAt(t, restored, ""); one != other {
		t.Errorf("dumps of the source at %s are %s, of what was restored %s", m.Position, one, other)
	}
	s := startNode(t, restored)
	defer s.kill()
	for i, participant := range study.participants {
		times := s.times(t, participant)
		for _, at := range before[i] {
			if times[at] != 1 {
				t.Errorf("participant %d: event %d was answered before the backup and is there %d times", i, at, times[at])
			}
		}
	}
}

// TestBackupRefuses folders that will not do, and restore ones that hold no backup.
func TestBackupRefuses(t *testing.T) {
	data, v := t.TempDir(), newVault(t)
	s := startNode(t, data)
	occupied := t.TempDir()
	if err := os.WriteFile(filepath.Join(occupied, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		to, keysTo, says string
		code             int
	}{
		{filepath.Join(data, "backup"), v.keys, "in the data folder", 4},
		{filepath.Join(link, "backup"), v.keys, "in the data folder", 4},
		{filepath.Dir(data), v.keys, "in the data folder", 4},
		{v.log, data, "in the data folder", 4},
		{v.log, v.log, "in one folder", 4},
		{v.log, filepath.Join(v.log, "keys"), "in one folder", 4},
		{filepath.Join(v.keys, "log"), v.keys, "in one folder", 4},
		{occupied, v.keys, "neither empty nor", 4},
		{v.log, occupied, "neither empty nor", 4},
		{v.log, "", "give --to", 2},
	} {
		_, messages, code := command(t, "backup", "--url", s.url, "--to", tt.to, "--keys-to", tt.keysTo)
		if code != tt.code || !strings.Contains(messages, tt.says) {
			t.Errorf("backup to %s and %s: exit code %d, %s; want %d, %q", tt.to, tt.keysTo, code, messages, tt.code, tt.says)
		}
	}
	if status, body := s.as(t, root, "POST", "/strandline/v1/backups", `{"to":"relative","keys_to":"too"}`); status != 400 {
		t.Errorf("relative paths: %d %s", status, body)
	}
	if status, body := s.as(t, "", "POST", "/strandline/v1/backups", `{"to":"/a","keys_to":"/b"}`); status != 401 {
		t.Errorf("nobody asks for a backup: %d %s", status, body)
	}
	m := v.backUp(t, s)
	if status, body := s.as(t, root, "GET", "/strandline/v1/audit?route=/strandline/v1/backups&outcome=served", ""); status != 200 || strings.Count(body, `"method":"POST"`) != 1 {
		t.Errorf("the backup to position %s is not on the record: %d %s", m.Position, status, body)
	}
	for _, dir := range []string{v.log, v.keys} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, %v; want 0700", dir, info.Mode(), err)
		}
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	for says, w := range map[string]vault{
		"--from takes the log": {v.keys, v.log},
		"no such file":         {v.log + "-none", v.keys},
		"there is no backup":   {t.TempDir(), v.keys},
	} {
		if stderr, code := w.restore(t, fresh); code != 3 || !strings.Contains(stderr, says) {
			t.Errorf("restore of %v: exit code %d, %s; want %q", w, code, stderr, says)
		}
		if _, err := os.Stat(fresh); err == nil {
			t.Errorf("restore of %v has failed and left something", w)
		}
	} // What an interrupted restore has left is in nobody's way; what is not of a restore is left alone.
	workshop := fresh + ".restoring"
	if err := os.MkdirAll(filepath.Join(workshop, "data", "log", "segments"), 0o700); err != nil {
		t.Fatal(err)
	}
	if stderr, code := v.restore(t, fresh); code != 3 || !strings.Contains(stderr, "is in the way") {
		t.Errorf("restore beside a folder of somebody else: exit code %d, %s", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(workshop, "restoring"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stderr, code := v.restore(t, fresh); code != 0 {
		t.Errorf("restore after an interrupted one: exit code %d, %s", code, stderr)
	}
	if _, err := os.Stat(workshop); err == nil {
		t.Error("the workshop of a restore is left behind")
	}
}
