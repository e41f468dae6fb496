package embedded

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"strandline/domain"
	"strandline/transport/files"
)

// A segment is a file that begins with a header of 64 bytes; groups follow, and zeros after the last one.
//
//	 0  4  checksum, as of a group's header
//	 4  4  segmentMagic
//	 8  4  format, 1
//	12  4  zero
//	16  8  position of the first record
//	24  8  time of the record before it, in steps of 100 ns since 1970
//	32 32  chain before it
const (
	segmentFolder = "segments"
	segmentSuffix = ".segment"
	segmentHeader = 64
	segmentMagic  = 0x8153_4c53
	segmentMax    = 1 << 31 // offsets are kept in 32 bits
)

type segmentStart struct {
	first uint64
	ticks int64
	chain chain
}

func (h *segmentStart) put(b []byte, id domain.ID) {
	clear(b[:segmentHeader])
	binary.LittleEndian.PutUint32(b[4:], segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], format)
	binary.LittleEndian.PutUint64(b[16:], h.first)
	binary.LittleEndian.PutUint64(b[24:], uint64(h.ticks))
	copy(b[32:], h.chain[:])
	binary.LittleEndian.PutUint32(b, headerChecksum(id, b[:segmentHeader]))
}

func readSegmentStart(b []byte, id domain.ID) (segmentStart, error) {
	if len(b) < segmentHeader || binary.LittleEndian.Uint32(b[4:]) != segmentMagic {
		return segmentStart{}, fmt.Errorf("the file does not begin as a segment does")
	}
	if headerChecksum(id, b[:segmentHeader]) != binary.LittleEndian.Uint32(b) {
		return segmentStart{}, fmt.Errorf("the checksum of the segment's header is wrong")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != format {
		return segmentStart{}, fmt.Errorf("the segment is in format %d", v)
	}
	return segmentStart{
		first: binary.LittleEndian.Uint64(b[16:]),
		ticks: int64(binary.LittleEndian.Uint64(b[24:])),
		chain: chain(b[32:segmentHeader]),
	}, nil
}

// segment is one file of the log.
type segment struct {
	first uint64
	last  atomic.Uint64 // its last position once it is full; until then 0
	mem   atomic.Pointer[memtable]
	table atomic.Pointer[offsetTable] // has the offsets once mem is gone

	handle // of its file, guarded by the catalogue
}

// handle is a file that is opened when it is needed.
type handle struct {
	file files.File // nil while it is closed
	refs int        // how many use it
	used uint64     // when it was taken last, by the clock of the catalogue
}

func segmentName(first uint64) string {
	return fmt.Sprintf("%s/%020d%s", segmentFolder, first, segmentSuffix)
}

func (g *segment) name() string { return segmentName(g.first) }

// count is how many records a full segment holds.
func (g *segment) count() int { return int(g.last.Load() - g.first + 1) }

// listSegments finds the segments that are there, in order.
func listSegments(sys files.System) ([]*segment, error) {
	names, err := sys.List(segmentFolder)
	if err != nil {
		return nil, fmt.Errorf("list the segments: %w", err)
	}
	var found []*segment
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, segmentSuffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && first > 0 {
			found = append(found, &segment{first: first})
		}
	}
	slices.SortFunc(found, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	for i := 1; i < len(found); i++ {
		found[i-1].last.Store(found[i].first - 1)
	}
	if len(found) > 0 && found[0].first != 1 {
		return nil, fmt.Errorf("%w: positions 1 to %d: the segments that held them are missing", domain.ErrDamaged, found[0].first-1)
	}
	return found, nil
}

// catalogue knows the segments, in the order of their positions, and keeps some of their files open.
type catalogue struct {
	sys files.System

	mu   sync.RWMutex
	list []*segment

	filesMu sync.Mutex
	open    int
	clock   uint64
	closed  bool
}

// maxOpen is how many segment files stay open for reading.
const maxOpen = 128

// at finds the segment that holds position, nil if there is none.
func (c *catalogue) at(position uint64) *segment {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i := sort.Search(len(c.list), func(i int) bool { return c.list[i].first > position })
	if i == 0 {
		return nil
	}
	return c.list[i-1]
}

// all returns the segments of the moment.
func (c *catalogue) all() []*segment {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.list)
}

// add puts a new segment at the end, with its open file, as if that had been acquired; the one before it is full.
func (c *catalogue) add(g *segment, f files.File) {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	g.handle = handle{file: f, refs: 1, used: c.clock}
	c.open++
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.list); n > 0 {
		c.list[n-1].last.Store(g.first - 1)
	}
	c.list = append(c.list, g)
}

// acquire gives the open file of a segment. It has to be released.
func (c *catalogue) acquire(g *segment) (files.File, error) {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	c.clock++
	g.used = c.clock
	g.refs++ // first, so that making room for its file does not close it
	if g.file != nil {
		return g.file, nil
	}
	f, err := c.sys.Open(g.name(), false)
	if err != nil {
		g.refs--
		return nil, fmt.Errorf("open %s: %w", g.name(), err)
	}
	g.file = f
	if c.open++; c.open > maxOpen {
		c.closeOldest()
	}
	return f, nil
}

func (c *catalogue) release(g *segment) {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	g.refs--
	if c.closed && g.refs == 0 {
		c.forget(g)
	}
}

// closeOldest closes the file that nobody has used for the longest time.
func (c *catalogue) closeOldest() {
	var oldest *segment
	for _, g := range c.all() {
		if g.file != nil && g.refs == 0 && (oldest == nil || g.used < oldest.used) {
			oldest = g
		}
	}
	if oldest != nil {
		c.closeFile(oldest)
	}
}

func (c *catalogue) closeFile(g *segment) {
	g.file.Close() // nothing was written through it that is not synced or given up
	g.file = nil
	c.open--
}

// close closes all files, those in use when they are released.
func (c *catalogue) close() {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	c.closed = true
	for _, g := range c.all() {
		if g.refs == 0 {
			c.forget(g)
		}
	}
}

// forget closes all that a segment has open.
func (c *catalogue) forget(g *segment) {
	if g.file != nil {
		c.closeFile(g)
	}
	if t := g.table.Swap(nil); t != nil {
		t.close() // it was only read
	}
}
