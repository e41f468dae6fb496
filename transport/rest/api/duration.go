package api

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// units are the lengths that a duration is made of: those of Go, days and weeks.
var units = map[string]time.Duration{
	"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond,
}

var (
	shortDuration = regexp.MustCompile(`^(?:[0-9]+(?:\.[0-9]+)?(?:ms|w|d|h|m|s))+$`)
	onlyDigits    = regexp.MustCompile(`^[0-9]+$`)
	shortPart     = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?)(ms|w|d|h|m|s)`)
	// ISO 8601, without years and months, whose lengths vary.
	isoDuration = regexp.MustCompile(`^P(?:([0-9.]+)W)?(?:([0-9.]+)D)?(?:T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?$`)
)

var errDuration = errors.New("not a duration")

// readDuration reads a duration as Go writes it (1h30m), with days and weeks (1d), or as ISO 8601 does (PT1H30M).
func readDuration(text string) (time.Duration, error) {
	const longest = 64 // bytes
	switch {
	case len(text) > longest:
		return 0, errDuration
	case shortDuration.MatchString(text):
		return total(shortPart.FindAllStringSubmatch(text, -1))
	}
	found := isoDuration.FindStringSubmatch(strings.ReplaceAll(text, ",", "."))
	if found == nil || strings.HasSuffix(text, "T") {
		return 0, errDuration
	}
	var parts [][]string
	for i, unit := range []string{"w", "d", "h", "m", "s"} {
		if number := found[i+1]; number != "" {
			parts = append(parts, []string{"", number, unit})
		}
	}
	return total(parts)
}

// total adds up parts: each has its number at 1 and its unit at 2.
func total(parts [][]string) (sum time.Duration, err error) {
	if len(parts) == 0 {
		return 0, errDuration
	}
	for _, part := range parts {
		number, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, errDuration
		}
		length := number * float64(units[part[2]])
		if length+float64(sum) > 1<<62 {
			return 0, errDuration
		}
		sum += time.Duration(length + 0.5)
	}
	return sum, nil
}
