package main

import (
	"os"
	"runtime"
)

// processorsByHand is set by an operator who knows better.
const processorsByHand = "GOMAXPROCS"

// oneMoreThanProcessors lets one goroutine more run at once than there are processors. One of them waits for the disk
// nearly always, and Go takes up to ten milliseconds to notice that nothing runs in its place: with two processors, one of
// which is at a large body, everybody else waits that long.
func oneMoreThanProcessors() {
	if _, set := os.LookupEnv(processorsByHand); !set {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}
