package series

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"

	"strandline/domain"
	"strandline/readmodels"
)

// errDamaged is met where a block is not what was written.
var errDamaged = fmt.Errorf("%w: a block of samples", readmodels.ErrDamaged)

// A block is a byte of flags, the number of samples, and columns: times, positions, what the flags say, lengths of
// values, values. Times and positions are differences to the sample before.
const (
	hasTimeless = 1 << iota // bits that mark the samples without a time
	hasPrepare              // differences between the halves of positions
	hasIndex
	hasSeries
	isCompressed // everything after the flags is a zstd frame
	plainFlags   = isCompressed - 1
)

// blocks encodes and decodes blocks. Decoding may go on in many goroutines at once, encoding in one.
type blocks struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	plain   []byte
}

// largestBlock bounds what a damaged block can make the decoder allocate.
const largestBlock = 256 << 20

func newBlocks() *blocks {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(largestBlock))
	if err != nil {
		panic(err)
	}
	return &blocks{encoder: encoder, decoder: decoder}
}

// encode appends the block of entries to dst.
func (b *blocks) encode(dst []byte, entries []entry, compress bool) []byte {
	if !compress {
		return appendBlock(dst, entries)
	}
	b.plain = appendBlock(b.plain[:0], entries)
	start := len(dst)
	dst = append(dst, b.plain[0]|isCompressed)
	dst = b.encoder.EncodeAll(b.plain[1:], dst)
	if len(dst)-start >= len(b.plain) {
		dst = append(dst[:start], b.plain...)
	}
	if cap(b.plain) > 1<<20 {
		b.plain = nil
	}
	return dst
}

func appendBlock(dst []byte, entries []entry) []byte {
	flags := flagsOf(entries)
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(len(entries)))
	dst = appendTimes(dst, entries, flags&hasTimeless != 0)
	dst = appendPositions(dst, entries, flags&hasPrepare != 0)
	if flags&hasIndex != 0 {
		for i := range entries {
			dst = binary.AppendUvarint(dst, uint64(entries[i].index))
		}
	}
	if flags&hasSeries != 0 {
		for i := range entries {
			dst = binary.AppendUvarint(dst, uint64(entries[i].series))
		}
	}
	for i := range entries {
		dst = binary.AppendUvarint(dst, uint64(len(entries[i].value)))
	}
	for i := range entries {
		dst = append(dst, entries[i].value...)
	}
	return dst
}

// flagsOf tells which columns are needed.
func flagsOf(entries []entry) (flags byte) {
	for i := range entries {
		e := &entries[i]
		if e.timeless {
			flags |= hasTimeless
		}
		if e.position.Commit != e.position.Prepare {
			flags |= hasPrepare
		}
		if e.index != 0 {
			flags |= hasIndex
		}
		if e.series != 0 {
			flags |= hasSeries
		}
	}
	return flags
}

func appendTimes(dst []byte, entries []entry, marks bool) []byte {
	if marks {
		start := len(dst)
		dst = append(dst, make([]byte, (len(entries)+7)/8)...)
		for i := range entries {
			if entries[i].timeless {
				dst[start+i/8] |= 1 << (i % 8)
			}
		}
	}
	before := int64(0)
	for i := range entries {
		dst = binary.AppendVarint(dst, entries[i].time-before)
		before = entries[i].time
	}
	return dst
}

func appendPositions(dst []byte, entries []entry, pairs bool) []byte {
	before := uint64(0)
	for i := range entries {
		dst = binary.AppendVarint(dst, int64(entries[i].position.Commit-before))
		before = entries[i].position.Commit
	}
	if pairs {
		for i := range entries {
			dst = binary.AppendVarint(dst, int64(entries[i].position.Prepare-entries[i].position.Commit))
		}
	}
	return dst
}

// decode appends the samples of block to dst. Their values lie in block unless it is compressed.
func (b *blocks) decode(dst []entry, block []byte) ([]entry, error) {
	if len(block) == 0 || block[0]&isCompressed == 0 {
		return decodePlain(dst, block)
	}
	plain, err := b.plainOf(nil, block)
	if err != nil {
		return dst, err
	}
	return decodePlain(dst, plain)
}

// plainOf appends the plain form of a block to dst.
func (b *blocks) plainOf(dst, block []byte) ([]byte, error) {
	if len(block) == 0 || block[0]&isCompressed == 0 {
		return append(dst, block...), nil
	}
	dst = append(dst, block[0]&^isCompressed)
	plain, err := b.decoder.DecodeAll(block[1:], dst)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return plain, nil
}

// decodePlain appends the samples of plain blocks that lie one after the other.
func decodePlain(dst []entry, blocks []byte) ([]entry, error) {
	first := len(dst)
	for r := (columns{rest: blocks}); len(r.rest) > 0; {
		flags := r.rest[0]
		r.rest = r.rest[1:]
		if flags&^byte(plainFlags) != 0 {
			return dst[:first], fmt.Errorf("%w: unknown flags %#x", errDamaged, flags)
		}
		if dst = r.decode(dst, flags); r.broken {
			return dst[:first], fmt.Errorf("%w: it is cut", errDamaged)
		}
	}
	return dst, nil
}

// columns reads the columns of a block, one after the other.
type columns struct {
	rest   []byte
	broken bool
}

func (c *columns) decode(dst []entry, flags byte) []entry {
	n := c.uvarint()
	if n > uint64(len(c.rest)/3) { // each sample takes three bytes or more
		c.broken = true
		return dst
	}
	first := len(dst)
	dst = slices.Grow(dst, int(n))[:first+int(n)]
	entries := dst[first:]
	clear(entries)
	c.times(entries, flags&hasTimeless != 0)
	c.positions(entries, flags&hasPrepare != 0)
	if flags&hasIndex != 0 {
		for i := range entries {
			entries[i].index = c.length(math.MaxInt)
		}
	}
	if flags&hasSeries != 0 {
		for i := range entries {
			entries[i].series = int64(c.length(math.MaxInt))
		}
	}
	c.values(entries)
	return dst
}

func (c *columns) times(entries []entry, marks bool) {
	if marks {
		bits := c.take((len(entries) + 7) / 8)
		for i := range entries {
			entries[i].timeless = !c.broken && bits[i/8]&(1<<(i%8)) != 0
		}
	}
	before := int64(0)
	for i := range entries {
		before += c.varint()
		entries[i].time = before
	}
}

func (c *columns) positions(entries []entry, pairs bool) {
	before := uint64(0)
	for i := range entries {
		before += uint64(c.varint())
		entries[i].position = domain.Position{Commit: before, Prepare: before}
	}
	if pairs {
		for i := range entries {
			entries[i].position.Prepare += uint64(c.varint())
		}
	}
}

func (c *columns) values(entries []entry) {
	lengths := *c
	for range entries {
		c.uvarint()
	}
	for i := range entries {
		entries[i].value = c.take(lengths.length(len(c.rest)))
	}
	c.broken = c.broken || lengths.broken
}

// take is the next n bytes, nil if there are not so many.
func (c *columns) take(n int) []byte {
	if n > len(c.rest) {
		c.broken = true
	}
	if c.broken {
		return nil
	}
	taken := c.rest[:n:n]
	c.rest = c.rest[n:]
	return taken
}

// length is the next number, at most limit.
func (c *columns) length(limit int) int {
	n := c.uvarint()
	if n > uint64(limit) {
		c.broken = true
		return 0
	}
	return int(n)
}

func (c *columns) uvarint() uint64 {
	if len(c.rest) > 0 && c.rest[0] < 0x80 {
		v := c.rest[0]
		c.rest = c.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.broken, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *columns) varint() int64 {
	u := c.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}
