package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/files"
)

// committer writes groups, one after the other. It is the only writer of the log.
type committer struct {
	*Store

	segment *segment // the active one, nil before the first group
	mem     *memtable
	file    files.File
	size    int64 // of its file
	offset  int64 // where the next group goes
	next    uint64
	ticks   int64 // time of the last record
	chain   chain
	marked  bool // the log ends with a watermark, so none is needed

	buf     []byte // the group being built
	records int    // how many are in it
	leaves  []byte
	scratch []byte

	expected [2]int        // how many requests the last two groups answered
	took     time.Duration // how long the last write and sync took
	patience *time.Timer
}

const (
	quiet   = 50 * time.Millisecond // after which a watermark is written
	keepBuf = 1 << 20               // a larger buffer is not kept

	gatherMost = time.Millisecond
)

// run commits what is queued until the store closes.
func (c *committer) run() {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	c.patience = time.NewTimer(0)
	defer c.patience.Stop()
	for {
		select {
		case <-c.queue.ready:
			c.gather()
			c.work()
			timer.Reset(quiet)
		case <-timer.C:
			c.mark()
		case <-c.closing:
			c.work()
			c.mark()
			if c.segment != nil {
				c.segments.release(c.segment)
			}
			return
		}
	}
}

// gather waits a little for those who have just been answered to come back, so that they do not form two groups that take
// turns. It waits no longer than half of what a sync takes.
func (c *committer) gather() {
	want := max(c.expected[0], c.expected[1])
	if want < 2 {
		return
	}
	enough := c.queue.ask(want)
	if enough == nil {
		return
	}
	c.patience.Reset(min(c.took/2, gatherMost))
	select {
	case <-enough:
	case <-c.patience.C:
	}
}

// work commits and answers the batch that is waiting.
func (c *committer) work() {
	b := c.queue.take()
	if err := c.commit(b); err != nil {
		if !errors.Is(err, errFull) { // which comes before anything is written
			err = c.fail(err)
		}
		for _, r := range b.requests {
			r.result, r.err = commands.Appended{}, err
		}
	}
	close(b.done)
	c.expected[0], c.expected[1] = len(b.requests), c.expected[0]
}

// commit makes a batch durable as one group. With an error nothing of it is; with errFull nothing has been tried, and
// the same batch may succeed later.
func (c *committer) commit(b *batch) error {
	if err := c.Err(); err != nil || len(b.requests) == 0 {
		return err
	}
	if err := c.room(int64(b.bytes)); err != nil {
		return err
	}
	c.begin()
	for _, r := range b.requests {
		if next, ok := c.decide(r); ok {
			c.admit(r, next)
		}
	}
	if c.records == 0 {
		return nil
	}
	return c.finish()
}

// begin starts a group in the buffer, with the segment's header before it if it is the first.
func (c *committer) begin() {
	c.buf, c.leaves, c.records = c.buf[:0], c.leaves[:0], 0
	if c.offset == 0 {
		c.buf = append(c.buf, make([]byte, segmentHeader)...)
		h := segmentStart{first: c.segment.first, ticks: c.ticks, chain: c.chain}
		h.put(c.buf, c.manifest.ID)
	}
	c.buf = append(c.buf, make([]byte, groupHeader)...)
	c.ticks = max(c.ticks, ticksOf(c.opt.Clock()))
}

// admit puts a request's records into the group and the index. They begin at the given revision.
func (c *committer) admit(r *request, revision uint64) {
	r.result = commands.Appended{All: make([]domain.Position, len(r.items))}
	c.mem.mu.Lock()
	defer c.mem.mu.Unlock()
	for i := range r.items {
		position := c.next + uint64(c.records)
		offset := uint32(c.offset) + uint32(len(c.buf))
		c.put(&r.items[i], r.bytes, position, revision+uint64(i))
		c.mem.add(indexed{offset, uint32(c.offset) + uint32(len(c.buf)), r.hash, r.items[i].event, revision + uint64(i)})
		c.records++
		r.result.All[i] = positionOf(position)
	}
	n := len(r.items) - 1
	r.result.Revision, r.result.Position = revision+uint64(n), r.result.All[n]
	c.heads.set(r.stream, r.hash, head{r.result.Revision, r.result.Position.Commit})
}

// put completes a record and appends it to the group.
func (c *committer) put(it *item, bytes []byte, position, revision uint64) {
	from := len(c.buf)
	c.buf = append(c.buf, bytes[it.from:it.to]...)
	b := c.buf[from:]
	binary.LittleEndian.PutUint64(b[8:], position)
	envelope := b[recordHeader:it.dataAt]
	complete(envelope, revision, c.ticks)
	binary.LittleEndian.PutUint32(b, recordChecksum(it.checksum, b[:it.dataAt]))
	var leaf chain
	leaf, c.scratch = leafHash(c.scratch, envelope, &it.data)
	c.leaves = append(c.leaves, leaf[:]...)
}

// finish writes the group, moves the watermark and wakes the followers.
func (c *committer) finish() error {
	at := 0
	if c.offset == 0 {
		at = segmentHeader
	}
	g := group{
		length: len(c.buf) - at - groupHeader, count: c.records, first: c.next,
		watermark: c.next - 1, chain: c.chain.next(c.leaves),
	}
	g.put(c.buf[at:], c.manifest.ID)
	if err := c.write(); err != nil {
		return err
	}
	c.next += uint64(c.records)
	c.chain, c.marked = g.chain, false
	c.durable.Store(&durable{position: c.next - 1})
	c.grown.happened()
	c.heads.trim(c.records)
	c.spare.progress(c.offset)
	return nil
}

// write makes the buffer durable at the end of the log.
func (c *committer) write() error {
	begin := time.Now()
	if _, err := c.file.WriteAt(c.buf, c.offset); err != nil {
		return fmt.Errorf("write %s: %w", c.segment.name(), err)
	}
	if err := c.sync(c.file); err != nil {
		return fmt.Errorf("sync %s: %w", c.segment.name(), err)
	}
	c.took = time.Since(begin)
	c.offset += int64(len(c.buf))
	c.groups.Add(1)
	if cap(c.buf) > keepBuf {
		c.buf = nil
	}
	return nil
}

// sync makes a file durable, unless the store was told not to.
func (s *Store) sync(f files.File) error {
	if s.opt.NoSync {
		return nil
	}
	return f.Sync()
}

// mark writes a watermark, so that a later recovery knows that everything before it was durable (decision 14).
func (c *committer) mark() {
	if c.marked || c.offset == 0 || c.Err() != nil {
		return
	}
	c.buf = append(c.buf[:0], make([]byte, groupHeader)...)
	g := group{first: c.next, watermark: c.next - 1, chain: c.chain}
	g.put(c.buf, c.manifest.ID)
	if err := c.write(); err != nil {
		c.fail(err)
		return
	}
	c.marked = true
}

// record reads a record, one of the group being built among them.
func (c *committer) record(position uint64) (domain.Record, error) {
	if position < c.next {
		return c.Store.record(position)
	}
	raw, err := cutRecord(c.buf[c.mem.offset(position)-c.offset:], position)
	if err != nil {
		return domain.Record{}, fmt.Errorf("read back position %d: %w", position, err)
	}
	return raw.decode()
}
