package embedded

import "sort"

// spanOf implements span over a table of offsets; at also takes the index past the last record, which gives its end.
func spanOf(at func(index int) int64, first, last int, size int64, base uint64) (from, to int64, upTo uint64) {
	from = at(first)
	more := sort.Search(last-first, func(i int) bool { return at(first+i+2)-from > size })
	return from, at(first + more + 1), base + uint64(first+more)
}

// offsetTable says where each record of a full segment begins.
type offsetTable struct{}
