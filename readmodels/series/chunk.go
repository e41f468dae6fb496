package series

import (
	"cmp"
	"slices"

	"strandline/readmodels"
)

// Sizes of chunks (see entry.size). Their classes are below 1 KiB, 8 KiB, 64 KiB, and full.
const (
	fullSize    = 64 << 10
	fullClass   = 3
	mergeFactor = 8
)

// place is where a chunk belongs.
type place struct{ stream, series, bucket int64 }

// settle makes chunks of all fresh samples of a stream.
func (w *Writer) settle(tx *readmodels.Tx, s *stream) error {
	entries, err := w.takeFresh(tx, s)
	if err != nil {
		return err
	}
	for _, group := range w.groups(s.id, entries) {
		if err := w.insert(tx, group.place, group.entries, false); err != nil {
			return err
		}
	}
	w.release()
	return nil
}

// takeFresh removes and returns all fresh samples of a stream, in the order of arrival. They are good until the next call.
func (w *Writer) takeFresh(tx *readmodels.Tx, s *stream) (entries []entry, err error) {
	w.stored, w.entries = w.stored[:0], w.entries[:0]
	if s.stored > 0 {
		if w.stored, err = readFresh(tx, s.id, w.stored); err != nil {
			return nil, err
		}
		if err := tx.Exec("DELETE FROM fresh WHERE id >= ? AND id < ?", freshID(s.id, 0), freshID(s.id+1, 0)); err != nil {
			return nil, err
		}
	}
	w.entries = slices.Grow(w.entries, s.fresh.samples)
	for _, blocks := range [][]byte{w.stored, s.pending} {
		if w.entries, err = decodePlain(w.entries, blocks); err != nil {
			return nil, err
		}
	}
	w.pending -= len(s.pending)
	s.pending, s.stored, s.fresh, s.waiting = nil, 0, tally{}, tally{}
	return w.entries, nil
}

// readFresh appends the blocks of all fresh samples of a stream that are in the file, in the order of arrival.
func readFresh(tx *readmodels.Tx, stream int64, blocks []byte) ([]byte, error) {
	for row, err := range tx.Query("SELECT block FROM fresh WHERE id >= ? AND id < ? ORDER BY id",
		freshID(stream, 0), freshID(stream+1, 0)) {
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, row.Raw(0)...)
	}
	return blocks, nil
}

// release gives up buffers that an unusually large event has made large, and what they point to.
func (w *Writer) release() {
	const enough = 2 * freshSize
	if cap(w.stored) > enough || cap(w.block) > enough || cap(w.entries) > enough/64 {
		w.stored, w.block, w.entries, w.sorted = nil, nil, nil, nil
	}
	clear(w.entries)
	clear(w.sorted)
}

// group is samples of one place, sorted.
type group struct {
	place
	count   int
	entries []entry // as many, in the end
}

// groups sorts samples of one stream by place, and within by time.
func (w *Writer) groups(stream int64, entries []entry) []group {
	all, of := assign(stream, entries)
	w.sorted = slices.Grow(w.sorted[:0], len(entries))
	w.sorted = w.sorted[:len(entries)]
	used := 0
	for i := range all {
		all[i].entries = w.sorted[used : used : used+all[i].count]
		used += all[i].count
	}
	for i := range entries {
		all[of[i]].entries = append(all[of[i]].entries, entries[i])
	}
	slices.SortFunc(all, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.series, b.series), cmp.Compare(a.bucket, b.bucket))
	})
	for _, g := range all {
		sortEntries(g.entries)
	}
	return all
}

// assign counts the entries of each place, and tells for each entry the number of its group.
func assign(stream int64, entries []entry) (all []group, of []int32) {
	of = make([]int32, len(entries))
	known := map[place]int32{}
	last := int32(-1)
	for i := range entries {
		at := place{stream, entries[i].series, entries[i].bucket()}
		if last < 0 || all[last].place != at {
			n, found := known[at]
			if !found {
				n = int32(len(all))
				known[at] = n
				all = append(all, group{place: at})
			}
			last = n
		}
		of[i] = last
		all[last].count++
	}
	return all, of
}

// sortEntries sorts by time; most come sorted.
func sortEntries(entries []entry) {
	for i := 1; i < len(entries); i++ {
		if compare(&entries[i-1], &entries[i]) > 0 {
			slices.SortFunc(entries, func(a, b entry) int { return compare(&a, &b) })
			return
		}
	}
}

// insert writes sorted samples of one place as chunks, and merges those of the same class when they are enough. Chunks
// are compressed when they are full or merged already; others will mostly be merged soon.
func (w *Writer) insert(tx *readmodels.Tx, at place, entries []entry, merged bool) error {
	for len(entries) > 0 {
		n, size := cut(entries)
		class, err := w.insertChunk(tx, at, entries[:n], size, merged)
		if err != nil {
			return err
		}
		if err := w.merge(tx, at, class); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// cut tells how many of entries make the next chunk, and their size. A chunk ends when it is full, unless what would
// remain is less than half of one. A sample that fills one has it for itself: whoever needs those beside it need not read
// it, and however many of them overlap, one after the other is read.
func cut(entries []entry) (n, size int) {
	full, fullAt := 0, 0
	for i := range entries {
		own := entries[i].size()
		if own >= fullSize && i > 0 {
			return i, size
		}
		size += own
		switch {
		case own >= fullSize:
			return 1, size
		case full == 0 && size >= fullSize:
			full, fullAt = i+1, size
		case full != 0 && size-fullAt >= fullSize/2:
			return full, fullAt
		}
	}
	return len(entries), size
}

// classOf is the class of a chunk of the given size.
func classOf(size int) int {
	class := fullClass
	for limit := fullSize; class > 0 && size < limit; limit /= mergeFactor {
		class--
	}
	return class
}

func (w *Writer) insertChunk(tx *readmodels.Tx, at place, entries []entry, size int, merged bool) (class int, err error) {
	class = classOf(size)
	first, last := &entries[0], &entries[len(entries)-1]
	w.key = appendPosition(w.key[:0], first.position)
	cutAt := len(w.key)
	w.key = appendPosition(w.key, last.position)
	for i := range entries {
		entries[i].series = 0 // it is in the row
	}
	w.block = w.blocks.encode(w.block[:0], entries, merged || class == fullClass)
	err = tx.Exec(`INSERT INTO chunk (stream, series, bucket, class, oldest, oldest_at, newest, newest_at, block)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		at.stream, at.series, at.bucket, class, first.nullableTime(), w.key[:cutAt], last.nullableTime(), w.key[cutAt:], w.block)
	return class, err
}

// nullableTime is the time as an argument of a statement.
func (e *entry) nullableTime() any {
	if e.timeless {
		return nil
	}
	return e.time
}

// merge makes one chunk of those in one place and class, if they are enough and not full.
func (w *Writer) merge(tx *readmodels.Tx, at place, class int) error {
	if class == fullClass {
		return nil
	}
	n := 0
	for row, err := range tx.Query("SELECT count(*) FROM chunk INDEXED BY chunk_to_merge WHERE series = ? AND bucket = ? AND class = ? AND class < 3",
		at.series, at.bucket, class) {
		if err != nil {
			return err
		}
		n = row.Int(0)
	}
	if n < mergeFactor {
		return nil
	}
	entries, err := w.takeChunks(tx, at, class)
	if err != nil {
		return err
	}
	sortEntries(entries)
	return w.insert(tx, at, entries, true)
}

// takeChunks removes the chunks of one place and class and returns their samples.
func (w *Writer) takeChunks(tx *readmodels.Tx, at place, class int) (entries []entry, err error) {
	const which = " FROM chunk INDEXED BY chunk_to_merge WHERE series = ? AND bucket = ? AND class = ? AND class < 3"
	for row, err := range tx.Query("SELECT block"+which+" ORDER BY id", at.series, at.bucket, class) {
		if err != nil {
			return nil, err
		}
		if entries, err = w.blocks.decode(entries, row.Blob(0)); err != nil {
			return nil, err
		}
	}
	return entries, tx.Exec("DELETE"+which, at.series, at.bucket, class)
}
