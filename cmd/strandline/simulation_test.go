package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

// seedFlag lives one life alone; so does STRANDLINE_SEED.
var seedFlag = flag.String("seed", os.Getenv("STRANDLINE_SEED"), "the seed of the one life that TestSimulation is to live")

// TestSimulation lives lives of the whole node: the embedded store and the keys on a disk whose power goes and whose calls
// fail, commands, policy, read models and both doors over HTTP, in a bubble whose time is simulated. Each life is drawn
// from a seed: who asks for what, and what befalls the node. Everything that was acknowledged is there after every start,
// what was not is there wholly or not at all, every answered request is on the record once, and the read models are those
// that the log gives.
func TestSimulation(t *testing.T) {
	first, lives := uint64(1), uint64(12)
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		lives = 300
	}
	if *seedFlag != "" {
		seed, err := strconv.ParseUint(*seedFlag, 10, 64)
		if err != nil {
			t.Fatalf("seed %q is no number", *seedFlag)
		}
		first, lives = seed, 1
	}
	var all simTally
	for seed := first; seed < first+lives; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := simulate(t, seed)
			all.add(l)
			if *seedFlag != "" {
				t.Log(strings.Join(l.trace, "\n"))
			}
		})
	}
	t.Logf("%d lives, %d starts, %d requests, %d events", lives, all.starts, all.requests, all.events)
}

// simTally counts what happened in lives.
type simTally struct{ starts, requests, events int }

func (y *simTally) add(l *simLife) {
	y.starts, y.requests, y.events = y.starts+l.boots, y.requests+len(l.requests), y.events+len(l.stored)
}

// simulate lives the life of a seed.
func simulate(t *testing.T, seed uint64) (l *simLife) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // who comes first must depend on nothing but the seed
	cryptotest.SetGlobalRandom(t, seed)
	stuck := time.AfterFunc(2*time.Minute, func() { panic(fmt.Sprintf("the life of seed %d does not go on", seed)) })
	defer stuck.Stop()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l = newSimLife(t, seed, dir)
		t.Cleanup(l.abandon)
		l.live(16)
	})
	return l
}

// TestSimulationIsDeterministic: the same seed gives the same life, word for word: the same requests at the same times, and
// the same answers with the same ids at the same positions. What is left to chance is not in the trace: the ids of
// requests, whose clock belongs to the process, and who comes first of goroutines that wake at the same instant of simulated
// time, which one processor and syncs of unlike lengths all but exclude.
func TestSimulationIsDeterministic(t *testing.T) {
	seeds := uint64(2)
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		seeds = 20
	}
	for seed := range seeds {
		var lives [2][]string
		for i := range lives {
			t.Run(fmt.Sprint(seed, i), func(t *testing.T) { lives[i] = simulate(t, seed).trace })
		}
		for i, line := range lives[0] {
			if i >= len(lives[1]) || line != lives[1][i] {
				t.Errorf("two lives of seed %d differ in line %d:\n%s\n%s", seed, i+1, line, lives[1][min(i, len(lives[1])-1)])
				break
			}
		}
	}
}
