package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"sync"

	"strandline/domain"
)

// streamHash is the hash of a stream's name in the index. Names are not chosen by clients, but nothing breaks where two
// have the same hash: the name in the record decides.
func streamHash(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.LittleEndian.Uint64(sum[:])
}

// eventHash is the hash of an event's id in a stream.
func eventHash(stream uint64, id domain.ID) uint64 {
	low := binary.LittleEndian.Uint64(id[:8]) ^ stream
	high := binary.LittleEndian.Uint64(id[8:]) ^ 0x9e37_79b9_7f4a_7c15
	hi, lo := bits.Mul64(low|1, high)
	return hi ^ lo ^ bits.RotateLeft64(low, 32)
}

// query asks for entries of a stream.
type query struct {
	stream    uint64 // hash of its name
	from      uint64 // revision, inclusive
	upTo      uint64 // position, inclusive
	limit     int
	all       bool // no limit, and no trust that revisions grow with positions: the hash is shared
	backwards bool
}

// wants tells whether a revision is asked for.
func (q query) wants(revision uint64) bool {
	if q.all {
		return true
	}
	if q.backwards {
		return revision <= q.from
	}
	return revision >= q.from
}

// cut keeps to the limit.
func (q query) cut(found []entry) []entry {
	if q.all || len(found) <= q.limit {
		return found
	}
	return found[:q.limit]
}

// source is a part of the index: a memtable or a run.
type source interface {
	// entries returns those that q asks for, in the order that it asks for.
	entries(q query) ([]entry, error)
	// positions returns where records with the given event hash are, in ascending order.
	positions(event, upTo uint64) ([]uint64, error)
}

// index is the present list of sources.
type index struct {
	mu   sync.Mutex
	view *view
}

// view is an unchanging list of sources: runs, then memtables, in the order of positions, without gaps.
type view struct {
	mems []*memtable
}

func (v *view) sources() []source {
	all := make([]source, 0, len(v.mems))
	for _, m := range v.mems {
		all = append(all, m)
	}
	return all
}

// acquire takes the present view. It has to be released.
func (x *index) acquire() *view {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.view
}

func (x *index) release(*view) {}

// addMemtable puts the memtable of a new segment at the end.
func (x *index) addMemtable(m *memtable) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.view.mems
	x.view = &view{mems: append(old[:len(old):len(old)], m)}
}
