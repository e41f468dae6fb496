package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/readmodels/series/influx/influxtest"
)

// token is what a server of InfluxDB is told. That of tests asks for none, and takes any.
const token = "reader:a-token-that-nobody-shows"

// withInflux has samples kept in an InfluxDB.
func withInflux(i *influxtest.Server) serveOption {
	return withEnv("STRANDLINE_INFLUX="+i.URL(), "STRANDLINE_INFLUX_TOKEN="+token)
}

// ready waits until /readyz says that the node is ready, or that a projection is not.
func (s *server) ready(t *testing.T, part string) {
	t.Helper()
	var status int
	var answer string
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(50 * time.Millisecond) {
		status, answer = s.as(t, "", "GET", "/readyz", "")
		if part == "" && status == 200 || part != "" && status == 503 && strings.Contains(answer, `"part":"`+part+`"`) {
			return
		}
	}
	t.Fatalf("/readyz: %d %s; want the part %q that is not ready", status, answer, part)
}

// caughtUp waits until a projection has applied the whole log.
func (s *server) caughtUp(t *testing.T, projection string) {
	t.Helper()
	s.ready(t, "")
	for began := time.Now(); s.metric(t, `strandline_projection_lag_events{projection="`+projection+`"}`) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%s does not catch up", projection)
		}
	}
}

// samplePaths are requests that are answered from samples.
func samplePaths(participant string) (all [][2]string) {
	native := "/strandline/v1/subjects/" + participant + "/series"
	for _, path := range []string{
		"/participant/" + participant + "/sensor_event", "/participant/" + participant + "/sensor_event?limit=3", "/participant/" + participant + "/sensor_event?limit=-3",
		"/participant/" + participant + "/sensor_event?limit=0", "/participant/" + participant + "/sensor_event?origin=lamp.steps&from=1&to=1700000000002",
		"/participant/" + participant + "/sensor_event?origin=%22)%20%7C%3E%20drop()%20//", "/participant/" + participant + "/sensor_event?from=9&to=3",
		"/participant/" + participant + "/activity_event?limit=0",
		native, native + "?limit=2", native + "?name=lamp.steps&name=none", native + "?channel=lamp.sensor&from=1970-01-01T00:00:00Z&to=2100-01-01T00:00:00Z",
		native + "?window=1d&field=value", native + "?window=1h&aggregate=count,last", native + "/latest", native + "/latest?name=lamp.steps",
	} {
		all = append(all, [2]string{path, "application/json"})
	}
	return append(all, [2]string{native, "application/x-ndjson"}, [2]string{native + "?window=1w", "application/x-ndjson"})
}

// goOn is where a page goes on, which tells how far the log was.
var goOn = regexp.MustCompile(`"next":"[^"]*"`)

// samplesOf are all of them.
func samplesOf(t *testing.T, s *server, participants []string) string {
	t.Helper()
	var b strings.Builder
	for _, p := range participants {
		for _, a := range samplePaths(p) {
			status, answer := s.as(t, root, "GET", a[0], "", "Accept", a[1])
			fmt.Fprintln(&b, a[0], a[1], status, goOn.ReplaceAllString(answer, ""))
		}
	}
	return b.String()
}

// TestInflux serves one log with samples in the data folder and with samples in an InfluxDB: every answer is the same, also
// after a rebuild, and so is the dump. The token is told to nobody.
func TestInflux(t *testing.T) {
	i := influxtest.Start(t)
	data := t.TempDir()
	s := startNode(t, data)
	made := newStudy(t, s, 2)
	for n, p := range made.participants {
		for _, body := range []string{
			reading(1), reading(1), reading(1_700_000_000_000), reading(-1), reading(8_640_000_000_000_000), reading(-8_640_000_000_000_000),
			`[{"timestamp":1700000000001,"sensor":"a b,c=\"d\"\\","data":"NaN"},{"timestamp":1700000000001,"sensor":"\") |> drop() //","data":{"value":1e308}},` +
				`{"timestamp":1700000000001,"sensor":"line\nbreak","data":[1e-400,12345678901234567890]},{"timestamp":1700000000001,"sensor":"ü 😀","data":"` + strings.Repeat("é", 100_000*n) + `"}]`,
		} {
			if status, answer := s.as(t, root, "POST", "/participant/"+p+"/sensor_event", body); status != 200 {
				t.Fatalf("%.100s: %d %s", body, status, answer)
			}
		}
		if status, answer := s.as(t, root, "POST", "/participant/"+p+"/activity_event",
			`{"timestamp":1700000000003,"duration":5,"activity":"none","static_data":{"x":[1]},"temporal_slices":[{"item":"a","value":1,"type":null,"duration":1,"level":0}]}`); status != 200 {
			t.Fatalf("an activity event: %d %s", status, answer)
		}
		if status, answer := s.as(t, root, "DELETE", "/participant/"+p+"/sensor_event?origin=lamp.steps&from=-1&to=1", ""); status != 200 {
			t.Fatalf("deleting: %d %s", status, answer)
		}
	}
	want := samplesOf(t, s, made.participants)
	if code := s.stop(t); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	dumped := dumpOf(t, data)
	s = startNode(t, data, withInflux(i))
	s.caughtUp(t, "series")
	differs(t, "with samples in InfluxDB", samplesOf(t, s, made.participants), want)
	if out, messages, code := command(t, "projection", "rebuild", "series", "--url", s.url); code != 0 {
		t.Fatalf("projection rebuild: %d %s %s", code, out, messages)
	}
	differs(t, "after a rebuild", samplesOf(t, s, made.participants[:1]), want)
	if code := s.stop(t); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	if got := dumpOf(t, data, "--influx", i.URL()); got != dumped {
		t.Errorf("the dump from InfluxDB is\n%.2000s\nwant\n%.2000s", got, dumped)
	}
	if out, messages, _ := command(t, "doctor", "--data", data, "--influx", i.URL()); !strings.Contains(out, "the InfluxDB at http://"+i.Address+", which has the log up to position") {
		t.Errorf("doctor: %s %s", out, messages)
	}
	if out, messages, code := command(t, "projection", "rebuild", "series", "--data", data, "--influx", i.URL()); code != 0 {
		t.Fatalf("projection rebuild --data: %d %s %s", code, out, messages)
	}
	if got := dumpOf(t, data, "--influx", i.URL()); got != dumped {
		t.Error("after a rebuild on a stopped server, the dump differs")
	}
	if strings.Contains(s.log.String(), "that-nobody-shows") {
		t.Errorf("the log holds the token:\n%s", s.log)
	}
}

// dumpOf is the dump of the samples as of before the node was started again, which is on the record too.
func dumpOf(t *testing.T, data string, args ...string) string {
	t.Helper()
	out, messages, code := command(t, append([]string{"projection", "dump", "series", "--data", data}, args...)...)
	if code != 0 || out == "" {
		t.Fatalf("dump %v: exit code %d, %s", args, code, messages)
	}
	return out
}

// differs shows the first line of a text that another has not.
func differs(t *testing.T, when, got, want string) {
	t.Helper()
	lines := strings.Split(want, "\n")
	for n, line := range strings.Split(strings.TrimSpace(got), "\n") {
		if n >= len(lines) || line != lines[n] {
			t.Errorf("%s: %.1500s\nwant %.1500s", when, line, lines[min(n, len(lines)-1)])
			return
		}
	}
}

// TestInfluxAway starts a node whose InfluxDB is nowhere: all else is served, and probes are told what is not.
func TestInfluxAway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startNode(t, t.TempDir(), withArgs("--influx", "http://"+freeAddress(t)+"?org=o&bucket=b", "--influx-token-file", file))
	if s.started > 10*time.Second {
		t.Errorf("the start took %s", s.started)
	}
	p := newStudy(t, s, 1).participants[0]
	s.ready(t, "series")
	if _, answer := s.as(t, "", "GET", "/readyz", ""); !strings.Contains(answer, "connection refused") {
		t.Errorf("/readyz: %s", answer)
	}
	began := time.Now()
	if status, answer := s.as(t, root, "POST", "/participant/"+p+"/sensor_event", reading(1)); status != 200 || time.Since(began) > time.Second {
		t.Errorf("writing: %d %s after %s", status, answer, time.Since(began))
	}
	for _, path := range []string{"/participant/" + p + "/sensor_event", "/strandline/v1/subjects/" + p + "/series", "/strandline/v1/subjects/" + p + "/series/latest"} {
		if status, answer := s.as(t, root, "GET", path, ""); status != 503 {
			t.Errorf("GET %s: %d %s", path, status, answer)
		}
	}
	if out, _, _ := command(t, "projection", "list", "--url", s.url); !strings.Contains(out, "stalled") {
		t.Errorf("projection list: %s", out)
	}
	began = time.Now()
	if code := s.stop(t); code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("stopped with %d after %s", code, time.Since(began))
	}
	if strings.Contains(s.log.String(), "that-nobody-shows") {
		t.Errorf("the log holds the token:\n%s", s.log)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, code := command(t, "doctor", "--data", s.data, "--influx", "http://"+freeAddress(t)+"?bucket=b", "--influx-token-file", file)
	if code != 1 || !strings.Contains(out, "the InfluxDB that keeps samples cannot be used") || !strings.Contains(out, "a secret can be read by other users") || strings.Contains(out, "that-nobody-shows") {
		t.Errorf("doctor: %d %s", code, out)
	}
}

// TestInfluxAddress has wrong settings refused, and no secret shown.
func TestInfluxAddress(t *testing.T) {
	for at, says := range map[string]string{
		"127.0.0.1:8086":                            "write it as http",
		"http://127.0.0.1:8086":                     "names no bucket",
		"http://127.0.0.1:8086?bucket=b&token=hide": `not \"token\"`,
		"http://u:hide@127.0.0.1:8086?bucket=b":     "the token apart",
	} {
		_, err := tryNode(t, t.TempDir(), withArgs("--influx", at))
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), `"`, `\"`), strings.ReplaceAll(says, `\\`, `\`)) || strings.Contains(err.Error(), "hide") {
			t.Errorf("serve --influx %s: %v", at, err)
		}
	}
	if _, messages, code := command(t, "config", "print", "--influx", "http://127.0.0.1"); code != 2 || !strings.Contains(messages, "names no bucket") {
		t.Errorf("config print of an address without a bucket: %d %s", code, messages)
	}
	if _, messages, code := command(t, "config", "print", "--influx-token", "hide"); code != 2 || strings.Contains(messages, "hide") {
		t.Errorf("a token on the command line: %d %s", code, messages)
	}
}

// ingest counts what four writers are answered within a time.
func (p *promises) ingest(t *testing.T, s *server, made study, length time.Duration) float64 {
	t.Helper()
	before, began := p.count(), time.Now()
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i, participant := range made.participants {
		writers.Go(func() { p.until(stop, s, i, participant) })
	}
	time.Sleep(length)
	close(stop)
	writers.Wait()
	return float64(p.count()-before) / time.Since(began).Seconds()
}

// TestDrillInflux has the InfluxDB of a node go away under load, fall silent, and be killed, and the node as well: nothing is
// lost, nothing is double, and whoever writes does not notice.
func TestDrillInflux(t *testing.T) {
	i := influxtest.Start(t)
	data := t.TempDir()
	s := startNode(t, data, withInflux(i))
	made := newStudy(t, s, 4)
	var promised promises
	phase := time.Duration(pick(1500, 20_000)) * time.Millisecond
	promised.ingest(t, s, made, phase/2)
	healthy := promised.ingest(t, s, made, phase)
	i.Kill(t)
	away := promised.ingest(t, s, made, time.Duration(pick(3, 60))*time.Second)
	s.ready(t, "series")
	if status, answer := s.as(t, root, "PUT", "/type/"+made.participants[0]+"/attachment/drill/me", "1"); status != 200 {
		t.Errorf("a tag while InfluxDB is away: %d %s", status, answer)
	}
	if status, answer := s.as(t, root, "GET", "/type/"+made.participants[0]+"/attachment/drill", ""); status != 200 || !strings.Contains(answer, "1") {
		t.Errorf("a tag while InfluxDB is away: %d %s", status, answer)
	}
	s.kill()
	s = startNode(t, data, withInflux(i)) // while it is away
	promised.ingest(t, s, made, phase/2)
	i.Go(t)
	promised.ingest(t, s, made, phase)
	s.caughtUp(t, "series")
	i.Halt() // it keeps its connections and says nothing
	time.AfterFunc(phase+4*time.Second, i.Resume)
	silent := promised.ingest(t, s, made, phase+3*time.Second)
	for range pick(2, 10) {
		time.Sleep(2 * time.Second)
		promised.ingest(t, s, made, phase/4)
		i.Kill(t)
		s.kill()
		i.Go(t)
		s = startNode(t, data, withInflux(i))
	}
	s.caughtUp(t, "series")
	promised.lastTag = [4]int64{}
	promised.checkAll(t, s, made)
	if code := s.stop(t); code != 0 {
		t.Errorf("stopped with %d", code)
	}
	if kept, want := dumpOf(t, data, "--influx", i.URL()), dumpOf(t, data); kept != want {
		t.Errorf("InfluxDB holds %d samples, and the log %d", strings.Count(kept, "\n"), strings.Count(want, "\n"))
	}
	if bytes.Contains(s.log.Bytes(), []byte("that-nobody-shows")) {
		t.Error("the log holds the token")
	}
	t.Logf("%d events answered, all found once; per second %.0f with InfluxDB, %.2f of that while it was away, %.2f while it was silent",
		promised.count(), healthy, away/healthy, silent/healthy)
	least := 0.4
	if long() {
		least = 0.9
	}
	if away < least*healthy {
		t.Errorf("%.2f of healthy ingest while InfluxDB was away, want %.1f", away/healthy, least)
	}
}
