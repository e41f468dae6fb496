package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

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
	runs, err := s.openRuns(list)
	if err != nil {
		return nil, err
	}
	s.index = newIndex(runs)
	c := &committer{Store: s, next: 1, marked: true}
	if err := c.loadAll(list, runs); err != nil {
		s.segments.close()
		s.index.close()
		return nil, err
	}
	s.durable.Store(&durable{position: c.next - 1})
	return c, nil
}

// loadAll reads the segments that no run covers, and the last one.
func (c *committer) loadAll(list []*segment, runs []*run) error {
	if len(list) == 0 {
		return nil
	}
	covered := uint64(0)
	if len(runs) > 0 {
		covered = runs[len(runs)-1].last
	}
	last := list[len(list)-1]
	for _, g := range list[:len(list)-1] {
		if g.first <= covered {
			continue
		}
		if err := c.loadFull(g); err != nil {
			return err
		}
	}
	return c.loadLast(last)
}

// loadFull indexes a full segment that has no run. A few wait in memory to be flushed later.
func (c *committer) loadFull(g *segment) error {
	m, err := c.scan(g)
	if err != nil {
		return err
	}
	g.mem.Store(m)
	c.index.addMemtable(m)
	if oldest, n := c.index.full(); n > 1 {
		if err := full(c.flushOne(oldest)); !errors.Is(err, errFull) {
			return err
		} // a full disk is no reason not to start
	}
	return nil
}

// loadLast indexes the last segment, cuts it after what is whole, and makes it the active one.
func (c *committer) loadLast(g *segment) error {
	w, err := c.walker(g)
	if err != nil {
		return err
	}
	mem := newMemtable(g.first)
	proven, marked, bad := w.all(g, func(v visited) { mem.add(c.indexed(v)) })
	if err := c.cut(w, g, bad); err != nil {
		return err
	}
	if w.offset == 0 { // not even the header is there
		if err := c.endOf(c.segments.at(g.first-1), w); err != nil {
			return err
		}
	}
	c.next, c.chain, c.ticks, c.marked = w.next, w.chain, w.ticks, marked
	return c.resume(g, w, mem, proven)
}

// endOf finds out where the chain and the times of a full segment end, for what comes after it.
func (c *committer) endOf(g *segment, after *walker) error {
	if g == nil {
		return nil
	}
	w, err := c.walker(g)
	if err != nil {
		return err
	}
	defer c.segments.release(g)
	_, _, bad := w.all(g, func(visited) {})
	after.chain, after.ticks = w.chain, w.ticks
	return w.complete(g, bad)
}

func (s *Store) indexed(v visited) indexed {
	hash := s.hash(string(v.stream))
	return indexed{v.offset, v.end, hash, eventHash(hash, v.id), v.revision}
}

// openRuns opens the runs that cover the log from its start, the largest that there are, and removes the others. What is
// missing between them, or cannot be used, is made anew from the segments.
func (s *Store) openRuns(list []*segment) ([]*run, error) {
	names, err := s.sys.List(indexFolder)
	if errors.Is(err, fs.ErrNotExist) {
		err = s.sys.MkdirAll(indexFolder)
	}
	if err != nil {
		return nil, fmt.Errorf("list the index: %w", err)
	}
	lasts, end := map[uint64][]uint64{}, uint64(0) // first position of a run → last ones
	for _, name := range names {
		if first, last, ok := parseRunName(name); ok {
			lasts[first] = append(lasts[first], last)
			end = max(end, last)
		}
	}
	if end > 0 && (len(list) == 0 || end >= list[len(list)-1].first) {
		return nil, fmt.Errorf("%w: the index knows positions up to %d, but the segments after some of them are missing", domain.ErrDamaged, end)
	}
	var runs []*run
	for _, g := range list[:max(0, len(list)-1)] {
		if g.first > end || len(runs) > 0 && g.first <= runs[len(runs)-1].last {
			continue
		}
		r := s.openLargest(g.first, lasts[g.first], list)
		if r == nil {
			if r, err = s.indexAnew(g); err != nil {
				return nil, err
			}
		}
		runs = append(runs, r)
	}
	return runs, s.clean(names, runs)
}

// indexAnew makes the run and the table of a full segment.
func (s *Store) indexAnew(g *segment) (*run, error) {
	s.log.Warn("a segment is indexed anew", "segment", g.name())
	m, err := s.scan(g)
	if err != nil {
		return nil, err
	}
	return s.writeIndex(m)
}

// openLargest opens the largest good run that begins at first and ends with a full segment.
func (s *Store) openLargest(first uint64, lasts []uint64, list []*segment) *run {
	slices.Sort(lasts)
	for _, last := range slices.Backward(lasts) {
		if !slices.ContainsFunc(list, func(g *segment) bool { return g.last.Load() == last }) {
			continue
		}
		r, err := openRun(s.sys, first, last)
		if err == nil {
			return r
		}
		s.log.Error("a run of the index is damaged and will be made anew", "file", runName(first, last), "cause", err.Error())
	}
	return nil
}

// clean removes what is left in the index of merges and of writes that were not finished.
func (s *Store) clean(names []string, runs []*run) error {
	for _, name := range names {
		_, _, isRun := parseRunName(name)
		used := slices.ContainsFunc(runs, func(r *run) bool { return r.name() == indexFolder+"/"+name })
		if isRun && !used || strings.HasSuffix(name, newSuffix) {
			if err := s.sys.Remove(indexFolder + "/" + name); err != nil {
				return fmt.Errorf("clean the index: %w", err)
			}
		}
	}
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
	c.extent.Store(c.offset)
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
