package main

import (
	"fmt"
	"net"
)

// listenPlain opens addr for plain HTTP, which is served to this machine alone.
func listenPlain(addr string) (net.Listener, error) {
	if err := isPlainAddress(addr); err != nil {
		return nil, err
	}
	return listen("--listen", addr)
}

// isPlainAddress fails where nobody may listen without TLS.
func isPlainAddress(addr string) error {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return exitWith(exitUsage, fmt.Errorf("--listen %s: %w; write it as 127.0.0.1:8080", addr, err))
	}
	if !resolved.IP.IsLoopback() {
		return exitWith(exitUsage, fmt.Errorf("--listen %s would send passwords in the clear over a network: "+
			"use --listen 127.0.0.1:%d, and --listen-tls %s for other machines", addr, resolved.Port, addr))
	}
	return nil
}

// listen opens addr; flag is what it came from.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; choose another port, or :0 for any", flag, addr, err)
	}
	return l, nil
}
