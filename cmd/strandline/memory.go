package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Bounds on memory.
const (
	softMemory  = 512 << 20       // from where on garbage is collected more often; twice what is needed at rest, where that is more
	restless    = 3 * time.Second // without a collection is rest
	worthAfter  = 64 << 20        // mapped memory below which nothing is given back
	limitByHand = "GOMEMLIMIT"    // set by an operator who knows better
)

// sparing keeps memory bounded while large requests come and go, and gives back to the system what they took once they
// are over: by itself, Go would keep it for minutes.
type sparing struct {
	collections, given uint64 // counts of collections: the last known, and that after the last time memory was given back
	since              time.Time
}

// watch looks once a second until ctx ends.
func (s *sparing) watch(ctx context.Context) {
	s.limit(0)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.look(now)
		case <-ctx.Done():
			return
		}
	}
}

// look gives memory back if there has been work since the last time, and none for a while.
func (s *sparing) look(now time.Time) {
	m := readMemory()
	if m.collections != s.collections {
		s.collections, s.since = m.collections, now
		return
	}
	if m.collections == s.given || m.mapped < worthAfter || now.Sub(s.since) < restless {
		return
	}
	debug.FreeOSMemory()
	m = readMemory()
	s.collections, s.given = m.collections, m.collections
	s.limit(m.live)
}

// limit sets the soft limit for a process that needs so much at rest.
func (s *sparing) limit(atRest uint64) {
	if _, set := os.LookupEnv(limitByHand); !set {
		debug.SetMemoryLimit(max(softMemory, int64(2*atRest)+softMemory/2))
	}
}

// memory is what the runtime knows of itself.
type memory struct {
	mapped      uint64 // bytes that the system has given and not got back
	live        uint64 // bytes in use at the end of the last collection
	collections uint64
}

func readMemory() memory {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	return memory{mapped: value(0) - value(1), live: value(2), collections: value(3)}
}
