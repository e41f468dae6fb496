package main_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTimingOverHTTP asks two thousand times as somebody with a wrong secret and as nobody, in random order, with the
// same secret and with another one each time: the answers are the same, and so is the time they take.
func TestTimingOverHTTP(t *testing.T) {
	tries := pick(500, 2000)
	s := startNode(t, t.TempDir())
	for _, kind := range []string{"the same secret", "another secret each time"} {
		var took [2][]time.Duration
		var said [2]map[int]int
		said[0], said[1] = map[int]int{}, map[int]int{}
		c, err := dial(strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		for n := range tries {
			secret := "wrong"
			if kind != "the same secret" {
				secret = fmt.Sprint("wrong", n)
			}
			first := rand.IntN(2)
			for _, who := range []int{first, 1 - first} {
				credential := []string{rootKey, "nobody@example.org"[:len(rootKey)]}[who] + ":" + secret
				begin := time.Now()
				status, _, err := c.do(request("GET", "/researcher", credential, nil))
				took[who] = append(took[who], time.Since(begin))
				if err != nil {
					t.Fatal(err)
				}
				said[who][status]++
			}
		}
		share := longer(took[0][100:], took[1][100:]) // once the first secrets have been hashed
		slices.Sort(took[0])
		slices.Sort(took[1])
		t.Logf("%s, %d times each: medians %s and %s; nobody takes longer in %.1f %% of pairs", kind, tries, took[0][tries/2], took[1][tries/2], 100*share)
		if math.Abs(share-0.5) > 0.1 {
			t.Errorf("nobody takes longer in %.1f %%, want about 50 %%", 100*share)
		}
		if fmt.Sprint(said[0]) != fmt.Sprint(said[1]) {
			t.Errorf("%s: answers to somebody %v, to nobody %v", kind, said[0], said[1])
		}
	}
}

// longer is in what share of all pairs the second takes longer than the first.
func longer(first, second []time.Duration) float64 {
	pairs := 0
	for _, a := range first {
		for _, b := range second {
			if b > a {
				pairs++
			}
		}
	}
	return float64(pairs) / float64(len(first)*len(second))
}
