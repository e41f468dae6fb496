package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Bounds that the server has to keep while others lean on it (decision 27).
const (
	mostMemoryMiB = 768              // of anonymous memory, at any time
	recoverySpan  = 10 * time.Second // after which nothing may be left of it
)

// TestDrillOverload leans on a server in three ways, one after the other: clients that send and read slowly, large bodies
// on many connections, and more connections than it takes. Beside each, two healthy clients go on asking: one over its
// connection, one over a new one each time. All of theirs is answered, memory stays bounded, and ten seconds after each
// everything is as before. The long form holds their latency to twice what it was.
func TestDrillOverload(t *testing.T) {
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 2)
	s.as(t, root, "POST", "/participant/"+made.participants[1]+"/sensor_event", // which slow readers ask for
		fmt.Sprintf(`{"timestamp":1,"sensor":"lamp.large","data":%q}`, strings.Repeat("x", 1<<20)))
	h := &healthy{server: s, path: "/participant/" + made.participants[0] + "/sensor_event"}
	h.watch(t, time.Second) // so that nothing is for the first time
	for name, lean := range map[string]func(*attackers){
		"slow clients": func(a *attackers) { a.slowly(made.participants[1], pick(300, 2000)) },
		"large bodies": func(a *attackers) { a.largely(made.participants[1], pick(40, 200), pick(8_000_000, 49_000_000)) },
		"connections":  func(a *attackers) { a.manyConnections(pick(3000, 10_000)) },
	} {
		t.Run(name, func(t *testing.T) { h.bears(t, lean) })
	}
}

// healthy are two clients that ask at an easy pace.
type healthy struct {
	*server
	path string
}

// watched is what healthy clients saw.
type watched struct {
	kept, fresh []time.Duration // latencies over one connection, and over a new one each time
	failures    []string
	peak        float64 // MiB
}

// watch asks for a time.
func (h *healthy) watch(t *testing.T, d time.Duration) (w watched) {
	kept, fresh := &http.Client{Transport: &http.Transport{}}, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	defer kept.CloseIdleConnections()
	over := time.After(d)
	for n := int64(0); ; n++ {
		w.kept = append(w.kept, h.one(kept, n, &w))
		w.fresh = append(w.fresh, h.one(fresh, n, &w))
		w.peak = max(w.peak, residentMiB(t, h.cmd.Process.Pid))
		select {
		case <-over:
			return w
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// one writes or reads something small.
func (h *healthy) one(c *http.Client, n int64, w *watched) time.Duration {
	begin := time.Now()
	var status int
	var err error
	if n%4 == 0 {
		status, _, _, err = h.send(c, root, "POST", h.path, reading(n))
	} else {
		status, _, _, err = h.send(c, root, "GET", h.path+"?limit=1", "")
	}
	if err != nil || status != 200 {
		w.failures = append(w.failures, fmt.Sprint(status, err))
	}
	return time.Since(begin)
}

// at99 is the latency that 99 of a hundred requests stayed below.
func at99(latencies []time.Duration) time.Duration {
	slices.Sort(latencies)
	return latencies[len(latencies)*99/100].Round(10 * time.Microsecond)
}

// bears leans on the server and looks at what comes of it.
func (h *healthy) bears(t *testing.T, lean func(*attackers)) {
	span := time.Duration(pick(2, 15)) * time.Second
	before := h.watch(t, span)
	files, goroutines := openFiles(t, h.cmd.Process.Pid), h.metric(t, "go_goroutines")
	a := &attackers{server: h.server, stop: make(chan struct{})}
	lean(a)
	during := h.watch(t, span)
	close(a.stop)
	a.group.Wait()
	over := time.Now()
	files2, goroutines2, memory := 0, 0.0, 0.0
	var after watched
	for time.Since(over) < recoverySpan {
		after = h.watch(t, time.Second)
		files2, goroutines2, memory = openFiles(t, h.cmd.Process.Pid), h.metric(t, "go_goroutines"), residentMiB(t, h.cmd.Process.Pid)
		if files2 <= files+20 && goroutines2 <= goroutines+50 && memory <= 2*before.peak+64 && at99(after.fresh) <= 2*at99(before.fresh) && at99(after.kept) <= 2*at99(before.kept) {
			break
		}
	}
	took := time.Since(over).Round(100 * time.Millisecond)
	t.Logf("%s; p99 of healthy requests kept/fresh: %s/%s before, %s/%s during, %s/%s after; %d of %d failed; memory %.0f, at most %.0f, then %.0f MiB; files %d, then %d; goroutines %.0f, then %.0f; recovered after %s",
		a.tally(), at99(before.kept), at99(before.fresh), at99(during.kept), at99(during.fresh), at99(after.kept), at99(after.fresh),
		len(during.failures), len(during.kept)+len(during.fresh), before.peak, during.peak, memory, files, files2, goroutines, goroutines2, took)
	if len(during.failures) > 0 || len(after.failures) > 0 {
		t.Errorf("healthy requests failed: %.5s", fmt.Sprint(during.failures, after.failures))
	}
	if during.peak > mostMemoryMiB {
		t.Errorf("%.0f MiB of memory, want at most %d", during.peak, mostMemoryMiB)
	}
	if files2 > files+20 || goroutines2 > goroutines+50 || memory > 2*before.peak+64 {
		t.Errorf("ten seconds later: %d files, %.0f goroutines, %.0f MiB; before %d, %.0f, %.0f", files2, goroutines2, memory, files, goroutines, before.peak)
	}
	if long() && (at99(during.kept) > 2*at99(before.kept) || at99(during.fresh) > 2*at99(before.fresh)) {
		t.Error("want a p99 of at most twice what it was")
	}
}

// attackers lean on a server until they are told to stop.
type attackers struct {
	*server
	stop  chan struct{}
	group sync.WaitGroup

	open, sent, answered, cut atomic.Int64
}

func (a *attackers) tally() string {
	return fmt.Sprintf("%d connections opened, %d MB sent, %d answered, %d cut off", a.open.Load(), a.sent.Load()/1e6, a.answered.Load(), a.cut.Load())
}

// each runs work on as many connections, some at a time of which begin, and waits until all have begun.
func (a *attackers) each(connections int, work func(n int, c net.Conn, begun func())) {
	var all sync.WaitGroup
	places := make(chan struct{}, 16)
	for n := range connections {
		all.Add(1)
		a.group.Go(func() {
			places <- struct{}{}
			begun := sync.OnceFunc(func() { <-places; all.Done() })
			defer begun()
			c, err := net.DialTimeout("tcp", strings.TrimPrefix(a.url, "http://"), 10*time.Second)
			if err != nil {
				a.cut.Add(1)
				return
			}
			defer c.Close()
			a.open.Add(1)
			work(n, c, begun)
		})
	}
	all.Wait()
}

// trickle writes one byte a second of text until it is told to stop or is cut off.
func (a *attackers) trickle(c net.Conn, text string) {
	for n := 0; ; n++ {
		select {
		case <-a.stop:
			return
		case <-time.After(time.Second):
		}
		if _, err := io.WriteString(c, text[n%len(text):n%len(text)+1]); err != nil {
			a.cut.Add(1)
			return
		}
	}
}

// slowly has clients of three kinds, a third each: slow in their headers, in a body, in reading what they asked for.
func (a *attackers) slowly(participant string, clients int) {
	events := "/participant/" + participant + "/sensor_event"
	a.each(clients, func(n int, c net.Conn, begun func()) {
		if n%3 != 2 {
			begun()
		}
		switch n % 3 {
		case 0:
			a.trickle(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "+strings.Repeat("x", 1000))
		case 1:
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: 100000\r\n\r\n[", events, root)
			a.trickle(c, " ")
		case 2:
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			fmt.Fprintf(c, "GET %s?limit=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\n\r\n", events, root)
			_, _ = c.Read(make([]byte, 1))
			begun()
			for one := make([]byte, 1); ; {
				select {
				case <-a.stop:
					return
				case <-time.After(time.Second):
				}
				if _, err := c.Read(one); err != nil {
					a.cut.Add(1)
					return
				}
			}
		}
	})
}

// send has clients that send large bodies as fast as they can, one after the other.
func (a *attackers) send(participant string, clients, size int) {
	head := fmt.Sprintf("POST /participant/%s/sensor_event HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: %d\r\n\r\n", participant, root, size)
	part := []byte(strings.Repeat(" ", 1<<20))
	a.each(clients, func(_ int, c net.Conn, begun func()) {
		begun()
		for {
			if !a.large(c, head, part, size) {
				return
			}
			again, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
			if err != nil {
				return
			}
			defer again.Close()
			a.open.Add(1)
			c = again
		}
	})
}

// TestLargeBodiesFromElsewhere is no test: it is the process that sends large bodies, so that the healthy clients' own
// process has nothing else to do, as if they were on another machine.
func TestLargeBodiesFromElsewhere(t *testing.T) {
	asked := strings.Fields(os.Getenv("STRANDLINE_LARGE_BODIES"))
	if len(asked) != 4 {
		t.Skip("run by TestDrillOverload")
	}
	clients, err := strconv.Atoi(asked[2])
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.Atoi(asked[3])
	if err != nil {
		t.Fatal(err)
	}
	a := &attackers{server: &server{url: asked[0]}, stop: make(chan struct{})}
	a.send(asked[1], clients, size)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the drill closes it
	close(a.stop)
	a.group.Wait()
	fmt.Println("tally", a.open.Load(), a.sent.Load(), a.answered.Load(), a.cut.Load())
}

// largely has another process send large bodies.
func (a *attackers) largely(participant string, clients, size int) {
	other := exec.Command(os.Args[0], "-test.run", "^TestLargeBodiesFromElsewhere$", "-test.v")
	other.Env = append(os.Environ(), fmt.Sprintf("STRANDLINE_LARGE_BODIES=%s %s %d %d", a.url, participant, clients, size))
	other.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	other.Stdout = &out
	in, err := other.StdinPipe()
	if err == nil {
		err = other.Start()
	}
	if err != nil {
		a.cut.Add(1)
		return
	}
	a.group.Go(func() {
		<-a.stop
		in.Close()
		_ = other.Wait() // what it has to say is in its output
		for line := range strings.Lines(out.String()) {
			var open, sent, answered, cut int64
			if n, _ := fmt.Sscanf(line, "tally %d %d %d %d", &open, &sent, &answered, &cut); n == 4 {
				a.open.Add(open)
				a.sent.Add(sent)
				a.answered.Add(answered)
				a.cut.Add(cut)
			}
		}
	})
	time.Sleep(time.Second) // it is under way
}

// large sends one large body; false if it is time to stop.
func (a *attackers) large(c net.Conn, head string, part []byte, size int) bool {
	_, err := io.WriteString(c, head)
	for left := size; left > 0 && err == nil; {
		select {
		case <-a.stop:
			return false
		default:
		}
		var n int
		_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		n, err = c.Write(part[:min(left, len(part))])
		left -= n
		a.sent.Add(int64(n))
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if line, _ := bufio.NewReader(c).ReadString('\n'); strings.HasPrefix(line, "HTTP/1.1 ") {
		a.answered.Add(1)
	} else {
		a.cut.Add(1)
	}
	select {
	case <-a.stop:
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

// manyConnections opens connections and says nothing, or asks once without a credential.Whoever is cut off comes again.
func (a *attackers) manyConnections(connections int) {
	a.each(connections, func(n int, c net.Conn, begun func()) {
		begun()
		if n%2 == 0 {
			fmt.Fprint(c, "GET /researcher HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		cut := make(chan struct{})
		go func() {
			defer close(cut)
			_, _ = io.Copy(io.Discard, c) // until the server or we close it
		}()
		select {
		case <-a.stop:
		case <-cut:
			a.cut.Add(1)
		}
	})
}
