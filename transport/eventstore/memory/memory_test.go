package memory_test

import (
	"testing"
	"time"

	"strandline/domain"
	"strandline/transport/eventstore/memory"
)

func TestGapsArePairsThatGrow(t *testing.T) {
	store := memory.New(memory.WithGaps(7))
	var last domain.Position
	dense, pairs := true, false
	for i := range 50 {
		done, err := store.Append(t.Context(), "thing-1", domain.Any, []domain.Record{record(3 * i), record(3*i + 1), record(3*i + 2)})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range done.All {
			if !last.Before(p) {
				t.Fatalf("position %v after %v; want a greater one", p, last)
			}
			dense = dense && p.Commit == last.Commit+1
			pairs = pairs || p.Commit != p.Prepare
			last = p
		}
	}
	if dense || !pairs {
		t.Errorf("dense = %v, pairs = %v; want positions with gaps, of two different halves", dense, pairs)
	}
}

func TestClock(t *testing.T) {
	at := time.Date(2031, 5, 4, 3, 2, 1, 987654321, time.FixedZone("", 3600))
	store := memory.New(memory.WithClock(func() time.Time { return at }))
	if _, err := store.Append(t.Context(), "thing-1", domain.Any, []domain.Record{record(0)}); err != nil {
		t.Fatal(err)
	}
	r, err := store.Find(t.Context(), "thing-1", record(0).ID)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2031, 5, 4, 2, 2, 1, 987654300, time.UTC); r.Time != want {
		t.Errorf("time = %v; want %v", r.Time, want)
	}
}

func record(n int) domain.Record {
	return domain.Record{Envelope: domain.Envelope{ID: domain.ID{1, byte(n >> 8), byte(n)}, Type: "thing.done", Version: 1}}
}
