package rest

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPace reads for ten seconds, in pieces, with and without somebody else there.
func TestPace(t *testing.T) {
	const rate, burst, piece = 16 << 20, 50_000_000, mostRead
	for name, tt := range map[string]struct {
		somebody time.Duration // from when on somebody asks for something small; negative: in the first second alone
		atLeast  int64
		atMost   int64
	}{
		"alone":            {time.Hour, 10_000 * piece, 10_000 * piece},
		"beside somebody":  {0, 10*rate + burst - 2*piece, 10*rate + burst + 2*piece},
		"until they come":  {5 * time.Second, 5_000*piece + 5*rate + burst - 2*piece, 5_000*piece + 5*rate + burst + 2*piece},
		"after they asked": {-1, 8_200 * piece, 8_500 * piece},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pace{rate: rate, burst: burst}
				read, start := int64(0), time.Now()
				for time.Since(start) < 10*time.Second {
					if since := time.Since(start); tt.somebody >= 0 && since >= tt.somebody || since < time.Second && tt.somebody < 0 {
						p.somebody(time.Now())
					}
					read += piece
					time.Sleep(time.Millisecond) // what it takes by itself
					p.keep(t.Context(), piece)
				}
				if read < tt.atLeast || read > tt.atMost {
					t.Errorf("read %d bytes in ten seconds, want between %d and %d", read, tt.atLeast, tt.atMost)
				}
			})
		})
	}
}

// TestPatience has a hundred claims wait at once: they give up one by one, each after half of the time at least.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1, 2*time.Second)
		if err := b.take(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		left := make(chan time.Duration, 100)
		start := time.Now()
		for range cap(left) {
			go func() {
				if err := b.take(t.Context(), 1); err == nil {
					t.Error("there was room for two")
				}
				left <- time.Since(start)
			}()
		}
		last := time.Second
		for range cap(left) {
			at := <-left
			if gap := at - last; gap < 0 || gap > 30*time.Millisecond || at > 2*time.Second {
				t.Errorf("one gives up after %s, the one before it after %s", at, last)
			}
			last = at
		}
		if _, waiting := b.held(); waiting != 0 {
			t.Errorf("%d still wait", waiting)
		}
	})
}

// TestSpare takes large buffers and gives them back.
func TestSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spare{most: 300 << 10}
		small, large := s.take(100<<10), s.take(200<<10)
		s.put(large)
		s.put(small)
		if b := s.take(80 << 10); cap(b) != 100<<10 {
			t.Errorf("a buffer of %d bytes, want the smallest that will do", cap(b))
		}
		s.put(make([]byte, 0, 400<<10))
		if _, bytes := s.kept(); bytes != 200<<10 {
			t.Errorf("%d bytes kept, want one buffer and not the one that is larger than what may be kept", bytes)
		}
		s.put(make([]byte, 0, 250<<10))
		if n, bytes := s.kept(); n != 1 || bytes != 250<<10 {
			t.Errorf("%d buffers of %d bytes kept, want the latest alone", n, bytes)
		}
		time.Sleep(quiet)
		synctest.Wait()
		if s.find(1) != nil {
			t.Error("a buffer is kept although no large body has come for a while")
		}
	})
}

func (s *spare) kept() (buffers int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.buffers), s.bytes
}
