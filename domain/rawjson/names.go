package rawjson

import (
	"bytes"
	"hash/maphash"
)

// few is how many names are compared one by one. More go into a table, so that an object with a million of them is
// not compared a million times a million.
const few = 16

// name is where the name of a member stands: in src, or if it has escapes in unquoted, counted on from the end of src.
type name struct{ start, end uint32 }

// nameAt is the name whose first quote is at start, and whose last one has just been passed.
func (s *scanner) nameAt(start int, escaped bool) name {
	if !escaped {
		return name{uint32(start + 1), uint32(s.at - 1)}
	}
	from := len(s.src) + len(s.unquoted)
	s.unquoted = appendUnescaped(s.unquoted, s.src[start+1:s.at-1], keepSurrogates)
	return name{uint32(from), uint32(len(s.src) + len(s.unquoted))}
}

func (s *scanner) bytes(n name) []byte {
	if beyond := len(s.src); int(n.start) >= beyond {
		return s.unquoted[int(n.start)-beyond : int(n.end)-beyond]
	}
	return s.src[n.start:n.end]
}

// nameSet is the names of one object.
type nameSet struct {
	first [few]name
	count int
	table *nameTable // all of them, once first is full
}

// add adds n and tells whether it is new.
func (set *nameSet) add(s *scanner, n name) bool {
	if set.count == few {
		set.spill(s)
	}
	if set.table != nil {
		return set.table.add(s, n)
	}
	text := s.bytes(n)
	for _, other := range set.first[:set.count] {
		if other.end-other.start == n.end-n.start && bytes.Equal(s.bytes(other), text) {
			return false
		}
	}
	set.first[set.count] = n
	set.count++
	return true
}

// spill moves the first names to a table.
func (set *nameSet) spill(s *scanner) {
	set.table = &nameTable{seed: maphash.MakeSeed(), slots: make([]uint32, 8*few)}
	for _, n := range set.first {
		set.table.add(s, n)
	}
	set.count++ // never again
}

// nameTable is an open hash table. At 16 bytes a name it is smaller than the shortest members that fill it.
type nameTable struct {
	seed  maphash.Seed
	names []name
	slots []uint32 // index into names plus one; 0 is free. Their number is a power of two, at most half of them taken
}

func (t *nameTable) add(s *scanner, n name) bool {
	slot, found := t.find(s, n)
	if found {
		return false
	}
	t.names = append(t.names, n)
	t.slots[slot] = uint32(len(t.names))
	if 2*len(t.names) > len(t.slots) {
		t.grow(s)
	}
	return true
}

// find returns the slot of n, or the free one where it belongs.
func (t *nameTable) find(s *scanner, n name) (slot uint64, found bool) {
	text := s.bytes(n)
	mask := uint64(len(t.slots) - 1)
	for slot = maphash.Bytes(t.seed, text) & mask; t.slots[slot] != 0; slot = (slot + 1) & mask {
		if bytes.Equal(s.bytes(t.names[t.slots[slot]-1]), text) {
			return slot, true
		}
	}
	return slot, false
}

func (t *nameTable) grow(s *scanner) {
	t.slots = make([]uint32, 2*len(t.slots))
	for i, n := range t.names {
		slot, _ := t.find(s, n)
		t.slots[slot] = uint32(i + 1)
	}
}
