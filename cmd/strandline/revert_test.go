package main_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestRevert rebuilds and goes back and forth, over a kill and a start. The answers stay what they are, and what is written
// in between is in both builds.
func TestRevert(t *testing.T) {
	data := t.TempDir()
	s := startNode(t, data)
	person := newStudy(t, s, 1).participants[0]
	written := 0
	write := func() {
		t.Helper()
		written++
		if status, answer := s.as(t, root, "POST", "/participant/"+person+"/sensor_event", fmt.Sprintf(`{"timestamp":%d,"sensor":"steps","data":%d}`, 1000+written, written)); status != 200 {
			t.Fatal(status, answer)
		}
	}
	holds := func(when string) {
		t.Helper()
		var shown struct{ Samples []struct{ Value int } }
		s.native(t, "GET", "/subjects/"+person+"/series", &shown)
		if len(shown.Samples) != written {
			t.Errorf("%s: %d samples, want %d", when, len(shown.Samples), written)
		}
	}
	told := func(words ...string) (string, string, int) {
		return command(t, append([]string{"projection"}, append(words, "--url", s.url)...)...)
	}
	write()
	if _, stderr, code := told("revert", "series"); code != 4 || !strings.Contains(stderr, "no build is kept") {
		t.Errorf("without a build before: exit %d, %s", code, stderr)
	}
	if _, stderr, code := told("rebuild", "series"); code != 0 {
		t.Fatal(stderr)
	}
	write()
	for _, round := range []string{"back", "forth", "back again"} {
		stdout, stderr, code := told("revert", "series", "--json")
		if code != 0 || !strings.Contains(stdout, `"previous"`) {
			t.Fatalf("%s: exit %d %s%s", round, code, stdout, stderr)
		}
		holds("gone " + round)
		write()
		holds("gone " + round + ", and written")
	}
	s.kill()
	s = startNode(t, data)
	holds("after a kill")
	if _, stderr, code := told("revert", "series"); code != 0 {
		t.Fatal(stderr)
	}
	holds("gone forth after a kill")
	if log, _, _ := command(t, "log", "tail", "--url", s.url); !strings.Contains(log, "had projection series served from the build before") {
		t.Error("the log does not tell who went back")
	}
}
