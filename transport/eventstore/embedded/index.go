package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
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
	positions(event uint64) ([]uint64, error)
}

// indexFolder holds runs and tables of offsets. It can be deleted while the store is closed: all of it is made anew.
const indexFolder = "index"

// index is the present list of sources.
type index struct {
	mu      sync.Mutex
	present *view
	changed signal // a memtable became full, or a run was added
}

// view is an unchanging list of sources: runs, then memtables, in the order of positions, without gaps.
type view struct {
	runs    []*run
	mems    []*memtable
	sources []source
	readers int // guarded by the index
}

func newIndex(runs []*run) *index {
	x := &index{present: &view{}}
	x.replace(runs, nil)
	return x
}

// beyond returns the sources that have something after a position.
func (v *view) beyond(position uint64) []source {
	for i, r := range v.runs {
		if r.last > position {
			return v.sources[i:]
		}
	}
	for i := range v.mems {
		if i == len(v.mems)-1 || v.mems[i+1].first-1 > position {
			return v.sources[len(v.runs)+i:]
		}
	}
	return nil
}

// acquire takes the present view. Its runs stay open until it is released.
func (x *index) acquire() *view {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.present.readers++
	return x.present
}

func (x *index) release(v *view) {
	x.mu.Lock()
	defer x.mu.Unlock()
	v.readers--
	x.drop(v)
}

// drop closes the runs that only v has, once nobody reads v and it is not the present view.
func (x *index) drop(v *view) {
	if v.readers > 0 || v == x.present {
		return
	}
	for _, r := range v.runs {
		if r.views--; r.views == 0 {
			r.close() // it was only read
		}
	}
}

// replace sets the present view. The caller holds mu.
func (x *index) replace(runs []*run, mems []*memtable) {
	v := &view{runs: runs, mems: mems}
	for _, r := range runs {
		r.views++
		v.sources = append(v.sources, r)
	}
	for _, m := range mems {
		v.sources = append(v.sources, m)
	}
	old := x.present
	x.present = v
	x.drop(old)
	x.changed.happened()
}

// addMemtable puts the memtable of a new segment at the end.
func (x *index) addMemtable(m *memtable) {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := x.present
	x.replace(v.runs, append(slices.Clone(v.mems), m))
}

// flushed puts a run in the place of the memtable that it was written from, the oldest one.
func (x *index) flushed(m *memtable, r *run) {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := x.present
	x.replace(append(slices.Clone(v.runs), r), slices.DeleteFunc(slices.Clone(v.mems), func(other *memtable) bool { return other == m }))
}

// exchange puts runs in the place of others that follow each other. It is false if those are not there any more.
func (x *index) exchange(old, new []*run) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := x.present
	at := slices.Index(v.runs, old[0])
	if at < 0 || len(v.runs)-at < len(old) || !slices.Equal(v.runs[at:at+len(old)], old) {
		return false
	}
	x.replace(slices.Replace(slices.Clone(v.runs), at, at+len(old), new...), v.mems)
	return true
}

// has tells whether a run is in use.
func (x *index) has(r *run) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Contains(x.present.runs, r)
}

// full returns the oldest memtable whose segment is full, and how many there are.
func (x *index) full() (*memtable, int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := len(x.present.mems) - 1
	if n < 1 {
		return nil, 0
	}
	return x.present.mems[0], n
}

// close closes all runs that nobody reads.
func (x *index) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.replace(nil, nil)
}
