package keys_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"strandline/domain"
	"strandline/domain/codec"
	"strandline/transport/files/faultfs"
	"strandline/transport/keys"
)

// acknowledged is what a caller was told before the power went.
type acknowledged struct {
	sealed    map[string][]byte // by key id
	owners    map[string]string // key id by owner
	destroyed map[string]bool   // owner; false if asked for and not answered
}

// live makes and destroys keys until the power goes, or its work is done.
func live(sys *faultfs.FS, seed int) (acknowledged, bool) {
	ctx := context.Background()
	ack := acknowledged{map[string][]byte{}, map[string]string{}, map[string]bool{}}
	s, err := keys.Open(sys, rand.Reader)
	if err != nil {
		return ack, false
	}
	for i := range 12 {
		owner := fmt.Sprintf("%d-%d", seed, i)
		key, err := s.KeyFor(ctx, owner)
		if err != nil {
			return ack, false
		}
		ack.owners[owner] = key
		if ack.sealed[key], err = s.Seal(nil, key, []byte(owner), nil); err != nil {
			return ack, false
		}
		if i%4 == 3 {
			victim := fmt.Sprintf("%d-%d", seed, i-2)
			ack.destroyed[victim] = false
			if s.Destroy(ctx, victim) != nil {
				return ack, false
			}
			ack.destroyed[victim] = true
		}
	}
	return ack, s.Close() == nil
}

// check opens what a crash has left and compares it with what was acknowledged.
func (ack acknowledged) check(s *keys.Store) error {
	for owner, key := range ack.owners {
		done, asked := ack.destroyed[owner]
		plain, err := s.Open(nil, key, ack.sealed[key], nil)
		switch {
		case done && !errors.Is(err, codec.ErrKeyDestroyed):
			return fmt.Errorf("destroyed key of %s came back: %v", owner, err)
		case asked && !done && errors.Is(err, codec.ErrKeyDestroyed):
			continue
		case !done && (err != nil || string(plain) != owner):
			return fmt.Errorf("acknowledged key of %s: %q, %v", owner, plain, err)
		}
		again, err := s.KeyFor(context.Background(), owner)
		if done && !errors.Is(err, domain.ErrRejected) || !done && again != key {
			return fmt.Errorf("KeyFor(%s) = %s, %v; was %s", owner, again, err, key)
		}
	}
	return nil
}

func TestDrillPowerCutLosesNoAcknowledgedKey(t *testing.T) {
	outcomes := 20
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		outcomes = 400
	}
	points, violations := 0, 0
	var slowest time.Duration
	for n := 1; ; n++ {
		finished := false
		for seed := range outcomes {
			sys := faultfs.New(uint64(seed))
			sys.CrashAt(n)
			ack, done := live(sys, 1)
			finished = finished || done
			for round := range 2 { // what was recovered once must survive the next crash as well
				sys = sys.Restart(uint64(1000*n + 10*seed + round))
				points++
				start := time.Now()
				s, err := keys.Open(sys, rand.Reader)
				slowest = max(slowest, time.Since(start))
				if err == nil {
					err = ack.check(s)
				}
				if err != nil {
					violations++
					t.Errorf("crash at call %d, seed %d, round %d: %v", n, seed, round, err)
				}
			}
		}
		if finished {
			break
		}
	}
	t.Logf("points %d, violations %d, slowest recovery %v", points, violations, slowest)
}

func TestDrillConcurrentOwnersSurvivePowerCut(t *testing.T) {
	for n := 1; n < 40; n++ {
		sys := faultfs.New(uint64(n))
		s, err := keys.Open(sys, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		sys.CrashAt(n)
		var mu sync.Mutex
		var all sync.WaitGroup
		got := map[string]string{}
		for i := range 32 {
			all.Go(func() {
				owner := fmt.Sprint(i)
				if key, err := s.KeyFor(context.Background(), owner); err == nil {
					mu.Lock()
					got[owner] = key
					mu.Unlock()
				}
			})
		}
		all.Wait()
		s, err = keys.Open(sys.Restart(uint64(n)), rand.Reader)
		if err != nil {
			t.Fatalf("crash at call %d: %v", n, err)
		}
		for owner, key := range got {
			if again := keyFor(t, s, owner); again != key {
				t.Errorf("crash at call %d: key of %s is %s, was %s", n, owner, again, key)
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	s := open(b, faultfs.New(1))
	key := keyFor(b, s, "a")
	plain, dst := make([]byte, 400), make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(dst, key, plain, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyFor(b *testing.B) {
	s := open(b, faultfs.New(1))
	b.ReportAllocs()
	for b.Loop() {
		keyFor(b, s, "a")
	}
}
