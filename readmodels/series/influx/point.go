package influx

import (
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"strandline/domain"
	"strandline/domain/observation"
)

// kind is where a sample lies, by its time. Kinds are in the order of time.
type kind int

const (
	untimed kind = iota
	before
	near
	after
	kinds
)

// Bounds of the times that InfluxDB can hold, in ns, and in ms for near samples: the first, and the first that is not. Near
// are the years 1900 to 2099.
const (
	earliest  = math.MinInt64 + 2
	latest    = math.MaxInt64 - 1
	nearStart = -2_208_988_800_000
	nearEnd   = 4_102_444_800_000
)

// scale is how many nanoseconds stand for a millisecond. Far times are drawn together, because a server keeps a file for
// each stretch of time, such as a year, and looks at all of them.
func (k kind) scale() int64 {
	switch k {
	case near:
		return 1_000_000
	case untimed:
		return 1
	}
	return 100
}

// suffix is what the measurement's name ends with.
func (k kind) suffix() string { return [kinds]string{"_untimed", "_before", "", "_after"}[k] }

// bounds are the times in ms that a kind holds, the second exclusive. An untimed sample's is its number.
func (k kind) bounds() (from, to int64) {
	switch k {
	case before:
		return -observation.MaxTime, nearStart
	case near:
		return nearStart, nearEnd
	case after:
		return nearEnd, observation.MaxTime + 1
	}
	return 0, math.MaxInt64 - 1
}

// kindOf is where a time belongs.
func kindOf(ms *int64) kind {
	switch {
	case ms == nil:
		return untimed
	case *ms < nearStart:
		return before
	case *ms < nearEnd:
		return near
	}
	return after
}

// spot is the time and era of a point.
type spot struct {
	at  int64 // ns
	era string
}

// spotOf is where the sample with a number lies: never where a millisecond begins. Servers do not agree whether the end of
// a range belongs to it, and so there is nothing at any.
func spotOf(k kind, ms *int64, number uint64) spot {
	if k == untimed {
		return spot{int64(number) + 1, eraOf(0)}
	}
	room := uint64(k.scale()) - 1
	return spot{*ms*k.scale() + 1 + int64(number%room), eraOf(number / room)}
}

// ms is the time of the sample at a spot.
func (s spot) ms(k kind) int64 {
	scale := k.scale()
	ms := s.at / scale
	if s.at%scale < 0 {
		ms--
	}
	return ms
}

// eraOf is a number as text that is ordered as numbers are.
func eraOf(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	if len(digits) == 1 {
		return digits
	}
	return string(rune('a'+len(digits)-2)) + digits
}

// lanes is into how many lanes subjects fall.
const lanes = 64

func laneOf(subject string) int {
	h := fnv.New32a()
	h.Write([]byte(subject))
	return int(h.Sum32() % lanes)
}

// progress is what a build's checkpoint holds, in one field, since a point's fields change one by one.
type progress struct {
	at    domain.Position
	next  [lanes]uint64 // the number of the next sample in each lane
	kinds [kinds]bool   // of which there have been samples
}

// String is the position, the kinds as a sum of bits, and the lanes.
func (p *progress) String() string {
	mask := 0
	for k, has := range p.kinds {
		if has {
			mask |= 1 << k
		}
	}
	var b strings.Builder
	fmt.Fprint(&b, p.at, " ", mask)
	for _, n := range p.next {
		b.WriteByte(' ')
		b.WriteString(strconv.FormatUint(n, 36))
	}
	return b.String()
}

// readProgress reads what String wrote.
func readProgress(text string) (p progress, err error) {
	fields := strings.Fields(text)
	if len(fields) != 2+lanes {
		return p, fmt.Errorf("a checkpoint has %d parts, want %d", len(fields), 2+lanes)
	}
	if p.at, err = domain.ParsePosition(fields[0]); err != nil {
		return p, err
	}
	mask, err := strconv.Atoi(fields[1])
	if err != nil {
		return p, err
	}
	for i := range p.next {
		if p.next[i], err = strconv.ParseUint(fields[2+i], 36, 64); err != nil {
			return p, err
		}
	}
	for k := range p.kinds {
		p.kinds[k] = mask&(1<<k) != 0
	}
	return p, nil
}

// place is what a point tells of a sample besides its tags and value.
type place struct {
	position domain.Position
	index    int
	size     int // of the value
}

func (p place) String() string { return fmt.Sprintf("%s/%d/%d", p.position, p.index, p.size) }

func readPlace(text string) (p place, err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return p, fmt.Errorf("%q is not the place of a sample", text)
	}
	if p.position, err = domain.ParsePosition(parts[0]); err != nil {
		return p, err
	}
	if p.index, err = strconv.Atoi(parts[1]); err != nil {
		return p, err
	}
	p.size, err = strconv.Atoi(parts[2])
	return p, err
}

// appendSample appends the line of one sample.
func appendSample(dst []byte, measurement string, tags []tag, item *observation.Item, p place, at int64) []byte {
	value := string(item.Value)
	dst = appendKey(dst, measurement, tags)
	dst = appendText(dst, "place", p.String())
	for i, piece := range pieces(value) {
		dst = appendText(append(dst, ','), pieceName(i), piece)
	}
	if n, is := number(value); is {
		dst = strconv.AppendFloat(append(dst, ",number="...), n, 'g', -1, 64)
	}
	return append(strconv.AppendInt(append(dst, ' '), at, 10), '\n')
}
