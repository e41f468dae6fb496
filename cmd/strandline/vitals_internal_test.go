package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"strandline/readmodels/sqlite"
)

// TestGlance has one goroutine look while others wait no longer than they want to.
func TestGlance(t *testing.T) {
	looks, stuck := atomic.Int64{}, make(chan struct{})
	g := &glance[int64]{find: func() int64 {
		n := looks.Add(1)
		if n > 1 {
			<-stuck
		}
		return n
	}}
	if found, fresh := g.look(time.Minute); found != 1 || !fresh {
		t.Fatalf("the first look found %d, fresh %v", found, fresh)
	}
	if found, fresh := g.look(time.Minute); found != 1 || !fresh {
		t.Errorf("soon after, nobody has to look again: found %d, fresh %v", found, fresh)
	}
	g.mu.Lock()
	g.at = time.Now().Add(-time.Hour)
	g.mu.Unlock()
	for range 3 { // the disk hangs
		asked := time.Now()
		if found, fresh := g.look(20 * time.Millisecond); found != 1 || fresh || time.Since(asked) > 5*time.Second {
			t.Errorf("while the disk hangs: found %d, fresh %v, after %s", found, fresh, time.Since(asked))
		}
	}
	close(stuck)
	if found, fresh := g.look(time.Minute); found != 2 || !fresh || looks.Load() != 2 {
		t.Errorf("when it answers again: found %d, fresh %v, in %d looks", found, fresh, looks.Load())
	}
}

func TestRunway(t *testing.T) {
	begin := time.Unix(1e9, 0)
	var s surveyor
	s.note(mark{begin, 1000})
	if seconds, watched := s.runway(500); !math.IsInf(seconds, 1) || watched != 0 {
		t.Errorf("at the start: %v s after %s, want no end", seconds, watched)
	}
	for n := range 100 {
		s.note(mark{begin.Add(time.Duration(n) * time.Second), 1000 + int64(n)*10})
	}
	if seconds, watched := s.runway(500); math.Abs(seconds-50) > 1e-9 || watched != 99*time.Second {
		t.Errorf("500 bytes at ten a second: %v s after %s, want 50 after 99 s", seconds, watched)
	}
	if len(s.seen) > 12 {
		t.Errorf("%d marks for 100 s: one every ten seconds is enough", len(s.seen))
	}
	s.note(mark{begin.Add(2 * time.Hour), 1990})
	s.note(mark{begin.Add(2*time.Hour + 20*time.Second), 1990})
	if seconds, _ := s.runway(500); !math.IsInf(seconds, 1) {
		t.Errorf("nothing was written for an hour: %v s, want no end", seconds)
	}
}

// TestPlain has reasons that hold nothing of anybody's.
func TestPlain(t *testing.T) {
	for want, err := range map[string]error{
		"input/output error":         fmt.Errorf("append to observation-U1-secret: %w", &fs.PathError{Op: "write", Path: "/secret", Err: syscall.EIO}),
		"disk I/O error (SQLite 10)": fmt.Errorf("secret: %w", &sqlite.Error{Code: 10, Message: "disk I/O error", Doing: "secret"}),
		"the server's log says why":  errors.New("secret"),
		"no space left on device":    errors.Join(errors.New("secret"), syscall.ENOSPC),
	} {
		if got := plain(err); got != want || strings.Contains(got, "secret") {
			t.Errorf("plain(%v) = %q, want %q", err, got, want)
		}
	}
}
