package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	benchKey    = "bench-root"
	benchSecret = "bench-secret"
	benchRoot   = benchKey + ":" + benchSecret
	connections = 16
)

// TestBenchBaseline is no test: it is the baseline's process.
func TestBenchBaseline(t *testing.T) {
	file := os.Getenv("STRANDLINE_BENCH_BASELINE")
	if file == "" {
		t.Skip("runs as the child of TestBenchHTTP")
	}
	t.Fatal(serveBaseline(file, func(address string) { fmt.Println("ready http://" + address) }))
}

// TestBenchHTTP measures the server beside a bare handler, by turns in one run, and prints each figure with its target.
// STRANDLINE_BENCH=1 runs it; STRANDLINE_BENCH=long goes on to ten million events.
func TestBenchHTTP(t *testing.T) {
	mode := os.Getenv("STRANDLINE_BENCH")
	if mode == "" {
		t.Skip("set STRANDLINE_BENCH=1 to measure")
	}
	dir := t.TempDir()
	bare := start(t, os.Args[0], []string{"-test.run", "^TestBenchBaseline$"}, "STRANDLINE_BENCH_BASELINE="+filepath.Join(dir, "baseline"))
	server := startServer(t, filepath.Join(dir, "data"))
	participants := seedParticipants(t, server.address, 100)

	for _, size := range []int{1, 100} {
		benchRatio(t, bare.address, server.address, participants, size)
	}
	benchHalfLoad(t, server.address, participants)
	loadEvents(t, server.address, participants, 1_000_000, 0)
	newest, tag := benchReads(t, server.address, participants)
	report(t, "1,000 newest of one participant among 10⁶, p50", newest, "≤ 20ms")
	report(t, "a tag, p50", tag, "≤ 1ms")
	million := idleMemory(t, server)
	report(t, "RssAnon after 10⁶ events and 60 s idle", million, "≤ 80 MiB idle, and ≤ 40 MiB per million")
	if mode != "long" {
		return
	}
	loadEvents(t, server.address, participants, 9_000_000, 0.1)
	among, _ := benchReads(t, server.address, participants)
	report(t, "the same among 10⁷, a tenth of them late, ratio", float64(among)/float64(newest), "≤ 1.3")
	report(t, "RssAnon per further million events", (idleMemory(t, server)-million)/9, "≤ 40 MiB")
}

func report(t *testing.T, what string, figure any, target string) {
	t.Helper()
	text := fmt.Sprintf("%.4v", figure)
	if d, ok := figure.(time.Duration); ok {
		text = d.Round(10 * time.Microsecond).String()
	}
	t.Logf("%-60s %10s   target %s", what, text, target)
}

// process is a child that serves.
type process struct {
	address string
	pid     int
}

func start(t *testing.T, program string, args []string, env ...string) process {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s did not get ready: %v", program, err)
	}
	url := strings.Fields(line)[1]
	return process{strings.TrimPrefix(url, "http://"), cmd.Process.Pid}
}

func startServer(t *testing.T, data string) process {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, name, []string{"serve", "--data", data, "--listen", "127.0.0.1:0"},
		"STRANDLINE_ROOT_KEY="+benchKey, "STRANDLINE_ROOT_SECRET="+benchSecret)
}

// ask sends one request as root and returns the member data of the answer.
func ask(t *testing.T, address, method, path, body string) json.RawMessage {
	t.Helper()
	c, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	status, answer, err := c.readAll(request(method, path, benchRoot, []byte(body)))
	if err != nil || status != 200 {
		t.Fatalf("%s %s: %d %s, %v", method, path, status, answer, err)
	}
	var envelope struct{ Data json.RawMessage }
	if err := json.Unmarshal(answer, &envelope); err != nil {
		t.Fatalf("%s %s: %q: %v", method, path, answer, err)
	}
	return envelope.Data
}

func askID(t *testing.T, address, path, body string) string {
	t.Helper()
	data := ask(t, address, "POST", path, body)
	var id string
	if json.Unmarshal(data, &id) == nil {
		return id
	}
	var object struct{ ID string }
	if err := json.Unmarshal(data, &object); err != nil || object.ID == "" {
		t.Fatalf("POST %s: no id in %s", path, data)
	}
	return object.ID
}

func seedParticipants(t *testing.T, address string, n int) []string {
	t.Helper()
	researcher := askID(t, address, "/researcher", `{"name":"bench"}`)
	study := askID(t, address, "/researcher/"+researcher+"/study", `{"name":"bench"}`)
	var ids []string
	for range n {
		ids = append(ids, askID(t, address, "/study/"+study+"/participant", `{}`))
	}
	ask(t, address, "PUT", "/type/"+ids[0]+"/attachment/lamp.name/me", `"Somebody"`)
	return ids
}

// body is n events of about 100 bytes each, in one or, for n = 1, as the object itself.
func body(n int, first int64) []byte {
	if n == 1 {
		return event(nil, first)
	}
	b := []byte{'['}
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = event(b, first+int64(i))
	}
	return append(b, ']')
}

func event(b []byte, at int64) []byte {
	b = append(b, `{"timestamp":`...)
	b = strconv.AppendInt(b, at, 10)
	b = append(b, `,"sensor":"lamp.sensor_`...)
	b = strconv.AppendInt(b, at%10, 10)
	return append(b, `","data":{"x":0.0123456789,"y":-0.987654321,"z":9.80665}}`...)
}

const epoch = 1_700_000_000_000

func posts(participants []string, size int) func(connection, n int) []byte {
	return func(connection, n int) []byte {
		p := participants[(connection*7+n)%len(participants)]
		return request("POST", "/participant/"+p+"/sensor_event", benchRoot, body(size, epoch+int64(n*size)))
	}
}

// benchRatio posts events to both servers by turns.
func benchRatio(t *testing.T, bare, server string, participants []string, size int) {
	t.Helper()
	var ratios, rates []float64
	for range 5 {
		ours := measure(t, server, posts(participants, size)).rate()
		theirs := measure(t, bare, posts(participants, size)).rate()
		ratios, rates = append(ratios, ours/theirs), append(rates, ours)
	}
	slices.Sort(ratios)
	slices.Sort(rates)
	report(t, fmt.Sprintf("POST of %d sensor events, %d connections, requests/s", size, connections), rates[2], "none")
	report(t, fmt.Sprintf("POST of %d sensor events, ratio to the bare handler", size), ratios[2], "≥ 0.25")
}

func measure(t *testing.T, address string, next func(connection, n int) []byte) load {
	t.Helper()
	l, err := run(address, connections, 3*time.Second, 0, 0, next)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func benchHalfLoad(t *testing.T, server string, participants []string) {
	t.Helper()
	highest := measure(t, server, posts(participants, 1)).rate()
	pace := time.Duration(float64(connections) / (highest / 2) * float64(time.Second))
	l, err := run(server, connections, 10*time.Second, 0, pace, posts(participants, 1))
	if err != nil {
		t.Fatal(err)
	}
	report(t, "POST p50 at half the highest rate", l.percentile(50), "none")
	report(t, "POST p99 at half the highest rate", l.percentile(99), "≤ 100ms")
}

// loadEvents posts events in batches of 1,000, a share of them weeks late.
func loadEvents(t *testing.T, server string, participants []string, events int, late float64) {
	t.Helper()
	const size = 1000
	begin := time.Now()
	_, err := run(server, connections, time.Hour, events/size/connections, 0, func(connection, n int) []byte {
		random := rand.New(rand.NewPCG(uint64(connection), uint64(n)))
		b := []byte{'['}
		for i := range size {
			if i > 0 {
				b = append(b, ',')
			}
			at := int64(epoch + (n*size+i)*1000)
			if random.Float64() < late {
				at -= random.Int64N(6 * 7 * 24 * 3600 * 1000)
			}
			b = event(b, at)
		}
		p := participants[(connection*7+n)%len(participants)]
		return request("POST", "/participant/"+p+"/sensor_event", benchRoot, append(b, ']'))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded %d events in %s", events, time.Since(begin).Round(time.Millisecond))
}

func benchReads(t *testing.T, server string, participants []string) (newest, tag time.Duration) {
	t.Helper()
	for _, q := range []struct {
		into *time.Duration
		next func(int, int) []byte
	}{
		{&newest, func(_, n int) []byte {
			return request("GET", "/participant/"+participants[n%len(participants)]+"/sensor_event?limit=1000", benchRoot, nil)
		}},
		{&tag, func(int, int) []byte {
			return request("GET", "/type/"+participants[0]+"/attachment/lamp.name", benchRoot, nil)
		}},
	} {
		l, err := run(server, 1, time.Minute, 300, 0, q.next)
		if err != nil {
			t.Fatal(err)
		}
		*q.into = l.percentile(50)
	}
	return newest, tag
}

// idleMemory waits a minute and returns the server's anonymous memory in MiB (decision 31).
func idleMemory(t *testing.T, p process) float64 {
	t.Helper()
	time.Sleep(time.Minute)
	return residentMiB(t, p.pid)
}
