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
	made := newStudy(t, s, 3)
	s.as(t, root, "POST", "/participant/"+made.participants[1]+"/sensor_event", // which slow readers ask for
		fmt.Sprintf(`{"timestamp":1,"sensor":"lamp.large","data":%q}`, strings.Repeat("x", 1<<20)))
	h := &healthy{server: s, path: "/participant/" + made.participants[0] + "/sensor_event"}
	h.watch(t, time.Second) // so that nothing is for the first time
	for name, lean := range map[string]func(*attackers){
		"slow clients": func(a *attackers) { a.slowly(made.participants[1], pick(300, 2000)) },
		"large bodies": func(a *attackers) { a.largely(made.participants[2], pick(40, 200), pick(8_000_000, 49_000_000)) },
		"connections":  func(a *attackers) { a.manyConnections(pick(3000, 10_000)) },
	} {
		t.Run(name, func(t *testing.T) { h.bears(t, lean) })
	}
	t.Run("bodies thrown away", func(t *testing.T) { h.shares(t, pick(40, 200), pick(8_000_000, 49_000_000)) })
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

// shares prints what the same large bodies do to healthy clients when they go to another process, which throws them away
// as fast as they come: what the machine and those who send take by themselves.
func (h *healthy) shares(t *testing.T, clients, size int) {
	url, end := throwAway(t)
	defer end()
	span := time.Duration(pick(1, 15)) * time.Second
	before := h.watch(t, span)
	a := &attackers{server: &server{url: url}, stop: make(chan struct{})}
	a.largely("nobody", clients, size)
	during := h.watch(t, span)
	close(a.stop)
	a.group.Wait()
	t.Logf("%s; p99 of healthy requests kept/fresh: %s/%s before, %s/%s during", a.tally(),
		at99(before.kept), at99(before.fresh), at99(during.kept), at99(during.fresh))
}

// throwAway starts a process that throws away what it is sent; end ends it.
func throwAway(t *testing.T) (url string, end func()) {
	t.Helper()
	other := exec.Command(os.Args[0], "-test.run", "^TestLargeBodiesThrownAway$", "-test.v")
	other.Env = append(os.Environ(), "STRANDLINE_THROW_AWAY=1")
	other.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() {
		_ = other.Process.Kill() // it has nothing to say
		_ = other.Wait()
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, url, ok := strings.Cut(lines.Text(), "throws away at "); ok {
			return url, end
		}
	}
	end()
	t.Fatal("the process that throws bodies away does not say where it listens")
	return "", nil
}

// TestLargeBodiesThrownAway is no test: it is that process.
func TestLargeBodiesThrownAway(t *testing.T) {
	if os.Getenv("STRANDLINE_THROW_AWAY") == "" {
		t.Skip("run by TestDrillOverload")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("throws away at http://" + l.Addr().String())
	t.Fatal(http.Serve(l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })))
}

// attackers lean on a server until they are told to stop.
type attackers struct {
	*server
	stop  chan struct{}
	group sync.WaitGroup

	open, sent, answered, taken, cut atomic.Int64
}

func (a *attackers) tally() string {
	return fmt.Sprintf("%d connections opened, %d MB sent, %d answered, %d of them with 200, %d cut off",
		a.open.Load(), a.sent.Load()/1e6, a.answered.Load(), a.taken.Load(), a.cut.Load())
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

// send has clients that send large bodies as fast as they can, one after the other: half of them events, and half of them
// nothing but space, which is refused.
func (a *attackers) send(participant string, clients, size int) {
	head := fmt.Sprintf("POST /participant/%s/sensor_event HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: %d\r\n\r\n", participant, root, size)
	event := large{head + `{"timestamp":1,"sensor":"lamp.large","data":"`, bytes.Repeat([]byte("x"), 1<<20), `"}`, size}
	space := large{head, bytes.Repeat([]byte(" "), 1<<20), "", size}
	a.each(clients, func(n int, c net.Conn, begun func()) {
		begun()
		body := event
		if n%2 == 1 {
			body = space
		}
		body.size -= len(body.begin) - len(head) + len(body.end)
		for {
			if !a.large(c, body) {
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
	fmt.Println("tally", a.open.Load(), a.sent.Load(), a.answered.Load(), a.taken.Load(), a.cut.Load())
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
			var open, sent, answered, taken, cut int64
			if n, _ := fmt.Sscanf(line, "tally %d %d %d %d %d", &open, &sent, &answered, &taken, &cut); n == 5 {
				a.open.Add(open)
				a.sent.Add(sent)
				a.answered.Add(answered)
				a.taken.Add(taken)
				a.cut.Add(cut)
			}
		}
	})
	time.Sleep(time.Second) // it is under way
}

// large is a request with a large body: size bytes of filling between its begin and its end.
type large struct {
	begin   string
	filling []byte
	end     string
	size    int
}

// large sends one large body; false if it is time to stop.
func (a *attackers) large(c net.Conn, body large) bool {
	_, err := io.WriteString(c, body.begin)
	for left := body.size; left > 0 && err == nil; {
		select {
		case <-a.stop:
			return false
		default:
		}
		var n int
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		n, err = c.Write(body.filling[:min(left, len(body.filling))])
		left -= n
		a.sent.Add(int64(n))
	}
	if err == nil {
		_, _ = io.WriteString(c, body.end) // the answer tells
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	switch line, _ := bufio.NewReader(c).ReadString('\n'); {
	case strings.HasPrefix(line, "HTTP/1.1 200"):
		a.taken.Add(1)
		a.answered.Add(1)
	case strings.HasPrefix(line, "HTTP/1.1 "):
		a.answered.Add(1)
	default:
		a.cut.Add(1)
	}
	select {
	case <-a.stop:
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

// manyConnections opens connections and says nothing, or asks once without a credential. Whoever is cut off comes again.
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
