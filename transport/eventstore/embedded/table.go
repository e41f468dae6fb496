package embedded

// numberTable finds the number of a record, its index in a memtable + 1, by a hash. It takes a third of the memory and of
// the time of a map: the hashes themselves are kept elsewhere, and an entry is looked up and replaced in one go.
type numberTable struct {
	slots []uint64 // upper half: lower half of the hash; lower half: the number, 0 if the slot is free
	used  int
}

// find returns the newest number of a hash, 0 if there is none.
func (t *numberTable) find(hash uint64, hashes []uint64) uint32 {
	if len(t.slots) == 0 {
		return 0
	}
	return uint32(t.slots[t.slot(hash, hashes)])
}

// replace makes number the newest of a hash and returns the one before it, 0 if there was none.
func (t *numberTable) replace(hash uint64, number uint32, hashes []uint64) (before uint32) {
	if t.used*4 >= len(t.slots)*3 {
		t.grow(hashes)
	}
	slot := &t.slots[t.slot(hash, hashes)]
	if before = uint32(*slot); before == 0 {
		t.used++
	}
	*slot = hash<<32 | uint64(number)
	return before
}

// slot finds the slot of a hash, or the free one where it would be.
func (t *numberTable) slot(hash uint64, hashes []uint64) uint64 {
	mask := uint64(len(t.slots) - 1)
	for i := hash >> 32 & mask; ; i = (i + 1) & mask {
		number := uint32(t.slots[i])
		if number == 0 || t.slots[i]>>32 == hash&0xffff_ffff && hashes[number-1] == hash {
			return i
		}
	}
}

// grow doubles the slots.
func (t *numberTable) grow(hashes []uint64) {
	old := t.slots
	t.slots = make([]uint64, max(64, 2*len(old)))
	for _, s := range old {
		if number := uint32(s); number > 0 {
			t.slots[t.slot(hashes[number-1], hashes)] = s
		}
	}
}
