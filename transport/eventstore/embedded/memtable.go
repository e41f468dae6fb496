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
	events    []uint64 // hashes of stream and id
	revisions []uint64
	previous  []uint32            // the record before it in its chain: index + 1, 0 if there is none
	newest    numberTable         // of each stream hash
	ids       numberTable         // of each event hash
	again     map[uint64][]uint32 // event hashes that came more than once: the earlier ones
	mixed     map[uint64]bool     // chains in which revisions do not grow by one: streams share the hash
}

func newMemtable(first uint64) *memtable {
	return &memtable{first: first, again: map[uint64][]uint32{}, mixed: map[uint64]bool{}}
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
	m.events = append(m.events, r.event)
	m.revisions = append(m.revisions, r.revision)
	number := uint32(len(m.offsets))
	before := m.newest.replace(r.stream, number, m.hashes)
	if before > 0 && m.revisions[before-1]+1 != r.revision {
		m.mixed[r.stream] = true
	}
	m.previous = append(m.previous, before)
	if earlier := m.ids.replace(r.event, number, m.events); earlier > 0 {
		m.again[r.event] = append(m.again[r.event], earlier)
	}
}

// entries implements source.
func (m *memtable) entries(q query) ([]entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []entry
	whole := q.all || m.mixed[q.stream]
	for number := m.newest.find(q.stream, m.hashes); number > 0; number = m.previous[number-1] {
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
	number := m.ids.find(event, m.events)
	if number == 0 {
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
