package main

import (
	"strings"
	"testing"
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
