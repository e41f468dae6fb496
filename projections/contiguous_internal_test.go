package projections

import (
	"errors"
	"slices"
	"testing"

	"strandline/domain"
)

// TestContiguity: a batch is applied from the checkpoint on, what was applied before is passed over, and a gap is an error,
// upon which the store is read.
func TestContiguity(t *testing.T) {
	at := func(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }
	run := func(after, last uint64) batch {
		b := batch{prev: at(after)}
		for n := after + 1; n <= last; n++ {
			b.events = append(b.events, domain.Recorded{Position: at(n)})
		}
		return b
	}
	for _, tt := range []struct {
		name       string
		checkpoint uint64
		batches    []batch
		fresh      []uint64
		lost       bool
	}{
		{"follows", 3, []batch{run(3, 5), run(5, 6)}, []uint64{4, 5, 6}, false},
		{"overlaps", 3, []batch{run(0, 2), run(2, 5)}, []uint64{4, 5}, false},
		{"is known", 9, []batch{run(0, 5)}, nil, false},
		{"begins after a gap", 3, []batch{run(4, 6)}, nil, true},
		{"has a gap in between", 3, []batch{run(3, 4), run(5, 6)}, nil, true},
		{"has only caught up, beyond a gap", 3, []batch{run(4, 4)}, nil, true},
	} {
		fresh, err := contiguous(at(tt.checkpoint), tt.batches)
		if errors.Is(err, errLost) != tt.lost {
			t.Errorf("what %s is lost: %v", tt.name, err)
			continue
		}
		var got []uint64
		for _, b := range fresh {
			for _, e := range b.events {
				got = append(got, e.Position.Commit)
			}
		}
		if !slices.Equal(got, tt.fresh) {
			t.Errorf("of what %s, %v is applied; want %v", tt.name, got, tt.fresh)
		}
	}
}
