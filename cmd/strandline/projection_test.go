package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestRebuildIsWatched until it is done, with progress, or until it has failed, which is an error.
func TestRebuildIsWatched(t *testing.T) {
	var asks atomic.Int32
	rebuilding := func(end string, times int32) string {
		asks.Store(0)
		return servingFunc(t, func(w http.ResponseWriter, r *http.Request) {
			state := end
			if r.Method == http.MethodGet && asks.Add(1) <= times {
				state = fmt.Sprintf(`"rebuilding":{"share":%f,"remaining_seconds":2}`, float64(asks.Load())/10)
			}
			fmt.Fprintf(w, `{"projections":[{"name":"series",%s}]}`, state)
		})
	}
	out, messages, code := strandline(t, asked(rebuilding(`"parked":0`, 8)), "projection", "rebuild", "series")
	if code != 0 || out != "series is rebuilt\n" || !strings.Contains(messages, "rebuild series: ") || !strings.Contains(messages, "2s to go\n") || !strings.Contains(messages, "done in ") {
		t.Errorf("exit code %d, %q, %q", code, out, messages)
	}
	for _, args := range [][]string{{"rebuild", "series"}, {"retry", "series"}, {"discard", "series", "--all"}, {"park", "series", "1f"}} {
		out, messages, code = strandline(t, asked(rebuilding(`"checkpoint":"2a","parked":3`, 1)), append(append([]string{"projection"}, args...), "--json")...)
		if want := `{"name":"series","version":0,"checkpoint":"2a","lag_events":0,"lag_seconds":0,"parked":3}` + "\n"; code != 0 || out != want {
			t.Errorf("%v as JSON: exit code %d, %q, %q; want %q", args, code, out, messages, want)
		}
		if out, _, _ = strandline(t, asked(rebuilding(`"parked":3`, 1)), append(append([]string{"projection"}, args...), "--only", "parked")...); out != "3\n" {
			t.Errorf("of %v only what is parked: %q", args, out)
		}
		out, messages, code = strandline(t, asked(rebuilding(`"failed":"the disk \u001b[31mis full"`, 1)), append([]string{"projection"}, args...)...)
		if code != exitFailed || out != "" || !strings.Contains(messages, "failed") || strings.Contains(messages, "\x1b") {
			t.Errorf("%v that fails: exit code %d, %q, %q", args, code, out, messages)
		}
	}
	for _, args := range [][]string{{"park", "series"}, {"discard", "series"}, {"retry"}, {"park", "series", "here"}, {"parked"}} {
		if _, messages, code := strandline(t, asked("http://127.0.0.1:1"), append([]string{"projection"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit code %d, %q; want %d", args, code, messages, exitUsage)
		}
	}
}
