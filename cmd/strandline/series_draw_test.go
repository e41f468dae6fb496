package main

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestDrawing: gaps stay empty, a flat line is low, and however many windows there are, a drawing stays in its bounds.
func TestDrawing(t *testing.T) {
	draw := func(windows ...[2]float64) string {
		d := &drawing{width: 10}
		for _, w := range windows {
			d.add(int64(w[0]), w[1])
		}
		text, _, _ := d.line()
		return text
	}
	for _, tt := range []struct {
		want string
		got  string
	}{
		{"▁█", draw([2]float64{0, 1}, [2]float64{10, 2})},
		{"▁ █", draw([2]float64{100, 1}, [2]float64{120, 2})},
		{"▁▁", draw([2]float64{0, 5}, [2]float64{10, 5})},
		{"", draw()},
	} {
		if tt.got != tt.want {
			t.Errorf("drawn %q, want %q", tt.got, tt.want)
		}
	}
	d := &drawing{width: 1}
	for n := range int64(100_000) {
		d.add(n, float64(n))
	}
	text, low, high := d.line()
	if width := utf8.RuneCountInString(text); width > widestDrawing || width < widestDrawing/2 || !strings.HasPrefix(text, "▁") || !strings.HasSuffix(text, "█") || low >= high {
		t.Errorf("100,000 windows are drawn as %q, from %f to %f", text, low, high)
	}
	for _, width := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		d := &drawing{width: width}
		for _, start := range []int64{5, math.MinInt64, math.MaxInt64, 0, -5, 6} {
			for _, value := range []float64{math.MaxFloat64, -math.MaxFloat64, 0} {
				d.add(start, value)
			}
		}
		if text, _, _ := d.line(); utf8.RuneCountInString(text) > widestDrawing {
			t.Errorf("windows of %d ms are drawn as %q", width, text)
		}
	}
}

// TestMoments are read as people write them.
func TestMoments(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for text, want := range map[string]string{
		"":                          "",
		"2026-01-31":                "2026-01-31T00:00:00Z",
		"2026-01-31 08:30":          "2026-01-31T08:30:00Z",
		"2026-01-31T08:30:00+02:00": "2026-01-31T06:30:00Z",
		"90m":                       "2026-05-06T05:38:09Z",
		"7d":                        "2026-04-29T07:08:09Z",
		"2w":                        "2026-04-22T07:08:09Z",
	} {
		if got, err := moment("from", text, now); err != nil || got != want {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"now", "-5m", "2026-13-01", "d", "99999999999d", "5"} {
		if got, err := moment("from", text, now); exitCode(err) != exitUsage || !strings.Contains(fmt.Sprint(err), "--from") {
			t.Errorf("%q is %s, %v; want a refusal", text, got, err)
		}
	}
	holds := validity{from: "1d", to: "30d"}
	body := map[string]any{}
	if err := holds.into(body, now); err != nil || body["from"] != "2026-05-07T07:08:09Z" || body["to"] != "2026-06-05T07:08:09Z" {
		t.Errorf("holds %v, %v", body, err)
	}
}
