package series

import (
	"cmp"
	"encoding/json"

	"strandline/domain"
)

// Query asks for samples of one subject and channel.
type Query struct {
	Subject   string
	Channel   string
	Series    string // empty is all, merged
	From, To  *int64 // ms since 1970-01-01 UTC, inclusive and exclusive; nil is open. Both nil include samples without a time
	Limit     int    // how many at most; 0 is all
	Ascending bool   // oldest first; else newest first
}

// Sample is one observed value. Samples are ordered by time, position and index; those without a time are the lowest.
type Sample struct {
	Time     *int64 // ms since 1970-01-01 UTC; nil is unknown
	Channel  string
	Series   string
	Value    json.RawMessage // as sent; not to be written to
	Position domain.Position // of its event
	Index    int             // in its event, from 0
}

// Compare orders samples by time, position and index, those without a time first.
func Compare(a, b Sample) int {
	switch {
	case a.Time != nil && b.Time != nil && *a.Time != *b.Time:
		return cmp.Compare(*a.Time, *b.Time)
	case a.Time == nil && b.Time != nil:
		return -1
	case a.Time != nil && b.Time == nil:
		return 1
	}
	return cmp.Or(a.Position.Compare(b.Position), cmp.Compare(a.Index, b.Index))
}

// entry is a sample as blocks hold it: the series by its id, a missing time as a mark.
type entry struct {
	time     int64
	series   int64
	position domain.Position
	index    int
	value    []byte
	timeless bool // time is 0
}

// compare orders samples by time, position and index, those without a time first.
func compare(a, b *entry) int {
	if a.timeless != b.timeless {
		if a.timeless {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(a.time, b.time); c != 0 {
		return c
	}
	if c := a.position.Compare(b.position); c != 0 {
		return c
	}
	return cmp.Compare(a.index, b.index)
}

// size is what a sample counts for when blocks are measured: about what it takes in memory.
func (e *entry) size() int { return 64 + len(e.value) }

// A bucket is a UTC day. Samples without a time have one of their own.
const (
	bucketLength   = 24 * 60 * 60 * 1000
	timelessBucket = -1 << 62
)

// bucket is the day of a sample.
func (e *entry) bucket() int64 {
	if e.timeless {
		return timelessBucket
	}
	return floorDiv(e.time, bucketLength)
}

// floorDiv divides, rounding down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
