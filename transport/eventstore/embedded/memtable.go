package embedded

import (
	"slices"
	"sync"
)

// entry is what the index knows of a record besides its hashes.
type entry struct{ revision, position uint64 }

// memtable indexes one segment in memory. The records of a stream form a chain through it, newest first; records whose
// streams have the same hash share a chain, so whoever reads one compares the names.
//
// It is written by the committer alone, before the records are on disk: readers leave out what is past the watermark.
type memtable struct {
	first uint64 // position of the record with index 0

	mu        sync.RWMutex
	offsets   []uint32 // where each record begins in the segment
	end       uint32   // where the last one ends
	hashes    []uint64 // of their streams
	revisions []uint64
	previous  []uint32            // the record before it in its chain: index + 1, 0 if there is none
	newest    map[uint64]uint32   // stream hash → index + 1
	ids       map[uint64]uint32   // event hash → index + 1
	again     map[uint64][]uint32 // event hashes that came more than once: the earlier ones
	mixed     map[uint64]bool     // chains in which revisions do not grow by one: streams share the hash
}

func newMemtable(first uint64) *memtable {
	return &memtable{first: first, newest: map[uint64]uint32{}, ids: map[uint64]uint32{}, again: map[uint64][]uint32{}, mixed: map[uint64]bool{}}
}

// indexed is a record on its way into a memtable.
type indexed struct {
	offset, end uint32
	stream      uint64 // hash of the stream's name
	event       uint64 // hash of stream and id
	revision    uint64
}

// add indexes the next record. The caller holds mu.
func (m *memtable) add(r indexed) {
	m.offsets = append(m.offsets, r.offset)
	m.end = r.end
	m.hashes = append(m.hashes, r.stream)
	before := m.newest[r.stream]
	if before > 0 && m.revisions[before-1]+1 != r.revision {
		m.mixed[r.stream] = true
	}
	m.previous = append(m.previous, before)
	m.revisions = append(m.revisions, r.revision)
	number := uint32(len(m.offsets))
	m.newest[r.stream] = number
	if earlier, known := m.ids[r.event]; known {
		m.again[r.event] = append(m.again[r.event], earlier)
	}
	m.ids[r.event] = number
}

// entries implements source.
func (m *memtable) entries(q query) ([]entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []entry
	whole := q.all || m.mixed[q.stream]
	for number := m.newest[q.stream]; number > 0; number = m.previous[number-1] {
		e := entry{m.revisions[number-1], m.first + uint64(number) - 1}
		if !whole && (!q.backwards && e.revision < q.from || q.backwards && len(found) == q.limit) {
			break
		}
		if e.position <= q.upTo && q.wants(e.revision) {
			found = append(found, e)
		}
	}
	if !q.backwards {
		slices.Reverse(found)
	}
	return q.cut(found), nil
}

// positions implements source.
func (m *memtable) positions(event uint64) ([]uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	number, known := m.ids[event]
	if !known {
		return nil, nil
	}
	var found []uint64
	for _, n := range append(slices.Clone(m.again[event]), number) {
		found = append(found, m.first+uint64(n)-1)
	}
	return found, nil
}

// offset says where a record begins.
func (m *memtable) offset(position uint64) int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return int64(m.offsets[position-m.first])
}

// span implements spanner.
func (m *memtable) span(first, last uint64, size int64) (from, to int64, upTo uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	from, to, upTo = spanOf(m.at, int(first-m.first), int(last-m.first), size, m.first)
	return from, to, upTo, nil
}

// at is where the record with an index begins, or where the last one ends.
func (m *memtable) at(index int) int64 {
	if index == len(m.offsets) {
		return int64(m.end)
	}
	return int64(m.offsets[index])
}
