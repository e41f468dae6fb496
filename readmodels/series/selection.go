package series

import (
	"math"
	"slices"

	"strandline/readmodels"
)

// selection is a part of a stream's samples, and the way to find their chunks by index.
type selection struct {
	stream   int64
	series   int64  // 0 is all
	from, to *int64 // inclusive, exclusive; nil is open; both nil include samples without a time
}

// holds tells whether a sample of the stream belongs to the selection.
func (s *selection) holds(e *entry, series int64) bool {
	switch {
	case s.series != 0 && series != s.series:
		return false
	case e.timeless:
		return s.from == nil && s.to == nil
	}
	return (s.from == nil || e.time >= *s.from) && (s.to == nil || e.time < *s.to)
}

// without removes from entries what the selection holds. Entries of chunks have no series, and need none: their chunks
// were selected by it.
func without(entries []entry, s selection) []entry {
	return slices.DeleteFunc(entries, func(e entry) bool {
		series := e.series
		if series == 0 {
			series = s.series
		}
		return s.holds(&e, series)
	})
}

// owner is the condition that selects chunks by stream or by series.
func (s *selection) owner() (where string, id int64) {
	if s.series != 0 {
		return "series = ?", s.series
	}
	return "stream = ?", s.stream
}

// index is the index by stream or by series, over the first or the last samples of chunks.
func (s *selection) index(by string) string {
	if s.series != 0 {
		return " INDEXED BY chunk_of_series_by_" + by
	}
	return " INDEXED BY chunk_by_" + by
}

// whole is the end of a statement for the chunks of which the selection holds all samples.
func (s *selection) whole() (clause string, args []any) {
	where, id := s.owner()
	args = []any{id}
	if s.from != nil {
		where, args = where+" AND oldest >= ?", append(args, *s.from)
	}
	if s.to != nil {
		where, args = where+" AND oldest < ? AND newest < ?", append(args, *s.to, *s.to)
	}
	return s.index("oldest") + " WHERE " + where, args
}

// across is the end of a statement for the chunks that have samples on both sides of bound. They lie in bound's day.
func (s *selection) across(bound int64) (clause string, args []any) {
	where, id := s.owner()
	where += " AND oldest < ? AND oldest >= ? AND newest >= ?"
	return s.index("oldest") + " WHERE " + where, []any{id, bound, startOfDay(bound), bound}
}

// scan is the query for the chunks that may hold samples of the selection which have a time, in the order of their
// first samples (ascending) or, backwards, of their last. It reads no more than the days of the bounds beyond them.
func (s *selection) scan(ascending bool) (query string, args []any) {
	where, id := s.owner()
	args = []any{id}
	order, index := " ORDER BY newest DESC, newest_at DESC", s.index("newest")
	if ascending {
		order, index = " ORDER BY oldest, oldest_at", s.index("oldest")
	}
	where += " AND oldest IS NOT NULL AND newest IS NOT NULL"
	if s.from != nil {
		where, args = where+" AND oldest >= ? AND newest >= ?", append(args, startOfDay(*s.from), *s.from)
	}
	if s.to != nil {
		where, args = where+" AND oldest < ? AND newest <= ?", append(args, *s.to, endOfDay(*s.to))
	}
	return chunkColumns + index + " WHERE " + where + order, args
}

// scanTimeless is the query for the chunks of samples without a time.
func (s *selection) scanTimeless(ascending bool) (query string, args []any) {
	where, id := s.owner()
	order, index := " AND newest IS NULL ORDER BY newest_at DESC", s.index("newest")
	if ascending {
		order, index = " AND oldest IS NULL ORDER BY oldest_at", s.index("oldest")
	}
	return chunkColumns + index + " WHERE " + where + order, []any{id}
}

// chunkColumns has blocks that are not large; SQLite reads all of a block with its row, whether it is needed or not.
const (
	chunkColumns = "SELECT series, oldest, oldest_at, newest, newest_at, CASE WHEN length(block) < 262144 THEN block END, id FROM chunk"
	chunkBlock   = "SELECT block FROM chunk WHERE id = ?"
)

// withBlock gives use the block of a row that has chunkColumns. It is gone with the row.
func withBlock(tx *readmodels.Tx, row readmodels.Row, use func(block []byte) error) error {
	if !row.IsNull(5) {
		return use(row.Raw(5))
	}
	for row, err := range tx.Query(chunkBlock, row.Int64(6)) {
		if err != nil {
			return err
		}
		return use(row.Raw(0))
	}
	return errDamaged
}

// startOfDay is the first millisecond of a time's day, endOfDay the last.
func startOfDay(time int64) int64 {
	day := floorDiv(time, bucketLength)
	if day < math.MinInt64/bucketLength {
		return math.MinInt64
	}
	return day * bucketLength
}

func endOfDay(time int64) int64 {
	day := floorDiv(time, bucketLength)
	if day >= math.MaxInt64/bucketLength {
		return math.MaxInt64
	}
	return day*bucketLength + bucketLength - 1
}
