package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"strandline/transport/eventstore/embedded"
)

// TestDoctorTimes: the clock against the log, and for how long a disk will do.
func TestDoctorTimes(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for ended, finds := range map[time.Time]bool{now.Add(-time.Hour): false, now.Add(30 * time.Second): false, now.Add(2 * time.Hour): true, {}: false} {
		x := examinee{log: embedded.Examination{Ended: ended}}
		x.clock(now)
		if found := len(x.Findings) > 0; found != finds || finds && !strings.Contains(x.Findings[0].What, "2h0m0s") {
			t.Errorf("a log that ends at %s: %+v", ended, x.Findings)
		}
	}
	for _, tt := range []struct {
		begun        time.Time
		growth, free int64
		days         float64
	}{
		{now.Add(-24 * time.Hour), 1 << 30, 10 << 30, 10},
		{now.Add(-48 * time.Hour), 1 << 30, 10 << 30, 20},
		{now.Add(-time.Minute), 1 << 30, 10 << 30, math.Inf(1)},
		{now.Add(-48 * time.Hour), 0, 10 << 30, math.Inf(1)},
		{time.Time{}, 1 << 30, 10 << 30, math.Inf(1)},
	} {
		x := examinee{dir: t.TempDir(), log: embedded.Examination{Begun: tt.begun, Growth: tt.growth, Bytes: 1 << 30}}
		if days := x.days(now, tt.free); days != tt.days {
			t.Errorf("%+v: %v days", tt, days)
		}
	}
}
