package main

import (
	"fmt"
	"net"
	"sync"
)

// listenPlain opens addr for plain HTTP, which is served to this machine alone.
func listenPlain(addr string) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--listen %s: %w; write it as 127.0.0.1:8080", addr, err))
	}
	if !resolved.IP.IsLoopback() {
		return nil, exitWith(exitUsage, fmt.Errorf("--listen %s would send passwords in the clear over a network: "+
			"use --listen 127.0.0.1:%d, and --listen-tls %s for other machines", addr, resolved.Port, addr))
	}
	return listen("--listen", addr)
}

// listen opens addr; flag is what it came from.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; choose another port, or :0 for any", flag, addr, err)
	}
	return l, nil
}

// capped accepts at most as many connections at a time as it has places; others wait in the system's queue.
type capped struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

// capConnections limits how many connections of l are open at a time.
func capConnections(l net.Listener, places chan struct{}) *capped {
	return &capped{Listener: l, places: places, closed: make(chan struct{})}
}

// Accept waits for a place, then for a connection.
func (l *capped) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &cappedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close stops accepting.
func (l *capped) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type cappedConn struct {
	net.Conn
	leave func()
}

// Close gives the place to another connection.
func (c *cappedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
