package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
)

// TestDrillPowerCut cuts the power under load, over and over, on one data folder that takes all the cuts. After each of
// them the server must be ready in no time, with all that was answered: events, tags, researchers with their
// first study, and uploads of many events, of which nothing may be found by halves. The log must hold when it is
// verified, and every read model that has lived through the cuts must hold what one made anew from the log holds.
func TestDrillPowerCut(t *testing.T) {
	rounds := pick(2, 50)
	disk := newPowerDisk(t)
	data := filepath.Join(disk.data, "node")
	s := startNode(t, data)
	made := newStudy(t, s, 5)
	var written promises
	var uploads uploads
	slowest := time.Duration(0)
	for range rounds {
		loadAndCut(t, s, disk, made, &written, &uploads, time.Duration(100+rand.IntN(300))*time.Millisecond)
		s = startNode(t, data)
		slowest = max(slowest, s.started)
		written.checkPlans(t, s)
		written.checkAll(t, s, study{participants: made.participants[:4]})
		uploads.check(t, s, made.participants[4])
		if code := s.stop(t); code != 0 {
			t.Errorf("exit code %d after SIGTERM, want 0\n%s", code, s.log)
		}
		verify(t, data)
		compareWithRebuilt(t, data)
		if t.Failed() {
			t.FailNow() // the next cut would only hide what this one has done
		}
		s = startNode(t, data)
	}
	answered := written.count() + len(written.researchers) + int(written.tags.Load()) + len(uploads.answered)
	t.Logf("%d power cuts: %d writes answered (%d events, %d researchers, %d tags, %d uploads), 0 lost; slowest ready %s",
		rounds, answered, written.count(), len(written.researchers), written.tags.Load(), len(uploads.answered), slowest.Round(time.Millisecond))
	if slowest > 5*time.Second { // the target is 2 s on a quiet machine
		t.Errorf("slowest ready %s, want under 5 s", slowest)
	}
	if answered < 10*rounds {
		t.Errorf("only %d writes were answered: that is no load", answered)
	}
}

// TestDrillPowerCutControl is the same with a server that does not wait for the disk. If it lost nothing, the drill would
// prove nothing.
func TestDrillPowerCutControl(t *testing.T) {
	disk := newPowerDisk(t)
	data := filepath.Join(disk.data, "node")
	s := startNode(t, data)
	made := newStudy(t, s, 5)
	if code := s.stop(t); code != 0 {
		t.Fatalf("exit code %d after SIGTERM, want 0\n%s", code, s.log)
	}
	s = startNode(t, data, func(c *exec.Cmd) { c.Args = append(c.Args, "--durability", "none") })
	var written promises
	var uploads uploads
	loadAndCut(t, s, disk, made, &written, &uploads, 300*time.Millisecond)
	lost := written.count()
	if s, err := tryNode(t, data); err == nil {
		lost = 0
		for i, participant := range made.participants[:4] {
			lost += len(written.gone(i, s.times(t, participant)))
		}
	} else {
		t.Logf("all is lost: %v", err)
	}
	t.Logf("without waiting for the disk: %d events answered, %d lost", written.count(), lost)
	if lost == 0 {
		t.Error("a server that does not wait for the disk has lost nothing: this machine keeps what a power cut would lose")
	}
}

// loadAndCut writes for a while, cuts the power, and gives it back once the server is gone. What is still answered after
// the cut counts as well: the server must not have looked at the failure.
func loadAndCut(t *testing.T, s *server, disk *powerDisk, made study, written *promises, uploads *uploads, d time.Duration) {
	t.Helper()
	var group sync.WaitGroup
	for i, p := range made.participants[:4] {
		group.Go(func() { written.load(s, i, p) })
	}
	group.Go(func() { uploads.load(s, made.participants[4]) })
	time.Sleep(d)
	disk.cut(t)
	time.Sleep(20 * time.Millisecond)
	s.kill()
	group.Wait()
	disk.restore(t)
}

// uploads are requests with many events, which come as one event of the log, or in parts if they are large.
type uploads struct {
	next     int64
	answered []int64
}

// perUpload is how many events an upload has. The n-th has the times from n*perUpload.
const perUpload = 40

// load sends uploads until the server is gone.
func (u *uploads) load(s *server, participant string) {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for {
		u.next++
		status, _, _, err := s.send(c, root, "POST", "/participant/"+participant+"/sensor_event", upload(u.next))
		if err != nil {
			return
		}
		if status == 200 {
			u.answered = append(u.answered, u.next)
		}
	}
}

// upload is a list of events, sometimes with so much noise that it takes several parts.
func upload(n int64) string {
	noise := ""
	if rand.IntN(30) == 0 {
		text := make([]byte, 8<<10)
		for i := range text {
			text[i] = byte(rand.Uint32())
		}
		noise = hex.EncodeToString(text)
	}
	var b strings.Builder
	for i := range int64(perUpload) {
		b.WriteString(",")
		fmt.Fprintf(&b, `{"timestamp":%d,"sensor":"lamp.steps","data":{"noise":"%s%d"}}`, n*perUpload+i, noise, rand.Uint64())
	}
	return "[" + b.String()[1:] + "]"
}

// check holds that every upload answered is there, and every upload there is whole.
func (u *uploads) check(t *testing.T, s *server, participant string) {
	t.Helper()
	found := map[int64]int{}
	for at, times := range s.times(t, participant) {
		found[at/perUpload] += times
	}
	for n, events := range found {
		if events != perUpload {
			t.Errorf("of upload %d there are %d events, want none or all %d", n, events, perUpload)
		}
	}
	for _, n := range u.answered {
		if found[n] == 0 {
			t.Errorf("upload %d was answered and is gone", n)
		}
	}
}

// verify reads the whole log of a stopped server and checks every checksum and the chain.
func verify(t *testing.T, data string) {
	t.Helper()
	disk, err := files.NewDisk(filepath.Join(data, "log"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := embedded.Open(disk, embedded.Options{VerifyRate: -1})
	if err != nil {
		t.Fatal(err)
	}
	report, err := log.Verify(t.Context())
	if err != nil || report.Records == 0 {
		t.Errorf("verify the log: %+v, %v", report, err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

// compareWithRebuilt compares the read models of a stopped server with those made anew from its log, each as of where it
// stands. It puts them back afterwards.
func compareWithRebuilt(t *testing.T, data string) {
	t.Helper()
	out, messages, code := command(t, "projection", "list", "--json", "--data", data)
	var models []standing
	if err := json.Unmarshal([]byte(out), &models); err != nil || code != 0 || len(models) == 0 {
		t.Fatalf("projection list: exit code %d, %v\n%s", code, err, messages)
	}
	lived, folder, aside := hashes(t, data, models), filepath.Join(data, "readmodels"), filepath.Join(data, "aside")
	if err := os.Rename(folder, aside); err != nil {
		t.Fatal(err)
	}
	anew := hashes(t, data, models)
	for _, m := range models {
		if lived[m] != anew[m] || m.Parked != 0 || m.Stalled != "" {
			t.Errorf("%+v: SHA-256 of its dump %s, and of one made anew %s", m, lived[m], anew[m])
		}
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, folder); err != nil {
		t.Fatal(err)
	}
}

// standing is a read model and where it stands.
type standing struct {
	Name, Checkpoint, Stalled string
	Parked                    int
}

// hashes are those of the dumps of read models as of where they stand.
func hashes(t *testing.T, data string, models []standing) map[standing]string {
	t.Helper()
	all := map[standing]string{}
	for _, m := range models {
		out, messages, code := command(t, "projection", "dump", m.Name, "--data", data, "--at", m.Checkpoint)
		if code != 0 || out == "" {
			t.Fatalf("dump %s at %s: exit code %d\n%s", m.Name, m.Checkpoint, code, messages)
		}
		all[m] = fmt.Sprintf("%x", sha256.Sum256([]byte(out)))
	}
	return all
}
