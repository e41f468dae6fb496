package main

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Bounds on connections.
const (
	mostConnections   = 8192
	sparedDescriptors = 512 // files that the server needs beside its connections
	leastConnections  = 64
	systemBuffer      = 256 << 10   // bytes that the system takes of what a client sends before the server wants it
	youth             = time.Second // for which a connection may be at something before it has to make way
)

// connections are all that clients have open at a time, at most a number of them. Whoever comes always gets in as long
// as anybody is idle or slow: where there is no room, the connections that have been of least use for longest are closed.
// First go those that have never sent a whole request, then those between two requests, then those whose client takes
// its time over a body or an answer. A request that the server is at is never cut off. So neither idle connections nor
// slow ones, however many, keep new clients out, nor do they cost one its connection that uses it.
type connections struct {
	most int
	now  func() time.Time

	mu   sync.Mutex
	open map[*clientConn]struct{}
}

func newConnections(most int) *connections {
	return &connections{most: most, now: time.Now, open: map[*clientConn]struct{}{}}
}

// roomForConnections is how many connections there are file descriptors for. The soft limit is the hard one: Go sees to
// that at the start.
func roomForConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > mostConnections+sparedDescriptors {
		return mostConnections
	}
	return max(leastConnections, int(limit.Cur)-sparedDescriptors)
}

// clientConn is a connection of a client.
type clientConn struct {
	net.Conn
	of *connections

	handling atomic.Int32 // requests that the server is at
	reading  atomic.Int32 // those of them that wait for their body
	answered atomic.Bool  // at least one
	idle     atomic.Int64 // since when nothing has been handled, in nanoseconds since 1970
	slow     atomic.Int64 // when the last request that has a body came
	writing  atomic.Int64 // since when a write has been under way; 0 if none is
}

// listen returns l with its connections counted.
func (cs *connections) listen(l net.Listener) net.Listener { return counted{l, cs} }

type counted struct {
	net.Listener
	connections *connections
}

// Accept waits for a connection that there is room for.
func (l counted) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.SetReadBuffer(systemBuffer) // else it is several megabytes for each; without it, it works as well
		}
		c := &clientConn{Conn: conn, of: l.connections}
		c.idle.Store(l.connections.now().UnixNano())
		if l.connections.admit(c) {
			return c, nil
		}
		conn.Close()
	}
}

// admit takes a connection in, if need be in the place of others.
func (cs *connections) admit(c *clientConn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= cs.most {
		for _, other := range cs.dispensable() {
			delete(cs.open, other)
			go other.Conn.Close() // which waits for nobody, but may say goodbye
		}
	}
	if len(cs.open) >= cs.most {
		return false
	}
	cs.open[c] = struct{}{}
	return true
}

// dispensable are the connections that have to make way, the first the first: many at a time, so that the look at all of
// them is worth it. Of those that have only just come there is one at most.
func (cs *connections) dispensable() []*clientConn {
	now := cs.now()
	type ranked struct {
		*clientConn
		rank
	}
	var old []ranked
	var young *ranked
	for c := range cs.open {
		r, ok := c.rank()
		switch {
		case !ok:
		case now.UnixNano()-r.since >= int64(youth):
			old = append(old, ranked{c, r})
		case r.class < isSlow && (young == nil || r.before(young.rank) < 0):
			young = &ranked{c, r}
		}
	}
	if len(old) == 0 && young != nil {
		return []*clientConn{young.clientConn}
	}
	slices.SortFunc(old, func(a, b ranked) int { return a.before(b.rank) })
	var first []*clientConn
	for _, r := range old[:min(len(old), 1+cs.most/32)] {
		first = append(first, r.clientConn)
	}
	return first
}

// rank says how dispensable a connection is: the lower, the more.
type rank struct {
	class int
	since int64
}

const (
	isNew = iota
	isIdle
	isSlow
)

func (r rank) before(other rank) int {
	return cmp.Or(cmp.Compare(r.class, other.class), cmp.Compare(r.since, other.since))
}

// rank is the connection's; false if the server is at one of its requests.
func (c *clientConn) rank() (rank, bool) {
	handling, writing := c.handling.Load(), c.writing.Load()
	switch {
	case writing != 0:
		return rank{isSlow, writing}, true
	case handling == 0 && c.answered.Load():
		return rank{isIdle, c.idle.Load()}, true
	case handling == 0:
		return rank{isNew, c.idle.Load()}, true
	case c.reading.Load() >= handling:
		return rank{isSlow, c.slow.Load()}, true
	}
	return rank{}, false
}

// Write notes how long the client takes to take what it asked for.
func (c *clientConn) Write(b []byte) (int, error) {
	c.writing.Store(c.of.now().UnixNano())
	defer c.writing.Store(0)
	return c.Conn.Write(b)
}

// Close makes room.
func (c *clientConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// count is how many are open.
func (cs *connections) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}

type connectionKey struct{}

// watch has a server tell its connections what they are used for.
func (cs *connections) watch(s *http.Server) {
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if encrypted, ok := c.(interface{ NetConn() net.Conn }); ok {
			c = encrypted.NetConn()
		}
		return context.WithValue(ctx, connectionKey{}, c)
	}
	handler := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connectionKey{}).(*clientConn)
		if !ok {
			handler.ServeHTTP(w, r)
			return
		}
		c.handling.Add(1)
		defer c.handled()
		if r.Body != nil && r.Body != http.NoBody {
			c.slow.Store(c.of.now().UnixNano())
			r.Body = watchedBody{r.Body, c}
		}
		handler.ServeHTTP(w, r)
	})
}

func (c *clientConn) handled() {
	c.idle.Store(c.of.now().UnixNano())
	c.answered.Store(true)
	c.handling.Add(-1)
}

// watchedBody notes how long the client takes to send a body.
type watchedBody struct {
	io.ReadCloser
	c *clientConn
}

// Read implements io.Reader.
func (b watchedBody) Read(p []byte) (int, error) {
	b.c.reading.Add(1)
	defer b.c.reading.Add(-1)
	return b.ReadCloser.Read(p)
}
