package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// momentHelp says how a moment is written.
const momentHelp = "as 2026-01-31, 2026-01-31T08:30:00Z, or so long ago: 90m, 24h, 7d"

// moment reads a moment: a day or time in UTC, or how long before now it was. Empty stays empty.
func moment(flag, text string, now time.Time) (string, error) {
	return readMoment(flag, text, now, -1, momentHelp)
}

// readMoment reads a moment, where a length of time is that long before now (-1) or after (1).
func readMoment(flag, text string, now time.Time, direction time.Duration, help string) (string, error) {
	if text == "" {
		return "", nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC().Format(time.RFC3339Nano), nil
		}
	}
	if length, ok := span(text); ok {
		return now.Add(direction * length).UTC().Format(time.RFC3339Nano), nil
	}
	return "", exitWith(exitUsage, fmt.Errorf("--%s %q is no time: write it %s", flag, text, help))
}

// span reads a length of time, of days and weeks too.
func span(text string) (time.Duration, bool) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		number, ok := strings.CutSuffix(text, suffix)
		if n, err := strconv.Atoi(number); ok && err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n) * unit, true
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// clockTime is a time as people are shown it, in UTC.
func clockTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}
