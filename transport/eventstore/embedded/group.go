package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"strandline/domain"
)

// A group is what one write and one sync made durable: a header of 64 bytes and its records. A group without records is a
// watermark: it says how far the log was durable when there was nothing more to write.
//
//	 0  4  checksum: CRC-32C of the store's id, continued over the header's bytes from 4 to 64
//	 4  4  groupMagic; its highest bit is set, which no record's length has
//	 8  4  length of the records, without this header
//	12  4  number of records
//	16  8  position of the first record; of a watermark, the position that comes next
//	24  8  durable watermark: the last position that was durable before this group was written
//	32 32  chain: SHA-256(chain before ‖ leaf hash of each record)
//
// The store's id is part of the checksum so that bytes which a client had stored are never taken for a header.
const (
	groupHeader = 64
	groupMagic  = 0x8147_4c53
)

type chain [sha256.Size]byte

type group struct {
	length    int
	count     int
	first     uint64
	watermark uint64
	chain     chain
}

func (g *group) put(b []byte, id domain.ID) {
	binary.LittleEndian.PutUint32(b[4:], groupMagic)
	binary.LittleEndian.PutUint32(b[8:], uint32(g.length))
	binary.LittleEndian.PutUint32(b[12:], uint32(g.count))
	binary.LittleEndian.PutUint64(b[16:], g.first)
	binary.LittleEndian.PutUint64(b[24:], g.watermark)
	copy(b[32:], g.chain[:])
	binary.LittleEndian.PutUint32(b, headerChecksum(id, b[:groupHeader]))
}

// readGroup reads the header at the start of b.
func readGroup(b []byte, id domain.ID) (group, error) {
	if len(b) < groupHeader {
		return group{}, fmt.Errorf("only %d bytes where a group should begin", len(b))
	}
	if !isGroup(b) {
		return group{}, fmt.Errorf("no group begins there")
	}
	if headerChecksum(id, b[:groupHeader]) != binary.LittleEndian.Uint32(b) {
		return group{}, fmt.Errorf("the checksum of a group's header is wrong")
	}
	return group{
		length:    int(binary.LittleEndian.Uint32(b[8:])),
		count:     int(binary.LittleEndian.Uint32(b[12:])),
		first:     binary.LittleEndian.Uint64(b[16:]),
		watermark: binary.LittleEndian.Uint64(b[24:]),
		chain:     chain(b[32:groupHeader]),
	}, nil
}

// isGroup tells a group's header from a record.
func isGroup(b []byte) bool { return binary.LittleEndian.Uint32(b[4:]) == groupMagic }

// headerChecksum is the checksum of a header that only this store could have written.
func headerChecksum(id domain.ID, header []byte) uint32 {
	return crc32.Update(crc32.Checksum(id[:], castagnoli), castagnoli, header[sumSize:])
}

// next is the chain after one more group. Leaves are the hashes of its records, one after the other.
func (c chain) next(leaves []byte) chain {
	h := sha256.New()
	h.Write(c[:])
	h.Write(leaves)
	return chain(h.Sum(nil))
}
