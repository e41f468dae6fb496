package influx

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"strandline/domain"
	"strandline/readmodels/series"
)

// Each yields the samples that q asks for, in its order, as series.Store.Each does: about a megabyte is held at a time.
func (s *Store) Each(ctx context.Context, q series.Query) iter.Seq2[series.Sample, error] {
	r := reading{store: s, subject: q.Subject, channels: []string{q.Channel}, from: q.From, to: q.To, limit: q.Limit, ascending: q.Ascending}
	if q.Series != "" {
		r.series = []string{q.Series}
	}
	return r.all(ctx)
}

// Merged yields the samples of a choice, as series.Store.Merged does.
func (s *Store) Merged(ctx context.Context, c series.Choice) iter.Seq2[series.Sample, error] {
	r := reading{store: s, subject: c.Subject, channels: c.Channels, series: c.Series, from: c.From, to: c.To, ascending: true,
		last: c.After, until: c.Until}
	return r.all(ctx)
}

// A page is what is read at a time: places of samples first, then so many of their values as fit.
const (
	pageSamples = 4096
	pageSize    = 1 << 20
)

// reading goes through samples of a subject, page by page.
type reading struct {
	store            *Store
	subject          string
	channels, series []string // none is all
	from, to         *int64
	kinds            *[kinds]bool // nil is all that there are
	limit            int          // 0 is all
	ascending        bool
	until            domain.Position // samples beyond it came after the reading began
	last             *series.Mark    // the last sample that the caller has, nil at the beginning
}

// found is a sample whose value is still to be read.
type found struct {
	series.Sample
	kind kind
	spot spot
	size int
}

// all goes through the reading.
func (r reading) all(ctx context.Context) iter.Seq2[series.Sample, error] {
	return func(yield func(series.Sample, error) bool) {
		r := r // for each range over it
		if r.until.IsZero() {
			r.until = r.store.Checkpoint()
		}
		count := 0
		for done := false; !done; {
			var err error
			if done, err = r.walk(ctx, func(s series.Sample) bool {
				mark := series.MarkOf(s)
				r.last = &mark
				count++
				return yield(s, nil) && (r.limit == 0 || count < r.limit)
			}, func() int { return r.limit - count }); err != nil {
				yield(series.Sample{}, fmt.Errorf("read samples: %w", err))
				return
			}
		}
	}
}

// walk goes on in the build that serves, until the end or until another build serves: then it is not done.
func (r *reading) walk(ctx context.Context, give func(series.Sample) bool, left func() int) (done bool, err error) {
	b := r.store.serving.Load()
	if b == nil {
		return true, errNothingServes
	}
	among := &b.shown.Load().kinds
	if r.kinds != nil {
		among = r.kinds
	}
	for _, k := range r.order() {
		start, end, some := k.within(r.from, r.to)
		if !some || !among[k] {
			continue
		}
		span := r.span(b, k, start, end)
		for more := true; more; {
			want := pageSamples
			if n := left(); n > 0 {
				want = min(want, n+16) // some may be hidden
			}
			page, rest, err := span.page(ctx, want)
			if r.store.serving.Load() != b {
				return false, nil
			}
			if err != nil {
				return true, err
			}
			more = rest
			if stopped, err := r.give(ctx, b, page, give); err != nil || stopped {
				if err == errReplaced {
					return false, nil
				}
				return true, err
			}
		}
	}
	return true, nil
}

// order is that of kinds.
func (r *reading) order() []kind {
	all := []kind{untimed, before, near, after}
	if !r.ascending {
		slices.Reverse(all)
	}
	if r.last == nil {
		return all
	}
	return all[slices.Index(all, kindOf(r.last.Time)):]
}

// give reads the values of a page, a megabyte at a time, and gives the samples away.
func (r *reading) give(ctx context.Context, b *build, page []found, give func(series.Sample) bool) (stopped bool, err error) {
	page = slices.DeleteFunc(page, func(f found) bool { return r.until.Before(f.Position) || !r.beyond(f) })
	for len(page) > 0 {
		n, size := 0, 0
		for n < len(page) && (n == 0 || size+page[n].size <= pageSize) {
			size += page[n].size
			n++
		}
		if err := r.values(ctx, b, page[:n]); err != nil {
			return true, err
		}
		for _, f := range page[:n] {
			if f.Value != nil && !give(f.Sample) {
				return true, nil
			}
		}
		page = page[n:]
	}
	return false, nil
}

// beyond tells whether a sample comes after the last one that the caller has.
func (r *reading) beyond(f found) bool {
	if r.last == nil {
		return true
	}
	c := series.Compare(f.Sample, series.Sample{Time: r.last.Time, Position: r.last.Position, Index: r.last.Index})
	return c > 0 == r.ascending && c != 0
}

// condition selects the reading's samples in a build.
func (r *reading) condition(b *build, k kind) string {
	return fmt.Sprintf(`r._measurement == "%s" and r.subject == "%s"`, b.name+k.suffix(), quoted(r.subject)) +
		oneOf("channel", r.channels) + oneOf("series", r.series)
}

// oneOf is a condition that a tag has one of some values; none is all.
func oneOf(key string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	for i, name := range names {
		b.WriteString([...]string{" and (", " or "}[min(i, 1)])
		fmt.Fprintf(&b, `r.%s == "%s"`, key, quoted(name))
	}
	return b.String() + ")"
}

// errNothingServes says that there is nothing to read yet.
var errNothingServes = fmt.Errorf("%w: InfluxDB has not been reached since the start, or nothing has been written to it", domain.ErrUnavailable)

// errReplaced says that another build serves.
var errReplaced = fmt.Errorf("%w: another build serves", domain.ErrUnavailable)

// values reads the values of samples that are next to each other. One that is retracted meanwhile has none.
func (r *reading) values(ctx context.Context, b *build, page []found) error {
	type point struct {
		channel, series string
		spot            spot
	}
	wanted := make(map[point]*found, len(page))
	pieces := make(map[point]map[int]string)
	start, end := page[0].spot.at, page[0].spot.at
	long := false // some lie in pieces
	for i := range page {
		f := &page[i]
		wanted[point{f.Channel, f.Series, f.spot}] = f
		start, end = min(start, f.spot.at), max(end, f.spot.at)
		long = long || f.size > longestText
	}
	k := page[0].kind
	field := ` and r._field == "value"`
	if long {
		field = ` and r._field =~ /^value/`
	}
	flux := r.store.from(r.condition(b, k)+field, start, end+1) +
		` |> keep(columns: ["_time", "_value", "_field", "channel", "series", "era"])`
	err := b.each(ctx, flux, func(row row) error {
		p := point{unquoted(row.text("channel")), unquoted(row.text("series")), spot{row.time(), row.text("era")}}
		f := wanted[p]
		if f == nil {
			return nil
		}
		number := 0
		if field := row.text("_field"); field != "value" {
			fmt.Sscanf(field, "value_%d", &number)
		}
		if number == 0 && f.size <= longestText {
			f.Value = json.RawMessage(row.text("_value"))
			return nil
		}
		if pieces[p] == nil {
			pieces[p] = map[int]string{}
		}
		pieces[p][number] = row.text("_value")
		return nil
	})
	if r.store.serving.Load() != b {
		return errReplaced
	}
	for p, parts := range pieces {
		var value []byte
		for i := range len(parts) {
			value = append(value, parts[i]...)
		}
		if f := wanted[p]; len(value) == f.size {
			f.Value = value
		}
	}
	return err
}

// span goes through a stretch of time, in windows that grow where there is little and shrink where there is much:
// InfluxDB looks at all of a window, however little of it is asked for.
type span struct {
	of         *reading
	build      *build
	kind       kind
	start, end int64  // points still to be read, the second exclusive
	width      uint64 // of the next window, in ns; differences of times may be more than an int64 holds
	edge       *spot  // the last point read, if the window begins within its millisecond
}

// Widths of windows.
const (
	firstWidth = 24 * 60 * 60 * 1_000_000_000
	leastWidth = 60 * 1_000_000_000
)

// span begins to read. Newest first it begins to look at the present, oldest first with everything.
func (r *reading) span(b *build, k kind, start, end int64) *span {
	s := &span{of: r, build: b, kind: k, start: start, end: end, width: math.MaxUint64}
	if r.last != nil && r.last.Time != nil && kindOf(r.last.Time) == k { // its whole millisecond is read again
		if r.ascending {
			s.start = max(s.start, *r.last.Time*k.scale())
		} else {
			s.end = min(s.end, (*r.last.Time+1)*k.scale())
		}
	}
	if k == near && !r.ascending {
		s.width = firstWidth
		if now := r.store.clock().UnixNano(); s.start <= now && now < s.end {
			s.width = max(firstWidth, uint64(s.end)-uint64(now))
		}
	}
	return s
}

// page reads the next places, at most n, and tells whether there may be more.
func (s *span) page(ctx context.Context, n int) (page []found, more bool, err error) {
	if s.start >= s.end {
		return nil, false, nil
	}
	start, end := s.window()
	page, err = s.places(ctx, start, end, n)
	if err != nil {
		return nil, false, err
	}
	if len(page) < n {
		s.pass(start, end)
		return page, s.start < s.end, nil
	}
	last := page[len(page)-1].spot
	s.edge = &last
	scale := s.kind.scale()
	ms := last.ms(s.kind)
	if s.of.ascending {
		s.width = max(leastWidth, 2*(uint64(last.at)-uint64(start)))
		s.start = max(s.start, ms*scale)
	} else {
		s.width = max(leastWidth, 2*(uint64(end)-uint64(last.at)))
		s.end = min(s.end, (ms+1)*scale)
	}
	return page, true, nil
}

// window is the next one. Its bounds are whole milliseconds.
func (s *span) window() (start, end int64) {
	scale := uint64(s.kind.scale())
	width := max(s.width/scale, 1) * scale
	switch {
	case uint64(s.end)-uint64(s.start) <= width:
		return s.start, s.end
	case s.of.ascending:
		return s.start, int64(uint64(s.start) + width)
	}
	return int64(uint64(s.end) - width), s.end
}

// pass goes beyond a window that has been read.
func (s *span) pass(start, end int64) {
	s.edge = nil
	if s.of.ascending {
		s.start = end
	} else {
		s.end = start
	}
	if s.width < 1<<62 {
		s.width *= 4
	}
}

// places reads the first n places of a window, in the order of the reading, as far as they are beyond the edge.
func (s *span) places(ctx context.Context, start, end int64, n int) (page []found, err error) {
	desc := ""
	if !s.of.ascending {
		desc = ", desc: true"
	}
	scale := s.kind.scale()
	flux := s.of.store.ofKind(s.kind, s.of.condition(s.build, s.kind)+` and r._field == "place"`, start, end) + s.beyondEdge()
	flux += ` |> keep(columns: ["_time", "_value", "channel", "series", "era"])`
	if s.of.ascending {
		flux += fmt.Sprintf(" |> limit(n: %d)", n)
	} else {
		flux += fmt.Sprintf(" |> tail(n: %d)", n)
	}
	flux += fmt.Sprintf(` |> group() |> map(fn: (r) => ({r with ms: (if int(v: r._time) < 0 then int(v: r._time) - %d else int(v: r._time)) / %d}))`, scale-1, scale)
	flux += fmt.Sprintf(` |> sort(columns: ["ms", "era", "_time"]%s) |> limit(n: %d)`, desc, n)
	err = s.build.each(ctx, flux, func(r row) error {
		f, err := s.kind.found(r)
		page = append(page, f)
		return err
	})
	return page, err
}

// beyondEdge is a condition that leaves out the points of the edge's millisecond which have been read.
func (s *span) beyondEdge() string {
	if s.edge == nil {
		return ""
	}
	scale, ms := s.kind.scale(), s.edge.ms(s.kind)
	if s.of.ascending {
		return fmt.Sprintf(` |> filter(fn: (r) => r._time >= %s or r.era > "%s" or r.era == "%s" and r._time > %s)`,
			moment((ms+1)*scale), s.edge.era, s.edge.era, moment(s.edge.at))
	}
	return fmt.Sprintf(` |> filter(fn: (r) => r._time < %s or r.era < "%s" or r.era == "%s" and r._time < %s)`,
		moment(ms*scale), s.edge.era, s.edge.era, moment(s.edge.at))
}

// found reads a row with a place.
func (k kind) found(r row) (found, error) {
	p, err := readPlace(r.text("_value"))
	f := found{kind: k, spot: spot{r.time(), r.text("era")}, size: p.size}
	f.Channel, f.Series, f.Position, f.Index = unquoted(r.text("channel")), unquoted(r.text("series")), p.position, p.index
	if k != untimed {
		ms := f.spot.ms(k)
		f.Time = &ms
	}
	return f, err
}

// compareNames orders samples by channel and series.
func compareNames(a, b series.Sample) int {
	return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Series, b.Series))
}
