package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sick is the data folder of a stopped server, to be damaged.
type sick struct{ dir string }

// newSick copies a data folder that has been filled once.
func (s sick) copy(t *testing.T) sick {
	t.Helper()
	to := sick{filepath.Join(t.TempDir(), "data")}
	if out, err := exec.Command("cp", "-a", s.dir, to.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

func (s sick) path(name string) string {
	found, _ := filepath.Glob(filepath.Join(s.dir, name))
	return found[0]
}

// change changes a file's bytes.
func (s sick) change(t *testing.T, name string, how func([]byte)) {
	t.Helper()
	content, err := os.ReadFile(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	how(content)
	if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// doctor runs the doctor with an answer to its question.
func (s sick) doctor(t *testing.T, answer string, args ...string) (said string, code int) {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(name, append([]string{"doctor", "--data", s.dir}, args...)...)
	c.Stdin = strings.NewReader(answer)
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// sum is a checksum of all names, modes and bytes of the folder.
func (s sick) sum(t *testing.T) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(s.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, name, info.Mode())
		if entry.IsDir() {
			return nil
		}
		content, err := os.ReadFile(name)
		h.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

const firstSegment = "log/segments/00000000000000000001.segment"

// TestDoctor damages a data folder in one way after the other. The doctor says what it is and changes nothing; asked to
// repair, it says what that loses, and does it only if that is agreed to; what it has mended it finds good, and serve starts.
func TestDoctor(t *testing.T) {
	healthy := sick{filepath.Join(t.TempDir(), "data")}
	s := startNode(t, healthy.dir)
	newStudy(t, s, 3)
	s.stop(t)
	if said, code := healthy.doctor(t, ""); code != 0 || !strings.Contains(said, "every checksum") {
		t.Fatalf("a healthy folder: exit code %d, %s", code, said)
	}
	flip := func(name string, share float64) func(*testing.T, sick) {
		return func(t *testing.T, s sick) {
			s.change(t, name, func(b []byte) {
				written := len(bytes.TrimRight(b, "\x00"))
				b[int(share*float64(written))] ^= 4
			})
		}
	}
	for name, tt := range map[string]struct {
		damage      func(*testing.T, sick)
		code        int    // before
		says        string // what is found
		loses       string // what repairing loses, empty if there is no repairing
		repairs     int    // exit code after it
		starts      bool   // serve does, as it is
		startsAfter bool   // serve does, after repairing
	}{
		"log, in the middle": {flip(firstSegment, 0.5), 3, "the log is damaged: record", "", 3, false, false},
		"log, its header":    {flip(firstSegment, 0.001), 3, "the log is damaged: record", "", 3, false, false},
		"log, torn": {func(t *testing.T, s sick) {
			s.change(t, firstSegment, func(b []byte) { copy(b[len(bytes.TrimRight(b, "\x00"))+7:], "this was never acknowledged") })
		}, 0, "never acknowledged", "nothing that was acknowledged", 0, true, true},
		"log, gone": {func(t *testing.T, s sick) { _ = os.Remove(s.path(firstSegment)) }, 3, "events are missing", "", 3, false, false},
		"keys":      {flip("keys/subjects", 0.5), 3, "the keys that open the log cannot be used", "", 3, false, false},
		"root key":  {flip("keys/root.key", 0.5), 3, "the keys that open the log cannot be used", "", 3, false, false},
		"read model": {func(t *testing.T, s sick) {
			s.change(t, "readmodels/documents-*.db", func(b []byte) { copy(b[4096:], bytes.Repeat([]byte{0xff}, 8192)) })
		}, 1, "a read model is damaged", "nothing: it is made again from the log", 0, true, true},
		"snapshot": {flip("readmodels/directory-*.snapshot", 0.5), 1, "a read model is damaged", "nothing: it is made again from the log", 0, true, true},
		"keys that all can read": {func(_ *testing.T, s sick) { _ = os.Chmod(s.path("keys/root.key"), 0o644) },
			1, "can be read by other users of this machine (mode 0644)", "nothing", 0, true, true},
		"store.json": {func(t *testing.T, s sick) { _ = os.Remove(s.path("log/store.json")) }, 3, "no store.json", "", 3, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy.copy(t)
			tt.damage(t, s)
			before := s.sum(t)
			said, code := s.doctor(t, "")
			if code != tt.code || !strings.Contains(said, tt.says) {
				t.Errorf("exit code %d, %s; want %d, %q", code, said, tt.code, tt.says)
			}
			if said, code := s.doctor(t, "no\n", "--repair"); tt.loses != "" && (code != 1 || !strings.Contains(said, "by that is lost: "+tt.loses)) {
				t.Errorf("not agreed to: exit code %d, %s; want %q", code, said, tt.loses)
			}
			if s.sum(t) != before {
				t.Error("the folder has changed, without anybody having agreed to that")
			}
			s.starts(t, "as it is", tt.starts)
			s = healthy.copy(t)
			tt.damage(t, s)
			if said, code := s.doctor(t, "yes\n", "--repair"); code != tt.repairs {
				t.Errorf("repair: exit code %d, %s; want %d", code, said, tt.repairs)
			}
			if tt.startsAfter {
				if said, code := s.doctor(t, ""); code != 0 || strings.Contains(said, tt.says) {
					t.Errorf("after repairing: exit code %d, %s", code, said)
				}
				s.starts(t, "after repairing", true)
			}
		})
	}
}

// starts holds that a server starts on the folder, or does not.
func (s sick) starts(t *testing.T, when string, should bool) {
	t.Helper()
	node, err := tryNode(t, s.dir)
	if (err == nil) != should {
		t.Errorf("serve, %s: %v; want it to start: %v", when, err, should)
	}
	if err == nil {
		node.stop(t)
	}
}

// TestDoctorLoses what --lose-after gives up, and nothing else: flips of one bit anywhere in the log.
func TestDoctorLoses(t *testing.T) {
	healthy := sick{filepath.Join(t.TempDir(), "data")}
	s := startNode(t, healthy.dir)
	newStudy(t, s, 3)
	s.stop(t)
	rng := rand.New(rand.NewPCG(4, 2))
	named := regexp.MustCompile(`--lose-after ([0-9a-f]+) gives up`)
	lost := 0
	for range pick(6, 60) {
		s := healthy.copy(t)
		var bit int
		s.change(t, firstSegment, func(b []byte) {
			bit = 8*64 + rng.IntN(8*(len(bytes.TrimRight(b, "\x00"))-1000)) // a start that can be read; before the last groups
			b[bit/8] ^= 1 << (bit % 8)
		})
		said, code := s.doctor(t, "")
		found := named.FindStringSubmatch(said)
		if code != 3 || found == nil {
			t.Fatalf("bit %d: exit code %d, %s", bit, code, said)
		}
		damaged := s.sum(t)
		if said, code := s.doctor(t, "", "--repair", "--yes", "--lose-after", "ffff"); code != 2 || !strings.Contains(said, "up to position "+found[1]) || s.sum(t) != damaged {
			t.Errorf("bit %d: a wrong position: exit code %d, %s", bit, code, said)
		}
		if said, code := s.doctor(t, "", "--repair", "--yes"); code != 3 || !strings.Contains(said, "not without --lose-after "+found[1]) || s.sum(t) != damaged {
			t.Errorf("bit %d: without a position: exit code %d, %s", bit, code, said)
		}
		kept, err := os.ReadFile(s.path(firstSegment))
		if err != nil {
			t.Fatal(err)
		}
		if said, code := s.doctor(t, "", "--repair", "--yes", "--lose-after", found[1]); code != 0 || !strings.Contains(said, "by that is lost: every event after position "+found[1]) {
			t.Errorf("bit %d: exit code %d, %s", bit, code, said)
		}
		if away, err := os.ReadFile(s.path("log/quarantine/*/*.segment")); err != nil || !bytes.Equal(away, kept) {
			t.Errorf("bit %d: what was cut off is not in quarantine: %v", bit, err)
		}
		if said, code := s.doctor(t, ""); code != 0 {
			t.Errorf("bit %d: after the repair: exit code %d, %s", bit, code, said)
		}
		if found[1] != "0" {
			want, _, _ := command(t, "projection", "dump", "directory", "--data", healthy.dir, "--at", found[1])
			if got, messages, code := command(t, "projection", "dump", "directory", "--data", s.dir); code != 0 || got != want {
				t.Errorf("bit %d: the directory is another than at position %s: exit code %d, %s", bit, found[1], code, messages)
			}
		}
		lost++
	}
	t.Logf("%d logs with one bit turned over: each named, refused, given up from there on, kept in quarantine, and good after that", lost)
}

// TestDoctorOnline looks beside a running server and asks it.
func TestDoctorOnline(t *testing.T) {
	dir := t.TempDir()
	s := startNode(t, dir)
	out, messages, code := command(t, "doctor", "--data", dir, "--url", s.url, "--json")
	var found struct {
		Findings []struct{ Severity, What, Where, Remedy string }
		Checked  []string
		Not      []string `json:"not_checked"`
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || len(found.Findings) > 0 {
		t.Errorf("exit code %d, %v, %s%s", code, err, out, messages)
	}
	if !strings.Contains(strings.Join(found.Checked, " "), "the server at") || !strings.Contains(strings.Join(found.Not, " "), "the end of the log") {
		t.Errorf("checked %q, not %q", found.Checked, found.Not)
	}
	if _, messages, code := command(t, "doctor", "--data", dir, "--repair", "--yes"); code != 3 || !strings.Contains(messages, "in use by a server") {
		t.Errorf("repair beside a server: exit code %d, %s", code, messages)
	}
	url := s.url
	s.stop(t)
	if out, _, code := command(t, "doctor", "--data", dir, "--url", url); code != 1 || !strings.Contains(out, "the server does not answer") {
		t.Errorf("a server that does not answer: exit code %d, %s", code, out)
	}
	settings := filepath.Join(t.TempDir(), "strandline.yaml")
	if err := os.WriteFile(settings, []byte("data: "+dir+"\ndurability: none\nlisten: 0.0.0.0:80\nroot-key: k\nroot-secret: short\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, code = command(t, "doctor", "--config", settings)
	for _, says := range []string{"is not on disk", "in the clear over a network", "fewer than 12 characters", "the settings hold a secret can be read", settings + ":2"} {
		if code != 1 || !strings.Contains(out, says) {
			t.Errorf("unsafe settings: exit code %d, %s; want %q", code, out, says)
		}
	}
	if _, messages, code := command(t, "doctor", "--data", t.TempDir()); code != 3 || !strings.Contains(messages, "no data folder") {
		t.Errorf("no data folder: exit code %d, %s", code, messages)
	}
}
