package series

import (
	"container/heap"
	"iter"
	"math"
	"slices"

	"strandline/domain"
	"strandline/readmodels"
)

// A page is what is read in one transaction, of all readings that are merged. It has a sample at least, however large.
const (
	pageSamples = 4096
	pageSize    = 1 << 20 // see entry.size
	openSize    = 4 << 20 // bytes of opened chunks from which on what is not for the page is dropped
)

// reading goes through a selection, page by page.
type reading struct {
	query     Query
	named     bool // one series is meant, even if its name is empty
	blocks    *blocks
	shared    int             // how many readings share the size of a page, 0 for one
	until     domain.Position // samples beyond it came after the reading began
	selection selection
	done      bool
	left      int    // samples still wanted; 0 at the beginning is all
	last      *entry // the last sample of the page before, nil at the beginning

	// Of readings that are merged, so that not each of them has a large sample at hand.
	waiting *Sample // no sample still to come is before it, and the next is large; it has no value
	turn    bool    // of the next sample, however large: the page is to have that alone
}

// begin finds what the query names, if it is there: anew for each page, because another file may serve by then.
func (r *reading) begin(tx *readmodels.Tx) (found bool, err error) {
	r.selection = selection{from: r.query.From, to: r.query.To}
	r.selection.stream, err = streamID(tx, streamName{r.query.Subject, r.query.Channel})
	if err != nil || r.selection.stream == 0 || !r.named {
		return r.selection.stream != 0, err
	}
	r.selection.series, err = seriesID(tx, r.selection.stream, r.query.Series)
	return r.selection.series != 0, err
}

// page returns the next samples.
func (r *reading) page(tx *readmodels.Tx) ([]Sample, error) {
	r.waiting = nil
	found, err := r.begin(tx)
	if err != nil || !found {
		r.done = true
		return nil, err
	}
	entries, err := r.merge(tx)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		last := entries[len(entries)-1]
		last.value = nil
		r.last = &last
	}
	if r.left > 0 {
		r.left -= len(entries)
		r.done = r.done || r.left == 0
	}
	return r.samples(tx, entries)
}

// samples gives entries their public form.
func (r *reading) samples(tx *readmodels.Tx, entries []entry) ([]Sample, error) {
	samples := make([]Sample, len(entries))
	times := make([]int64, len(entries))
	names := map[int64]string{}
	for i := range entries {
		e := &entries[i]
		if _, known := names[e.series]; !known {
			name, err := seriesName(tx, e.series)
			if err != nil {
				return nil, err
			}
			names[e.series] = name
		}
		samples[i] = Sample{Channel: r.query.Channel, Series: names[e.series], Value: e.value, Position: e.position, Index: e.index}
		if !e.timeless {
			times[i] = e.time
			samples[i].Time = &times[i]
		}
	}
	return samples, nil
}

// merge returns the entries of the next page, with their series. Chunks come by index in the order of their foremost
// samples; one is opened when the merge gets to its foremost sample, and so only where it is needed.
func (r *reading) merge(tx *readmodels.Tx) ([]entry, error) {
	fresh, err := r.fresh(tx)
	if err != nil {
		return nil, err
	}
	open := &opened{ascending: r.query.Ascending, room: r.room(), size: max(pageSize/max(1, r.shared), 1)}
	open.hold(fresh, measure(fresh).size)
	next, stop := iter.Pull2(r.chunks(tx))
	defer stop()
	row, err, more := next()
	for !open.full() && r.waiting == nil {
		for more && err == nil && open.needs(&row.front) {
			if r.shares() && row.large() {
				r.waits(&row.front)
				break
			}
			if err = r.open(tx, open, row); err == nil {
				row, err, more = next()
			}
		}
		if err != nil {
			return nil, err
		}
		e := open.front()
		switch {
		case r.waiting != nil:
		case e == nil:
			r.done = true
			return open.settled(r.shared), nil
		case r.shares() && e.size() > openSize/r.shared:
			r.waits(e)
		default:
			open.take()
		}
	}
	return open.settled(r.shared), nil
}

// shares tells whether other readings of the merge may have large samples at hand now.
func (r *reading) shares() bool { return r.shared > 1 && !r.turn }

// waits ends the page before a sample, or before one that does not come before the given one.
func (r *reading) waits(e *entry) {
	next := entry{time: e.time, timeless: e.timeless, position: e.position, index: e.index}
	waiting := next.sample("", "")
	r.waiting = &waiting
}

// room is how many samples the next page may have.
func (r *reading) room() int {
	if r.turn {
		return 1
	}
	most := max(pageSamples/max(1, r.shared), 1)
	if r.left == 0 || r.left > most {
		return most
	}
	return r.left
}

// wants tells whether a sample is still to come.
func (r *reading) wants(e *entry, series int64) bool {
	return r.selection.holds(e, series) && !r.until.Before(e.position) && (r.last == nil || r.before(r.last, e))
}

// before tells whether a comes before b in the order of reading.
func (r *reading) before(a, b *entry) bool {
	if r.query.Ascending {
		return compare(a, b) < 0
	}
	return compare(a, b) > 0
}

// fresh returns the fresh samples that are still to come, in the order of reading.
func (r *reading) fresh(tx *readmodels.Tx) ([]entry, error) {
	blocks, err := readFresh(tx, r.selection.stream, nil)
	if err != nil {
		return nil, err
	}
	entries, err := decodePlain(nil, blocks)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return !r.wants(&e, e.series) })
	sortEntries(entries)
	if !r.query.Ascending {
		slices.Reverse(entries)
	}
	return entries, nil
}

// chunk is a row of the table, not yet opened: good until the next one.
type chunk struct {
	row    readmodels.Row
	series int64
	front  entry // no sample of it comes before, in the order of reading
	back   entry // no sample of it comes after
}

// large tells whether it takes more than a glance to open it.
func (c *chunk) large() bool { return c.row.IsNull(5) }

// chunks yields the chunks that may hold samples still to come, ordered by their foremost samples.
func (r *reading) chunks(tx *readmodels.Tx) iter.Seq2[chunk, error] {
	return func(yield func(chunk, error) bool) {
		for _, timeless := range []bool{r.query.Ascending, !r.query.Ascending} {
			query, args, any := r.scan(timeless)
			if !any {
				continue
			}
			for row, err := range tx.Query(query, args...) {
				c := chunk{row: row}
				if err == nil {
					err = r.describe(&c)
				}
				if err == nil && r.last != nil && !r.before(r.last, &c.back) {
					continue
				}
				if !yield(c, err) || err != nil {
					return
				}
			}
		}
	}
}

// scan is the query for the chunks with or without times that are still to come, if there may be any.
func (r *reading) scan(timeless bool) (query string, args []any, any bool) {
	rest := r.selection
	switch {
	case timeless:
		if rest.from != nil || rest.to != nil || r.last != nil && r.query.Ascending && !r.last.timeless {
			return "", nil, false
		}
		query, args = rest.scanTimeless(r.query.Ascending)
		return query, args, true
	case r.last == nil || r.query.Ascending && r.last.timeless:
	case r.query.Ascending:
		rest.from = &r.last.time
	case r.last.timeless:
		return "", nil, false
	case r.last.time < math.MaxInt64:
		to := r.last.time + 1
		rest.to = &to
	}
	query, args = rest.scan(r.query.Ascending)
	return query, args, true
}

// describe reads the bounds of a chunk.
func (r *reading) describe(c *chunk) error {
	c.series = c.row.Int64(0)
	oldest, err := bound(c.row, 1, 0)
	if err != nil {
		return err
	}
	newest, err := bound(c.row, 3, math.MaxInt)
	if err != nil {
		return err
	}
	c.front, c.back = newest, oldest
	if r.query.Ascending {
		c.front, c.back = oldest, newest
	}
	return nil
}

// bound reads time and position of a chunk's first or last sample.
func bound(row readmodels.Row, column, index int) (e entry, err error) {
	e = entry{timeless: row.IsNull(column), time: row.Int64(column), index: index}
	e.position, err = readPosition(row.Raw(column + 1))
	return e, err
}

// open decodes a chunk and adds what is wanted of it.
func (r *reading) open(tx *readmodels.Tx, to *opened, c chunk) error {
	return withBlock(tx, c.row, func(block []byte) (err error) {
		if to.plain, err = r.blocks.plainOf(to.plain[:0], block); err != nil {
			return err
		}
		if to.decoded, err = decodePlain(to.decoded[:0], to.plain); err != nil {
			return err
		}
		kept, size, wanted := to.decoded[:0], 0, 0
		for i := range to.decoded {
			e := &to.decoded[i]
			size += e.size()
			if r.wants(e, c.series) && !to.beyond(e) {
				e.series = c.series
				kept, wanted = append(kept, *e), wanted+e.size()
			}
		}
		if !r.query.Ascending {
			slices.Reverse(kept)
		}
		to.add(kept, wanted, max(size, cap(to.plain)))
		return nil
	})
}

// opened is what is at hand of the opened chunks: lists in the order of reading, in a heap by their first samples, and the
// page that is made of them. However many chunks there are of one time, only so much is held as a page needs.
type opened struct {
	ascending bool
	lists     [][]entry
	page      []entry
	room      int    // samples that the page may still have
	size      int    // bytes that it may still have; the last sample may have more
	held      int    // bytes that lists and page keep in memory
	least     int    // of them when they were last made as few as can be
	end       *entry // what comes after it cannot come into the page any more, nil is nothing

	// For the next chunk to be opened.
	plain   []byte
	decoded []entry
}

// add takes in samples that were decoded last, if there are any, with their size and that of what they lie in.
func (o *opened) add(entries []entry, size, of int) {
	switch {
	case len(entries) == 0:
		return
	case size < of/2:
		entries = slices.Clone(entries)
		compact(entries, size)
		o.hold(entries, size)
	default:
		o.plain, o.decoded = nil, nil
		o.hold(entries, of)
	}
}

// hold takes in samples that keep so many bytes in memory.
func (o *opened) hold(entries []entry, size int) {
	if len(entries) == 0 {
		return
	}
	heap.Push(o, entries)
	if o.held += size; o.held-o.least > openSize {
		o.shrink()
	}
}

// beyond tells whether a sample cannot come into the page.
func (o *opened) beyond(e *entry) bool { return o.end != nil && o.less(o.end, e) }

// shrink drops what cannot come into the page any more, because so many samples come before it.
func (o *opened) shrink() {
	page, room, size := o.page, o.room, o.size
	o.page = make([]entry, 0, min(room, 1024))
	for !o.full() && o.front() != nil {
		o.take()
	}
	rest := o.page
	if o.full() {
		o.end = &entry{}
		*o.end = rest[len(rest)-1]
		o.end.value = nil
	}
	compact(page, fullSize)
	compact(rest, fullSize)
	clear(o.lists)
	o.page, o.room, o.size, o.lists = page, room, size, append(o.lists[:0], rest)
	o.least = measure(page).size + measure(rest).size
	o.held = o.least
}

// compact copies the values of samples that are at most so large, so that they do not hold on to the chunks that they lie
// in.
func compact(entries []entry, most int) {
	size := 0
	for i := range entries {
		if n := len(entries[i].value); n <= most {
			size += n
		}
	}
	all := make([]byte, 0, size)
	for i := range entries {
		e := &entries[i]
		if n := len(all); len(e.value) <= most {
			all = append(all, e.value...)
			e.value = all[n:len(all):len(all)]
		}
	}
}

// settled is the page, which other readings are to leave room for.
func (o *opened) settled(shared int) []entry {
	if o.held > openSize/max(1, shared) {
		compact(o.page, fullSize)
	}
	return o.page
}

// full tells whether the page is.
func (o *opened) full() bool { return o.room <= 0 || o.size <= 0 }

// needs tells whether a chunk that begins with front must be opened before the next sample can be known.
func (o *opened) needs(front *entry) bool {
	return len(o.lists) == 0 || !o.less(&o.lists[0][0], front)
}

// front is the next sample, nil if there is none.
func (o *opened) front() *entry {
	if len(o.lists) == 0 {
		return nil
	}
	return &o.lists[0][0]
}

// take takes the next sample into the page.
func (o *opened) take() {
	e := o.lists[0][0]
	o.page, o.room, o.size = append(o.page, e), o.room-1, o.size-e.size()
	if o.lists[0] = o.lists[0][1:]; len(o.lists[0]) == 0 {
		heap.Pop(o)
	} else {
		heap.Fix(o, 0)
	}
}

func (o *opened) less(a, b *entry) bool {
	if o.ascending {
		return compare(a, b) < 0
	}
	return compare(a, b) > 0
}

func (o *opened) Len() int           { return len(o.lists) }
func (o *opened) Less(i, j int) bool { return o.less(&o.lists[i][0], &o.lists[j][0]) }
func (o *opened) Swap(i, j int)      { o.lists[i], o.lists[j] = o.lists[j], o.lists[i] }
func (o *opened) Push(x any)         { o.lists = append(o.lists, x.([]entry)) }

func (o *opened) Pop() any {
	last := o.lists[len(o.lists)-1]
	o.lists[len(o.lists)-1] = nil
	o.lists = o.lists[:len(o.lists)-1]
	return last
}
