package main_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSoak keeps a server busy with everything at once, and holds that its memory and its descriptors stay flat: those
// of the last fifth against those of the second.
func TestSoak(t *testing.T) {
	duration := time.Duration(pick(10, 600)) * time.Second
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 8)
	end := time.Now().Add(duration)
	var group sync.WaitGroup
	var requests, failed atomic.Int64
	for w := range 8 {
		group.Go(func() { soak(s, made, w, end, &requests, &failed) })
	}
	var memory, descriptors []float64
	for time.Now().Before(end) {
		time.Sleep(duration / 100)
		memory = append(memory, residentMiB(t, s.cmd.Process.Pid))
		descriptors = append(descriptors, float64(openFiles(t, s.cmd.Process.Pid)))
	}
	group.Wait()
	early, late := fifth(memory, 1), fifth(memory, 4)
	few, many := fifth(descriptors, 1), fifth(descriptors, 4)
	t.Logf("%s, %d requests, %d failed: memory %.0f → %.0f MiB, descriptors %.0f → %.0f", duration, requests.Load(), failed.Load(), early, late, few, many)
	if failed.Load() > 0 {
		t.Error("want no failed requests")
	}
	if !long() {
		return // too short to tell a leak from a start
	}
	millions := float64(requests.Load()) / 1e6
	if late > early*1.2+20+40*millions {
		t.Errorf("memory has grown from %.0f to %.0f MiB", early, late)
	}
	if many > few+16 {
		t.Errorf("descriptors have grown from %.0f to %.0f", few, many)
	}
}

// fifth is the median of the n-th fifth of the samples, counted from 0.
func fifth(samples []float64, n int) float64 {
	part := slices.Sorted(slices.Values(samples[len(samples)*n/5 : len(samples)*(n+1)/5]))
	return part[len(part)/2]
}

// soak sends the mix of requests, now and then over a new connection, until end.
func soak(s *server, made study, w int, end time.Time, requests, failed *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := w; time.Now().Before(end); n += 8 {
		r := mix(made, n)
		if strings.HasPrefix(r.path, "/researcher") && r.method == "POST" || strings.HasSuffix(r.path, "/sensor") {
			continue // lists would grow with the time
		}
		status, _, _, err := s.send(client, r.who, r.method, r.path, r.body)
		requests.Add(1)
		if err != nil || status >= 500 {
			failed.Add(1)
		}
		if n%1000 == w {
			client.CloseIdleConnections()
		}
	}
}

func residentMiB(t testing.TB, pid int) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib float64
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kib / 1024
}

func openFiles(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
