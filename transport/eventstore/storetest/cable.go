package storetest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Cable stands between a client and a server: it can be cut, and it can go dead, so that nothing comes through, nobody is
// told, and whoever connects is let in and hears nothing.
type Cable struct {
	Address string // for clients
	to      string

	mu    sync.Mutex
	alive chan struct{} // closed while it is not dead
	pairs []*pair
}

// pair is the two ends of a connection.
type pair struct {
	*Cable
	near, far net.Conn
	forgotten chan struct{} // closed when nothing comes through any more
	cut       chan struct{} // closed when it is
}

// NewCable lays a cable to a server's address, until the end of the test.
func NewCable(t testing.TB, to string) *Cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{Address: l.Addr().String(), to: to, alive: make(chan struct{})}
	close(c.alive)
	var carrying sync.WaitGroup
	carrying.Go(func() { c.accept(l, &carrying) })
	t.Cleanup(func() { l.Close(); c.Revive(); c.Cut(); carrying.Wait() })
	return c
}

func (c *Cable) accept(l net.Listener, carrying *sync.WaitGroup) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		p := &pair{c, near, far, make(chan struct{}), make(chan struct{})}
		c.mu.Lock()
		c.pairs = append(c.pairs, p)
		c.mu.Unlock()
		carrying.Go(func() { p.carry(near, far) })
		carrying.Go(func() { p.carry(far, near) })
	}
}

func (p *pair) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(to, through{p, from}) // it ends when it is cut
}

// through reads what comes through a cable.
type through struct {
	*pair
	net.Conn
}

func (r through) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	alive := r.alive
	r.mu.Unlock()
	select {
	case <-alive:
	case <-r.cut:
	}
	select {
	case <-r.forgotten:
		<-r.cut
	default:
	}
	return n, err
}

// Die holds back everything, the ends of connections too, until Revive.
func (c *Cable) Die() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alive = make(chan struct{})
}

// Revive lets through what has been held back, and what comes.
func (c *Cable) Revive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.alive:
	default:
		close(c.alive)
	}
}

// Forget swallows all that comes through the connections that there are, as a firewall does that has forgotten them. Others
// are not affected.
func (c *Cable) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pairs {
		select {
		case <-p.forgotten:
		default:
			close(p.forgotten)
		}
	}
}

// Cut closes the connections that there are.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pairs {
		p.near.Close()
		p.far.Close()
		close(p.cut)
	}
	c.pairs = nil
}
