package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestHostileBytes sends what no client sends, straight to the sockets: requests that two servers could understand in
// two ways, bombs of headers, paths that lead elsewhere. Each ends soon, with an answer that is no failure of the server
// or with a closed connection; what reached the server is on the record; and afterwards it serves as before.
func TestHostileBytes(t *testing.T) {
	s := startNode(t, t.TempDir())
	auth := "Authorization: Basic " + root + "\r\n"
	many := strings.Repeat("X-A: b\r\n", 20_000)
	before := len(recorded(t, s))
	var answered atomic.Int64
	var all sync.WaitGroup
	for name, bytes := range map[string]string{
		"length and chunks":      "POST /researcher HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /researcher HTTP/1.1\r\nHost: x\r\n\r\n",
		"two lengths":            "POST /researcher HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
		"a negative length":      "POST /researcher HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"an endless length":      "POST /researcher HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 99999999999999999999\r\n\r\n",
		"obscured chunks":        "POST /researcher HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"chunks twice":           "POST /researcher HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"a broken chunk":         "POST /researcher HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"a chunk of all bytes":   "POST /researcher HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
		"trailers":               "POST /researcher HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Basic a:b\r\nContent-Length: 9\r\n\r\n",
		"a bomb of trailers":     "POST /researcher HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + many + "\r\n",
		"many headers":           "GET /researcher HTTP/1.1\r\nHost: x\r\n" + many + "\r\n",
		"a long header":          "GET /researcher HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
		"a folded header":        "GET /researcher HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
		"a space before a colon": "GET /researcher HTTP/1.1\r\nHost: x\r\nAuthorization : Basic a:b\r\n\r\n",
		"bare line feeds":        "GET /researcher HTTP/1.1\nHost: x\n\n",
		"no host":                "GET /researcher HTTP/1.1\r\n\r\n",
		"two hosts":              "GET /researcher HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"a NUL in a header":      "GET /researcher HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
		"a NUL in a path":        "GET /researcher/%00 HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n",
		"dots":                   "GET /researcher/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n",
		"encoded dots":           "GET /researcher/%2e%2e%2f%2e%2e HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n",
		"half an escape":         "GET /researcher/%2 HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n",
		"broken UTF-8":           "GET /researcher/%ff%fe?x=%80 HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n",
		"another server's URI":   "GET http://elsewhere.example/researcher HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n",
		"a proxy's request":      "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:443\r\n\r\n",
		"a star":                 "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
		"a long path":            "GET /" + strings.Repeat("a/", 30_000) + " HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n",
		"a long method":          strings.Repeat("A", 10_000) + " / HTTP/1.1\r\nHost: x\r\n\r\n",
		"another protocol":       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"HTTP/2 in the clear":    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\x00", 9),
		"an upgrade":             "GET /researcher HTTP/1.1\r\nHost: x\r\n" + auth + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"HTTP/0.9":               "GET /researcher\r\n",
		"HTTP/9.9":               "GET /researcher HTTP/9.9\r\nHost: x\r\n\r\n",
		"many ranges":            "GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=" + strings.Repeat("0-,", 5000) + "0-\r\n\r\n",
		"a pipeline":             strings.Repeat("GET /researcher HTTP/1.1\r\nHost: x\r\n"+auth+"\r\n", 50),
		"nothing but newlines":   strings.Repeat("\r\n", 10_000),
	} {
		all.Go(func() {
			statuses := s.raw(t, name, bytes)
			answered.Add(int64(len(statuses)))
			for _, status := range statuses {
				if strings.HasPrefix(status, "5") && status != "505" && status != "501" {
					t.Errorf("%s: status %s", name, status)
				}
			}
			if want, ok := map[string]int{"a pipeline": 50, "length and chunks": 1}[name]; ok && len(statuses) != want {
				t.Errorf("%s: %d answers, want %d", name, len(statuses), want)
			}
		})
	}
	all.Wait()
	s.healthy(t)
	if n := len(recorded(t, s)) - before; n > int(answered.Load())+10 {
		t.Errorf("%d answers left %d events", answered.Load(), n)
	}
}

var statusLine = regexp.MustCompile(`HTTP/1\.[01] (\d{3}) `)

// raw sends bytes over a connection of their own and returns the statuses of all answers.
func (s *server) raw(t *testing.T, name, bytes string) (statuses []string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begin := time.Now()
	go func() { _, _ = io.WriteString(c, bytes) }() // the server may have had enough before the end
	var text []byte
	for part := make([]byte, 64<<10); err == nil; { // until the server closes it, or has no more to say
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		var n int
		n, err = c.Read(part)
		text = append(text, part[:n]...)
	}
	for _, found := range statusLine.FindAllSubmatch(text, -1) {
		statuses = append(statuses, string(found[1]))
	}
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("%s: the server took %s to end it", name, took)
	}
	return statuses
}

// healthy fails unless the server answers, and has neither panicked nor failed.
func (s *server) healthy(t *testing.T) {
	t.Helper()
	if status, text := s.as(t, root, "GET", "/researcher", ""); status != 200 {
		t.Errorf("afterwards: %d %s", status, text)
	}
	if log := s.log.String(); strings.Contains(log, "panic") || strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("the server has failed:\n%.2000s", log)
	}
}

// TestHostileHTTP2 opens streams and resets them at once, sends headers that never end, and changes settings without end:
// the connection is closed, or all is ignored, and memory stays where it was.
func TestHostileHTTP2(t *testing.T) {
	s := startNode(t, t.TempDir())
	for name, attack := range map[string]func(f *http2.Framer, block []byte) error{
		"rapid reset": func(f *http2.Framer, block []byte) error {
			for id := uint32(1); id < 60_000; id += 2 {
				if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}); err != nil {
					return err
				}
				if err := f.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
					return err
				}
			}
			return nil
		},
		"headers without end": func(f *http2.Framer, block []byte) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block}); err != nil {
				return err
			}
			for range 50_000 {
				if err := f.WriteContinuation(1, false, []byte(strings.Repeat("\x00\x01a\x01b", 200))); err != nil {
					return err
				}
			}
			return nil
		},
		"a flood of pings": func(f *http2.Framer, _ []byte) error {
			for range 100_000 {
				if err := f.WritePing(false, [8]byte{1}); err != nil {
					return err
				}
			}
			return nil
		},
		"a flood of settings": func(f *http2.Framer, _ []byte) error {
			for range 100_000 {
				if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		err := s.http2(t, attack)
		memory := residentMiB(t, s.cmd.Process.Pid)
		t.Logf("%s: %.0f MiB, the client saw %v", name, memory, err)
		if memory > 256 {
			t.Errorf("%s: %.0f MiB of memory", name, memory)
		}
		s.healthy(t)
	}
}

// http2 speaks HTTP/2 frame by frame, and reads nothing of what comes back but to throw it away.
func (s *server) http2(t *testing.T, attack func(f *http2.Framer, block []byte) error) error {
	t.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.tls, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	go func() { _, _ = io.Copy(io.Discard, c) }() // until it is closed
	fmt.Fprint(c, http2.ClientPreface)
	f := http2.NewFramer(c, nil)
	if err := f.WriteSettings(); err != nil {
		return err
	}
	var block strings.Builder
	e := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/researcher"}} {
		if err := e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			t.Fatal(err)
		}
	}
	return attack(f, []byte(block.String()))
}
