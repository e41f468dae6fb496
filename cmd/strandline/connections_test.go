package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// crowd is a server with room for a few connections, whose clock a test moves.
type crowd struct {
	*testing.T
	*connections
	address string
	release chan struct{} // lets requests for /wait go on
}

func newCrowd(t *testing.T, most int) *crowd {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{T: t, connections: newConnections(most), address: l.Addr().String(), release: make(chan struct{})}
	s := &http.Server{Handler: http.HandlerFunc(c.answer)}
	c.watch(s)
	go func() { _ = s.Serve(c.listen(l)) }() // ends with Close
	t.Cleanup(func() { close(c.release); s.Close() })
	return c
}

func (c *crowd) answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/wait":
		<-c.release
	case "/body":
		_, _ = bufio.NewReader(r.Body).ReadBytes(0) // until the client goes away
	}
	fmt.Fprint(w, "ok")
}

// send opens a connection and sends as much of a request as is given.
func (c *crowd) send(text string) net.Conn {
	c.Helper()
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { conn.Close() })
	c.more(conn, text)
	return conn
}

func (c *crowd) more(conn net.Conn, text string) {
	c.Helper()
	if _, err := fmt.Fprint(conn, text); err != nil {
		c.Fatal(err)
	}
}

const wholeRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// answered tells whether an answer comes over a connection.
func (c *crowd) answered(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.HasPrefix(line, "HTTP/1.1 200")
}

// until waits for something that the server does in its own time.
func (c *crowd) until(what string, done func() bool) {
	c.Helper()
	for begin := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			c.Fatalf("waited in vain until %s", what)
		}
	}
}

// classes counts the open connections by how dispensable they are; the last are those that are not.
func (c *crowd) classes() (n [isSlow + 2]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		class := isSlow + 1
		if r, ok := conn.rank(); ok {
			class = r.class
		}
		n[class]++
	}
	return n
}

// TestNewClientsAreServed fills all places with one kind of useless connection after the other: a new client is served
// all the same, and so is one that was there before and is in use.
func TestNewClientsAreServed(t *testing.T) {
	for name, tt := range map[string]struct {
		useless string
		class   int
	}{
		"silent":       {"", isNew},
		"slow headers": {"GET / HTTP/1.1\r\nHost: x\r\nX-Slow:", isNew},
		"idle":         {wholeRequest, isIdle},
		"slow bodies":  {"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", isSlow},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t, 8)
			used := c.send(wholeRequest)
			if !c.answered(used) {
				t.Fatal("the first client was not served")
			}
			c.until("its request has ended", func() bool { return c.classes()[isIdle] == 1 })
			for range 7 {
				conn := c.send(tt.useless)
				if tt.class == isIdle && !c.answered(conn) {
					t.Fatal("a client was not served while there was room")
				}
			}
			c.until("all places are taken", func() bool { n := c.classes(); return n[tt.class] >= 7 && c.count() == 8 })
			time.Sleep(youth)
			c.more(used, wholeRequest)
			if !c.answered(used) {
				t.Error("who uses a connection lost it")
			}
			for range 4 {
				if conn := c.send(wholeRequest); !c.answered(conn) {
					t.Error("a new client was not served")
				}
			}
			if c.count() > 8 {
				t.Errorf("%d connections are open, want 8 at most", c.count())
			}
			c.more(used, wholeRequest)
			if !c.answered(used) {
				t.Error("who uses a connection lost it to new clients")
			}
		})
	}
}

// TestRequestsAreNotCutOff fills all places with requests that the server is at: they go on, and who comes is turned away.
func TestRequestsAreNotCutOff(t *testing.T) {
	c := newCrowd(t, 4)
	var waiting []net.Conn
	for range 4 {
		waiting = append(waiting, c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"))
	}
	c.until("the server is at all of them", func() bool { return c.classes()[isSlow+1] == 4 })
	time.Sleep(youth)
	if c.answered(c.send(wholeRequest)) {
		t.Error("there was room for a fifth connection")
	}
	for range 4 {
		c.release <- struct{}{}
	}
	for n, conn := range waiting {
		if !c.answered(conn) {
			t.Errorf("request %d was cut off", n)
		}
	}
}

// TestRoomForConnections has fewer connections than file descriptors.
func TestRoomForConnections(t *testing.T) {
	if room := roomForConnections(); room < leastConnections || room > mostConnections {
		t.Errorf("room for %d connections", room)
	}
}
