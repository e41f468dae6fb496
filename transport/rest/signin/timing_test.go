package signin_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"strandline/transport/rest/signin"
)

// TestTiming tries secrets at access keys that somebody has and at as many that nobody has, each hashed, in random
// order: whoever measures one of each learns nothing of which is which.
func TestTiming(t *testing.T) {
	tries := 40
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		tries = 2000
	}
	if slowed {
		t.Skip("the race detector makes time mean nothing")
	}
	w := newWorld(t)
	hash := signin.Hash("right")
	var took [2][]time.Duration // of wrong secrets, of unknown access keys
	for n := range tries {
		w.set(fmt.Sprint("somebody", n), "U0000000001", hash, 0)
		order := rand.IntN(2)
		for _, kind := range []int{order, 1 - order} {
			begin := time.Now()
			err := w.from(fmt.Sprintf("192.0.2.%d", n%250), fmt.Sprint([]string{"somebody", "nobody__"}[kind], n), "wrong")
			took[kind] = append(took[kind], time.Since(begin))
			if err == nil {
				t.Fatal("a wrong secret was right")
			}
		}
		w.clock.pass(time.Second)
	}
	share := above(took[0], took[1])
	t.Logf("%d wrong secrets and %d unknown access keys: medians %s and %s; an unknown one takes longer in %.1f %% of pairs",
		tries, tries, median(took[0]), median(took[1]), 100*share)
	if bound := 0.05 + 3/math.Sqrt(6*float64(tries)); math.Abs(share-0.5) > bound {
		t.Errorf("it takes longer in %.1f %%, want 50 ± %.1f %%", 100*share, 100*bound)
	}
}

// above is in what share of all pairs the second takes longer than the first: one half if nothing can be told (the
// statistic of Mann and Whitney, over the number of pairs).
func above(first, second []time.Duration) float64 {
	slices.Sort(first)
	pairs := 0.0
	for _, d := range second {
		below, equal := slices.BinarySearch(first, d)
		pairs += float64(below)
		if equal {
			pairs += 0.5
		}
	}
	return pairs / float64(len(first)*len(second))
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
