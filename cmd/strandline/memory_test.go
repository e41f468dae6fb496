package main

import (
	"runtime/debug"
	"testing"
	"time"
)

// TestMemoryIsGivenBack fills memory, drops it, and lets some time pass.
func TestMemoryIsGivenBack(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	large := make([]byte, 200<<20)
	for i := 0; i < len(large); i += 4096 {
		large[i] = 1
	}
	debug.FreeOSMemory() // a collection, while it is in use
	full := readMemory().mapped
	clear(large[:1])
	large = nil
	var s sparing
	now := time.Now()
	s.look(now)
	s.look(now.Add(restless / 2))
	if got := readMemory().mapped; got < full-(100<<20) {
		t.Errorf("given back before there was rest: %d of %d MiB are left", got>>20, full>>20)
	}
	s.look(now.Add(2 * restless))
	if got := readMemory().mapped; got > full-(150<<20) {
		t.Errorf("%d of %d MiB are left", got>>20, full>>20)
	}
	if limit := debug.SetMemoryLimit(-1); limit < softMemory {
		t.Errorf("the soft limit is %d MiB", limit>>20)
	}
	if s.given != readMemory().collections {
		t.Error("it would be done again without any work")
	}
	_ = large
}
