package series

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"strandline/domain/rawjson"
)

// Folding says how samples are summed up in windows of time.
type Folding struct {
	Width int64  // of a window in ms, from 1
	Field string // the member of objects that is meant, a path with dots ("settings.volume"); empty is the value itself
}

// Window sums up the samples of one series in [Start, End).
type Window struct {
	Start, End int64 // ms since 1970-01-01 UTC; Start is a whole multiple of the width
	Channel    string
	Series     string
	Count      int             // of samples, whatever their values are
	Numbers    int             // of those whose value is a number, or an object with one as its member "value"
	Min, Max   float64         // of the numbers; 0 if there are none
	Mean       float64         // of the numbers, as if they had been added without rounding; 0 if there are none
	Last       json.RawMessage // the value of the last sample, as it was sent; nil if it was not kept, see Folding.Last
	LastAt     Mark            // the place of that sample
}

// What is kept of the last samples of all windows that are open together. Small values always are.
const (
	lastSize  = 4 << 20
	lastSmall = 1 << 10
)

// Windows sums up samples that come oldest first. It yields the windows that hold any, by start, channel and series, and
// remembers one window of each series at a time, but not all their last values where these are large. Samples without a time are in none; with a Field, neither are those
// that have no such member. Times at the very ends of what an int64 holds are in windows that are cut off there.
func (f Folding) Windows(samples iter.Seq2[Sample, error]) iter.Seq2[Window, error] {
	return func(yield func(Window, error) bool) {
		open := windows{folding: f, of: map[Name]*folding{}}
		for s, err := range samples {
			if err != nil {
				yield(Window{}, err)
				return
			}
			if s.Time == nil {
				continue
			}
			if start := floorDiv(*s.Time, f.Width); start != open.number {
				if !open.close(yield) {
					return
				}
				open.number = start
			}
			open.add(&s)
		}
		open.close(yield)
	}
}

// Last is the value of the last sample of a window of subject, which is read anew if it was not kept: null if it has been
// retracted meanwhile.
func (f Folding) Last(ctx context.Context, from interface {
	Merged(context.Context, Choice) iter.Seq2[Sample, error]
}, subject string, w Window) (json.RawMessage, error) {
	if w.Last != nil {
		return w.Last, nil
	}
	before := w.LastAt
	before.Index--
	c := Choice{Subject: subject, Channels: []string{w.Channel}, Series: []string{w.Series}, After: &before, Until: w.LastAt.Position,
		From: w.LastAt.Time, To: following(w.LastAt.Time)}
	for s, err := range from.Merged(ctx, c) {
		if err != nil {
			return nil, err
		}
		if value := member(s.Value, f.Field); value != nil && s.Position == w.LastAt.Position && s.Index == w.LastAt.Index {
			return value, nil
		}
		break
	}
	return json.RawMessage("null"), nil
}

// following is the millisecond after a time, nil if there is none.
func following(time *int64) *int64 {
	if *time == math.MaxInt64 {
		return nil
	}
	next := *time + 1
	return &next
}

// windows are those that begin at one time.
type windows struct {
	folding Folding
	number  int64 // their start in widths
	of      map[Name]*folding
	kept    int // bytes of last values
}

// folding is a window that is being filled.
type folding struct {
	Window
	sum  sum
	last entry // without its value
}

func (w *windows) add(s *Sample) {
	value := member(s.Value, w.folding.Field)
	if value == nil {
		return
	}
	name := Name{s.Channel, s.Series}
	at := w.of[name]
	if at == nil {
		at = &folding{Window: Window{Channel: s.Channel, Series: s.Series}}
		w.of[name] = at
	}
	at.Count++
	w.keep(at, value)
	at.last = entry{time: *s.Time, position: s.Position, index: s.Index}
	if w.folding.Field == "" && value[0] == '{' {
		value = memberNamed(value, "value") // so do most instruments write what they measure
	}
	if n, is := numberIn(value); is {
		at.number(n)
	}
}

// keep makes a copy of a last value, not to hold on to what is read, unless there is no room for it.
func (w *windows) keep(at *folding, value json.RawMessage) {
	w.kept -= cap(at.Last)
	if len(value) > lastSmall && w.kept+len(value) > lastSize {
		at.Last = nil
		return
	}
	if cap(at.Last) > 2*len(value)+lastSmall {
		at.Last = nil
	}
	at.Last = append(at.Last[:0], value...)
	w.kept += cap(at.Last)
}

func (f *folding) number(n float64) {
	if f.Numbers == 0 {
		f.Min, f.Max = n, n
	}
	f.Min, f.Max = min(f.Min, n), max(f.Max, n)
	f.Numbers++
	f.sum.add(n)
}

// close yields what has been filled and empties it.
func (w *windows) close(yield func(Window, error) bool) bool {
	all := make([]*folding, 0, len(w.of))
	for _, f := range w.of {
		all = append(all, f)
	}
	clear(w.of)
	w.kept = 0
	slices.SortFunc(all, func(a, b *folding) int {
		return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Series, b.Series))
	})
	for _, f := range all {
		f.Start, f.End = bounds(w.number, w.folding.Width)
		f.LastAt = MarkOf(f.last.sample("", ""))
		if f.Numbers > 0 {
			f.Mean = f.sum.mean(f.Numbers)
		}
		if !yield(f.Window, nil) {
			return false
		}
	}
	return true
}

// bounds are those of the n-th window.
func bounds(n, width int64) (start, end int64) {
	start, end = n*width, n*width+width
	if n < 0 && start > 0 || n < math.MinInt64/width {
		start = math.MinInt64
	}
	if n >= math.MaxInt64/width {
		end = math.MaxInt64
	}
	return start, end
}

// member is the value at a path in a value, or the value itself if the path is empty; nil if there is none.
func member(value json.RawMessage, path string) json.RawMessage {
	for path != "" && value != nil {
		name, rest, _ := strings.Cut(path, ".")
		value, path = memberNamed(value, name), rest
	}
	return value
}

func memberNamed(object json.RawMessage, wanted string) json.RawMessage {
	for name, value := range rawjson.Members(object) {
		if name == wanted {
			return value
		}
	}
	return nil
}

// numberIn reads a JSON number. One too large for a float64 is none.
func numberIn(value json.RawMessage) (float64, bool) {
	if len(value) == 0 || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(value), 64)
	return n, err == nil
}

// sum adds numbers without rounding, so that their order does not matter: it is kept in parts that do not overlap
// (J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic", 1997). Huge numbers are kept apart and smaller, so
// that no sum of them is too large.
type sum struct{ usual, huge []float64 }

const (
	hugeFrom  = 0x1p960
	hugeShift = 64
)

func (s *sum) add(n float64) {
	if math.Abs(n) < hugeFrom {
		s.usual = addExactly(s.usual, n)
		return
	}
	s.huge = addExactly(s.huge, math.Ldexp(n, -hugeShift))
}

// mean divides by the number of numbers.
func (s *sum) mean(count int) float64 {
	n := float64(count)
	mean := total(s.usual) / n
	if len(s.huge) > 0 {
		mean += math.Ldexp(total(s.huge)/n, hugeShift)
	}
	return mean
}

// addExactly adds n to parts, which grow in size and do not overlap.
func addExactly(parts []float64, n float64) []float64 {
	kept := parts[:0]
	for _, part := range parts {
		if math.Abs(n) < math.Abs(part) {
			n, part = part, n
		}
		high := n + part
		if low := part - (high - n); low != 0 {
			kept = append(kept, low)
		}
		n = high
	}
	return append(kept, n)
}

// total is the float64 nearest to the sum of parts.
func total(parts []float64) float64 {
	i := len(parts) - 1
	if i < 0 {
		return 0
	}
	high, low := parts[i], 0.0
	for i--; i >= 0 && low == 0; i-- {
		before := high
		high = before + parts[i]
		low = parts[i] - (high - before)
	}
	// Half-way between two float64s, what is left decides.
	if i >= 0 && (low < 0) == (parts[i] < 0) {
		if doubled := 2 * low; high+doubled-high == doubled {
			high += doubled
		}
	}
	return high
}
