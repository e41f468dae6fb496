package series

import (
	"container/heap"
	"iter"
	"math"
	"slices"

	"strandline/domain"
	"strandline/readmodels"
)

// A page is what is read in one transaction, of all readings that are merged.
const (
	pageSamples = 4096
	pageSize    = 1 << 20 // see entry.size
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
	open := &opened{ascending: r.query.Ascending}
	open.add(fresh)
	next, stop := iter.Pull2(r.chunks(tx))
	defer stop()
	row, err, more := next()
	var page []entry
	for size, room := 0, r.room(); len(page) < room && size < pageSize/max(1, r.shared); {
		for more && err == nil && open.needs(&row.front) {
			if err = r.open(open, row); err == nil {
				row, err, more = next()
			}
		}
		if err != nil {
			return nil, err
		}
		e, any := open.pop()
		if !any {
			r.done = true
			break
		}
		size += e.size()
		page = append(page, e)
	}
	return page, nil
}

// room is how many samples the next page may have.
func (r *reading) room() int {
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
func (r *reading) open(to *opened, c chunk) error {
	block := c.row.Raw(5)
	if len(block) > 0 && block[0]&isCompressed == 0 {
		block = slices.Clone(block)
	}
	entries, err := r.blocks.decode(nil, block)
	if err != nil {
		return err
	}
	kept := entries[:0]
	for i := range entries {
		if r.wants(&entries[i], c.series) {
			entries[i].series = c.series
			kept = append(kept, entries[i])
		}
	}
	if !r.query.Ascending {
		slices.Reverse(kept)
	}
	to.add(kept)
	return nil
}

// opened is what is at hand of the opened chunks: lists in the order of reading, in a heap by their first samples.
type opened struct {
	ascending bool
	lists     [][]entry
}

func (o *opened) add(entries []entry) {
	if len(entries) > 0 {
		heap.Push(o, entries)
	}
}

// needs tells whether a chunk that begins with front must be opened before the next sample can be known.
func (o *opened) needs(front *entry) bool {
	return len(o.lists) == 0 || !o.less(&o.lists[0][0], front)
}

// pop takes the next sample.
func (o *opened) pop() (e entry, any bool) {
	if len(o.lists) == 0 {
		return entry{}, false
	}
	e = o.lists[0][0]
	if o.lists[0] = o.lists[0][1:]; len(o.lists[0]) == 0 {
		heap.Pop(o)
	} else {
		heap.Fix(o, 0)
	}
	return e, true
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
