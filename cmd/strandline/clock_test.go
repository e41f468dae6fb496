package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestClockJumps puts a clock forward and back, and is told of each jump once.
func TestClockJumps(t *testing.T) {
	const decade = 10 * 365 * 24 * time.Hour
	for _, tt := range []struct {
		jump time.Duration
		told string
	}{
		{0, ""}, {time.Second, ""}, {-time.Second, ""},
		{time.Hour, "put forward"}, {-time.Hour, "put back"}, {decade, "put forward"}, {-decade, "put back"},
	} {
		var said bytes.Buffer
		wall, elapsed := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC), time.Duration(0)
		w := newClockWatch(func() time.Time { return wall }, slog.New(slog.NewJSONHandler(&said, nil)))
		w.elapsed = func() time.Duration { return elapsed }
		w.lastElapsed = 0
		pass := func(d time.Duration) { wall, elapsed = wall.Add(d), elapsed+d; w.look() }
		pass(10 * time.Second)
		wall = wall.Add(tt.jump)
		pass(10 * time.Second)
		pass(10 * time.Second)
		lines := strings.Count(said.String(), "\n")
		if want := map[bool]int{true: 1}[tt.told != ""]; lines != want || !strings.Contains(said.String(), tt.told) {
			t.Errorf("a jump of %s: told %q, want %d line that it was %s", tt.jump, said.String(), want, tt.told)
		}
	}
}
