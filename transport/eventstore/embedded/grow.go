package embedded

import (
	"fmt"

	"strandline/transport/files"
)

// room makes sure that a group with so many bytes of records, and a watermark after it, fits into the active segment.
func (c *committer) room(bytes int64) error {
	need := segmentHeader + groupHeader + bytes + groupHeader
	if c.segment != nil && c.offset+need <= c.size {
		return nil
	}
	return c.roll(max(need, c.opt.SegmentSize))
}

// roll begins a new segment, or makes the active one larger if nothing is in it yet. Everything before it is durable.
func (c *committer) roll(size int64) error {
	c.flights.landOthers()
	if c.segment != nil && c.segment.first == c.next {
		size = max(size, c.size)
		if err := c.file.Allocate(size); err != nil {
			return fmt.Errorf("enlarge %s: %w", c.segment.name(), full(err))
		}
		c.size = size
		return nil
	}
	if err := c.awaitFlush(); err != nil {
		return err
	}
	g := &segment{first: c.next}
	f, err := c.spare.take(g.name(), size)
	if err != nil {
		return fmt.Errorf("begin %s: %w", g.name(), err)
	}
	c.activate(g, f, size)
	return nil
}

// awaitFlush waits until the index of older segments has left memory, so that it stays small. It fails if there is no
// space for that on the disk.
func (c *committer) awaitFlush() error {
	for {
		changed := c.index.changed.next()
		if _, n := c.index.full(); n < fullMost {
			return nil
		}
		if c.cramped.Load() {
			return fmt.Errorf("write the index of full segments: %w", errFull)
		}
		select {
		case <-changed:
		case <-c.failed:
			return nil
		case <-c.closing:
			return nil
		}
	}
}

// activate makes g, whose file is open already, the segment that groups go to.
func (c *committer) activate(g *segment, f files.File, size int64) {
	mem := newMemtable(g.first)
	g.mem.Store(mem)
	c.segments.add(g, f)
	if c.segment != nil {
		c.segments.release(c.segment)
	}
	c.index.addMemtable(mem)
	c.segment, c.mem, c.file, c.size, c.offset = g, mem, f, size, 0
}
