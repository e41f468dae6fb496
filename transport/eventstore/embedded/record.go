package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"strandline/domain"
)

// A record on disk: a header of 24 bytes, the envelope, the data. Numbers are little-endian.
//
//	 0  4  checksum: CRC-32C of the data, continued over the bytes from 4 to the end of the envelope
//	 4  4  length of the record, header included; the highest bit is clear
//	 8  8  position
//	16  4  flags
//	20  4  length of the envelope
const recordHeader = 24

// Flags of a record. The others are zero.
const flagEnd = 1 // the last record of its append

const sumSize = 4 // bytes of a checksum

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordChecksum continues the checksum of a record's data over its header and envelope.
func recordChecksum(data uint32, headerAndEnvelope []byte) uint32 {
	return crc32.Update(data, castagnoli, headerAndEnvelope[sumSize:])
}

// leafHash is what the chain is made of: SHA-256(envelope ‖ SHA-256(data)) (decision 3). It uses scratch and returns it.
func leafHash(scratch, envelope []byte, data *[sha256.Size]byte) ([sha256.Size]byte, []byte) {
	scratch = append(append(scratch[:0], envelope...), data[:]...)
	return sha256.Sum256(scratch), scratch
}

// record is a record's bytes, checked.
type record []byte

func (r record) position() uint64 { return binary.LittleEndian.Uint64(r[8:]) }
func (r record) ends() bool       { return binary.LittleEndian.Uint32(r[16:])&flagEnd != 0 }
func (r record) envelope() []byte { return r[recordHeader:r.dataAt()] }
func (r record) data() []byte     { return r[r.dataAt():len(r):len(r)] }
func (r record) dataAt() int      { return recordHeader + int(binary.LittleEndian.Uint32(r[20:])) }

// cutRecord takes the record at the start of b, which must be at position, and checks it.
func cutRecord(b []byte, position uint64) (record, error) {
	if len(b) < recordHeader {
		return nil, fmt.Errorf("only %d bytes where a record should begin", len(b))
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if length < recordHeader+envelopeMin || uint64(length) > uint64(len(b)) {
		return nil, fmt.Errorf("a record cannot be %d bytes long here", length)
	}
	r := record(b[:length:length])
	if envelope := binary.LittleEndian.Uint32(r[20:]); envelope < envelopeMin || envelope > length-recordHeader {
		return nil, fmt.Errorf("an envelope cannot be %d bytes long here", envelope)
	}
	if recordChecksum(crc32.Checksum(r.data(), castagnoli), r[:r.dataAt()]) != binary.LittleEndian.Uint32(r) {
		return nil, fmt.Errorf("the checksum of a record is wrong")
	}
	if r.position() != position {
		return nil, fmt.Errorf("the record there has position %d", r.position())
	}
	return r, nil
}

// decode turns a record into what the port speaks of. The data is not copied.
func (r record) decode() (domain.Record, error) {
	e, err := decodeEnvelope(r.envelope())
	return domain.Record{Position: positionOf(r.position()), Envelope: e, Data: r.data()}, err
}

// positionOf is the public form of a position: both halves are the same.
func positionOf(p uint64) domain.Position { return domain.Position{Commit: p, Prepare: p} }
