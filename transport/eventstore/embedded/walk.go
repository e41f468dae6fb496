package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"strandline/domain"
	"strandline/transport/files"
)

// window reads a file in large pieces.
type window struct {
	file  files.File
	limit int64 // the file's size
	base  int64 // where buf begins
	buf   []byte
}

const windowSize = 1 << 20

// at returns n bytes from an offset, fewer at the end of the file. They are valid until the next call.
func (w *window) at(offset int64, n int) ([]byte, error) {
	if offset >= w.base && offset+int64(n) <= w.base+int64(len(w.buf)) {
		return w.buf[offset-w.base:][:n], nil
	}
	size := min(int64(max(n, windowSize)), w.limit-offset)
	if int64(cap(w.buf)) < size {
		w.buf = make([]byte, size)
	}
	w.base, w.buf = offset, w.buf[:max(size, 0)]
	if _, err := w.file.ReadAt(w.buf, offset); err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return nil, err
	}
	return w.buf[:min(n, len(w.buf))], nil
}

// walker goes through a segment group by group and checks everything that can be checked.
type walker struct {
	window
	id      domain.ID
	offset  int64  // where the next group begins
	next    uint64 // the position that comes next
	chain   chain
	ticks   int64 // time of the last record
	leaves  []byte
	scratch []byte
}

// visited is a record that a walker has come to.
type visited struct {
	identity
	position    uint64
	offset, end uint32
}

// errEnd says that there are zeros where a group would begin.
var errEnd = errors.New("the segment ends here")

// start reads the header of the segment.
func (w *walker) start(g *segment) error {
	b, err := w.at(0, segmentHeader)
	if err != nil {
		return err
	}
	if allZero(b) {
		return errEnd
	}
	h, err := readSegmentStart(b, w.id)
	if err != nil {
		return err
	}
	if h.first != g.first {
		return fmt.Errorf("the segment's header says that it begins with position %d", h.first)
	}
	w.offset, w.next, w.chain, w.ticks = segmentHeader, h.first, h.chain, h.ticks
	return nil
}

// group checks the next group and visits its records. With an error nothing has been visited and w has not moved.
func (w *walker) group(visit func(visited)) (group, error) {
	b, err := w.at(w.offset, groupHeader)
	if err != nil {
		return group{}, err
	}
	if allZero(b) {
		return group{}, errEnd
	}
	g, err := readGroup(b, w.id)
	if err != nil {
		return g, err
	}
	if g.first != w.next {
		return g, fmt.Errorf("the group there begins with position %d", g.first)
	}
	body, err := w.at(w.offset+groupHeader, g.length)
	if err != nil {
		return g, err
	}
	found, err := w.records(g, body)
	if err != nil {
		return g, err
	}
	for _, v := range found {
		visit(v)
		w.ticks = v.ticks
	}
	w.offset += groupHeader + int64(g.length)
	w.next += uint64(g.count)
	w.chain = g.chain
	return g, nil
}

// walker opens a segment. It has to be released.
func (s *Store) walker(g *segment) (*walker, error) {
	f, err := s.segments.acquire(g)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		s.segments.release(g)
		return nil, fmt.Errorf("size of %s: %w", g.name(), err)
	}
	return &walker{window: window{file: f, limit: size}, id: s.manifest.ID, next: g.first}, nil
}

// all goes through the segment until a group is not good, and says why it is not. Everything before byte proven has been
// shown to be durable by a group after it; marked tells whether the last good group is a watermark.
func (w *walker) all(g *segment, visit func(visited)) (proven int64, marked bool, bad error) {
	if bad := w.start(g); bad != nil {
		return 0, false, bad
	}
	for {
		before := w.offset
		found, bad := w.group(visit)
		if bad != nil {
			return proven, marked, bad
		}
		proven, marked = before, found.count == 0
	}
}

// complete fails unless everything that a full segment should hold was found before bad.
func (w *walker) complete(g *segment, bad error) error {
	if w.next != g.last.Load()+1 || !errors.Is(bad, errEnd) {
		return damaged(g, w.next, max(w.next, g.last.Load()), w.offset, bad)
	}
	return nil
}

// records checks the records of a group and its chain.
func (w *walker) records(g group, body []byte) ([]visited, error) {
	if len(body) < g.length {
		return nil, fmt.Errorf("the group is cut off")
	}
	found := make([]visited, 0, min(g.count, len(body)/recordHeader))
	w.leaves = w.leaves[:0]
	offset := w.offset + groupHeader
	ends := true
	for position := g.first; position < g.first+uint64(g.count); position++ {
		r, err := cutRecord(body, position)
		if err != nil {
			return nil, err
		}
		known, ok := identify(r.envelope())
		if !ok {
			return nil, errEnvelope
		}
		found = append(found, visited{known, position, uint32(offset), uint32(offset) + uint32(len(r))})
		w.leaf(r)
		body, offset, ends = body[len(r):], offset+int64(len(r)), r.ends()
	}
	switch {
	case len(body) > 0:
		return nil, fmt.Errorf("the group is longer than its records")
	case !ends:
		return nil, fmt.Errorf("the last append of the group has no end")
	case g.count > 0 && w.chain.next(w.leaves) != g.chain:
		return nil, fmt.Errorf("the hash chain is broken")
	case g.count == 0 && w.chain != g.chain:
		return nil, fmt.Errorf("the hash chain is broken")
	}
	return found, nil
}

func (w *walker) leaf(r record) {
	data := sha256.Sum256(r.data())
	var leaf [sha256.Size]byte
	leaf, w.scratch = leafHash(w.scratch, r.envelope(), &data)
	w.leaves = append(w.leaves, leaf[:]...)
}

// allZero tells whether b is nothing but zeros, or empty.
func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
