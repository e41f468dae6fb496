package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestPlainHTTPIsForThisMachine refuses plain HTTP on a network, with a remedy.
func TestPlainHTTPIsForThisMachine(t *testing.T) {
	for addr, allowed := range map[string]bool{
		"127.0.0.1:0": true, "[::1]:0": true, "localhost:0": true, "127.9.9.9:0": true,
		":0": false, "0.0.0.0:0": false, "[::]:0": false, "192.0.2.1:0": false, "nonsense": false,
	} {
		l, err := listenPlain(addr)
		if err == nil {
			l.Close()
		}
		if strings.Contains(addr, "::1") && err != nil && codeOf(err) != exitUsage {
			continue // a machine without IPv6
		}
		if (err == nil) != allowed {
			t.Errorf("--listen %s: %v, want allowed %v", addr, err, allowed)
		}
		if err != nil && !strings.Contains(err.Error(), "127.0.0.1:") {
			t.Errorf("--listen %s: %q names no remedy", addr, err)
		}
	}
}

// TestConnectionsAreCapped opens one connection more than there are places.
func TestConnectionsAreCapped(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := capConnections(inner, make(chan struct{}, 2))
	accepted := make(chan net.Conn, 8)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	<-accepted
	select {
	case <-accepted:
		t.Fatal("a third connection was accepted beside two")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // twice gives back one place only
	<-accepted
	l.Close()
	for range accepted {
		t.Error("a connection was accepted without a place")
	}
}
