package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"strandline/domain"
)

// recover reads what the log needs to go on from its last segments, cuts off what was never acknowledged, and returns the
// committer that writes after it.
func (s *Store) recover() (*committer, error) {
	if err := s.sys.Remove(spareName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the unfinished segment: %w", err)
	}
	list, err := listSegments(s.sys)
	if err != nil {
		return nil, err
	}
	s.segments = &catalogue{sys: s.sys, list: list}
	s.index = &index{view: &view{}}
	c := &committer{Store: s, next: 1, marked: true}
	for i, g := range list {
		if err := c.load(g, i == len(list)-1); err != nil {
			s.segments.close()
			return nil, err
		}
	}
	s.durable.Store(&durable{position: c.next - 1})
	return c, nil
}

// load reads a segment into a memtable. The last one is cut after what is whole, and becomes the active one.
func (c *committer) load(g *segment, last bool) error {
	f, err := c.segments.acquire(g)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("size of %s: %w", g.name(), err)
	}
	w := &walker{window: window{file: f, limit: size}, id: c.manifest.ID, next: g.first}
	mem := newMemtable(g.first)
	defer func() { c.chain, c.ticks, c.next = w.chain, w.ticks, w.next }()
	proven, bad := c.walk(w, g, mem) // sets c.marked
	if !last {
		c.segments.release(g)
		return c.complete(g, w, mem, bad)
	}
	if w.offset == 0 { // not even the header is there
		w.chain, w.ticks = c.chain, c.ticks
	}
	if err := c.cut(w, g, bad); err != nil {
		return err
	}
	return c.resume(g, w, mem, proven)
}

// walk visits a segment's groups until one is not good, and says why it is not. What is before proven has been shown to
// be durable by a group after it.
func (c *committer) walk(w *walker, g *segment, mem *memtable) (proven int64, bad error) {
	if bad := w.start(g); bad != nil {
		return 0, bad
	}
	for {
		before := w.offset
		found, bad := w.group(func(v visited) { mem.add(c.indexed(v)) })
		if bad != nil {
			return proven, bad
		}
		proven, c.marked = before, found.count == 0
	}
}

func (s *Store) indexed(v visited) indexed {
	hash := s.hash(string(v.stream))
	return indexed{v.offset, v.end, hash, eventHash(hash, v.id), v.revision}
}

// complete accepts a segment that others follow: it must hold all its records.
func (c *committer) complete(g *segment, w *walker, mem *memtable, bad error) error {
	if w.next != g.last.Load()+1 || !errors.Is(bad, errEnd) {
		return damaged(g, w.next, g.last.Load(), w.offset, bad)
	}
	g.mem.Store(mem)
	c.index.addMemtable(mem)
	return nil
}

// cut clears what is after the last good group, if it was never acknowledged: that is so if nothing after it is a group
// of this log, since each was begun only when those before it were durable.
func (c *committer) cut(w *walker, g *segment, bad error) error {
	from, to, err := garbage(w)
	if err != nil || from == to {
		return err
	}
	later, found, err := laterGroup(w, from)
	if err != nil {
		return err
	}
	if found && !c.manifest.Unsafe {
		return damaged(g, w.next, max(w.next, later.watermark), w.offset, bad)
	}
	c.log.Warn("cut off the end of the log, which was never acknowledged", "position", w.next, "segment", g.name(), "byte", from, "bytes", to-from)
	for ; from < to; from += windowSize {
		if _, err := w.file.WriteAt(make([]byte, min(windowSize, to-from)), from); err != nil {
			return fmt.Errorf("clear the end of %s: %w", g.name(), err)
		}
	}
	w.buf = nil
	return nil
}

// garbage finds what is not zero after the last good group.
func garbage(w *walker) (from, to int64, err error) {
	from, to = w.offset, w.offset
	for at := from; at < w.limit; at += windowSize {
		b, err := w.at(at, int(min(windowSize, w.limit-at)))
		if err != nil {
			return 0, 0, err
		}
		if !allZero(b) {
			to = at + int64(len(bytes.TrimRight(b, "\x00")))
		}
	}
	return from, to, nil
}

// laterGroup finds a valid header after the group that should begin at byte from.
func laterGroup(w *walker, from int64) (found group, ok bool, err error) {
	for offset := from; offset < w.limit; offset += windowSize {
		b, err := w.at(offset, int(min(windowSize+groupHeader, w.limit-offset)))
		if err != nil {
			return group{}, false, err
		}
		for at, g := range groupsIn(b, w.id) {
			itself := offset+int64(at) == from || w.offset == 0 && offset+int64(at) == segmentHeader && g.watermark < w.next
			if !itself {
				return g, true, nil
			}
		}
	}
	return group{}, false, nil
}

// groupsIn yields the valid headers in b and where they begin.
func groupsIn(b []byte, id domain.ID) iter.Seq2[int, group] {
	magic := binary.LittleEndian.AppendUint32(nil, groupMagic)
	return func(yield func(int, group) bool) {
		for at := sumSize; ; at++ {
			next := bytes.Index(b[min(at, len(b)):], magic)
			if next < 0 {
				return
			}
			at += next
			if g, err := readGroup(b[at-sumSize:], id); err == nil && !yield(at-sumSize, g) {
				return
			}
		}
	}
}

// resume makes g the active segment, and durable what may only have been in the page cache: after a failed sync the pages
// are marked clean, so that what no later group proves to be on disk has to be written again.
func (c *committer) resume(g *segment, w *walker, mem *memtable, proven int64) error {
	if err := rewrite(w, proven); err != nil {
		return fmt.Errorf("write the end of %s again: %w", g.name(), err)
	}
	if err := c.sync(w.file); err != nil {
		return fmt.Errorf("sync %s: %w", g.name(), err)
	}
	if err := c.sys.SyncDir(segmentFolder); err != nil {
		return fmt.Errorf("sync the folder of the segments: %w", err)
	}
	g.mem.Store(mem)
	c.index.addMemtable(mem)
	c.segment, c.mem, c.file, c.size, c.offset = g, mem, w.file, w.limit, w.offset
	return nil
}

// rewrite writes the bytes from an offset to the last good group again.
func rewrite(w *walker, from int64) error {
	b, err := w.at(from, int(w.offset-from))
	if err != nil {
		return err
	}
	_, err = w.file.WriteAt(b, from)
	return err
}
