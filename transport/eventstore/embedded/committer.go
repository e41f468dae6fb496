package embedded

import (
	"encoding/binary"
	"fmt"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/files"
)

// committer builds groups, one after the other. It is the only writer of the log.
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

	out     *flight // the group being built
	flights flights
	leaves  []byte
	scratch []byte

	crowd    int // how many writers there seem to be
	patience *time.Timer
}

const (
	quiet      = 50 * time.Millisecond // after which a watermark is written
	gatherMost = time.Millisecond
	prepare    = 2 * time.Microsecond // about what a caller needs to prepare an append
	crowded    = 128                  // writers, from which on a group is built while another is being written
)

// run commits what is queued until the store closes.
func (c *committer) run() {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	c.patience = time.NewTimer(0)
	defer c.patience.Stop()
	defer c.flights.start(c.Store)()
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

// gather waits a little for those who have just been answered to come back: for all of them, so that they do not form two
// groups that take turns; or, if they are many, for half of them, so that one half can prepare while the other is written.
// It waits no longer than a part of what a sync takes, or what the callers need to prepare.
func (c *committer) gather() {
	want, most := c.crowd, c.flights.took/2
	if c.crowd >= crowded {
		want, most = (c.crowd+1)/2, c.flights.took
	}
	if want < 2 {
		return
	}
	enough := c.queue.ask(want)
	if enough == nil {
		return
	}
	c.patience.Reset(min(max(most, time.Duration(want)*prepare), gatherMost))
	select {
	case <-enough:
	case <-c.patience.C:
	}
}

// work commits the batch that is waiting. A few requests are answered when it returns; many are on their way then.
func (c *committer) work() {
	b := c.queue.take()
	if len(b.requests) == 0 {
		return
	}
	c.crowd = max(len(b.requests)+c.flights.away(), c.crowd*7/8)
	c.out = c.flights.next(b)
	c.heads.trim(len(b.requests)) // what was on its way one flight earlier has landed
	if err := c.build(b); err != nil {
		c.out.spoil(err)
	}
	c.spare.progress(c.offset)
	c.flights.depart(c.out)
}

// build makes a batch a group, or leaves the group empty if nothing is to be written. With errFull nothing has been
// tried, and the same batch may succeed later.
func (c *committer) build(b *batch) error {
	if err := c.Err(); err != nil {
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
	c.finish()
	return nil
}

// begin starts a group in the buffer, with the segment's header before it if it is the first.
func (c *committer) begin() {
	c.leaves = c.leaves[:0]
	c.out.begin(c.file, c.segment.name(), c.size, c.offset, c.next)
	if c.offset == 0 {
		c.out.buf = append(c.out.buf, make([]byte, segmentHeader)...)
		h := segmentStart{first: c.segment.first, ticks: c.ticks, chain: c.chain}
		h.put(c.out.buf, c.manifest.ID)
	}
	c.out.buf = append(c.out.buf, make([]byte, groupHeader)...)
	c.ticks = max(c.ticks, ticksOf(c.opt.Clock()))
}

// admit puts a request's records into the group and the index. They begin at the given revision.
func (c *committer) admit(r *request, revision uint64) {
	r.result = commands.Appended{All: make([]domain.Position, len(r.items))}
	c.mem.mu.Lock()
	defer c.mem.mu.Unlock()
	for i := range r.items {
		position := c.next + uint64(c.out.records)
		offset := uint32(c.offset) + uint32(len(c.out.buf))
		c.put(&r.items[i], r.bytes, position, revision+uint64(i))
		c.mem.add(indexed{offset, uint32(c.offset) + uint32(len(c.out.buf)), r.hash, r.items[i].event, revision + uint64(i)})
		c.out.records++
		r.result.All[i] = positionOf(position)
	}
	n := len(r.items) - 1
	r.result.Revision, r.result.Position = revision+uint64(n), r.result.All[n]
	c.heads.set(r.stream, r.hash, head{r.result.Revision, r.result.Position.Commit})
}

// put completes a record and appends it to the group.
func (c *committer) put(it *item, bytes []byte, position, revision uint64) {
	from := len(c.out.buf)
	c.out.buf = append(c.out.buf, bytes[it.from:it.to]...)
	b := c.out.buf[from:]
	binary.LittleEndian.PutUint64(b[8:], position)
	envelope := b[recordHeader:it.dataAt]
	complete(envelope, revision, c.ticks)
	binary.LittleEndian.PutUint32(b, recordChecksum(it.checksum, b[:it.dataAt]))
	var leaf chain
	leaf, c.scratch = leafHash(c.scratch, envelope, &it.data)
	c.leaves = append(c.leaves, leaf[:]...)
}

// finish completes the group; it needs only be written.
func (c *committer) finish() {
	if c.out.records == 0 {
		c.out.buf = c.out.buf[:0]
		return
	}
	at := 0
	if c.offset == 0 {
		at = segmentHeader
	}
	c.chain = c.chain.next(c.leaves)
	g := group{length: len(c.out.buf) - at - groupHeader, count: c.out.records, first: c.next, watermark: c.next - 1, chain: c.chain}
	g.put(c.out.buf[at:], c.manifest.ID)
	c.offset += int64(len(c.out.buf))
	c.out.pad()
	c.next += uint64(c.out.records)
	c.marked = false
}

// mark writes a watermark, so that a later recovery knows that everything before it was durable (decision 14).
func (c *committer) mark() {
	c.flights.land()
	if c.marked || c.offset == 0 || c.Err() != nil {
		return
	}
	c.out = c.flights.next(newBatch(0))
	c.out.begin(c.file, c.segment.name(), c.size, c.offset, c.next)
	c.out.buf = append(c.out.buf, make([]byte, groupHeader)...)
	g := group{first: c.next, watermark: c.next - 1, chain: c.chain}
	g.put(c.out.buf, c.manifest.ID)
	c.offset += groupHeader
	c.out.pad()
	c.marked = true
	c.flights.depart(c.out)
}

// record reads a record, or one of a group that is being built or written.
func (c *committer) record(position uint64) (domain.Record, error) {
	if position <= c.watermark() {
		return c.Store.record(position)
	}
	f := c.flights.with(position)
	raw, err := cutRecord(f.buf[c.mem.offset(position)-f.offset:], position)
	if err != nil {
		return domain.Record{}, fmt.Errorf("read back position %d: %w", position, err)
	}
	return raw.decode()
}
