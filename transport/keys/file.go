package keys

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"strandline/domain"
)

const (
	rootFile      = "root.key"
	subjectsFile  = "subjects"
	subjectsMagic = "strandline keys\x01"
	groupMagic    = "SKG1"
	groupHeader   = 4 + 4 + 8 + 4

	keySize     = 32
	nonceSize   = 12
	tagSize     = 16
	wrappedSize = nonceSize + keySize + tagSize
	maxOwner    = 255
)

// The kinds of entry.
const (
	kindKey       = 1
	kindDestroyed = 2
)

// entry is one line of the file.
type entry struct {
	kind  byte
	id    uint64
	owner string
	box   [wrappedSize]byte // of a key
}

// wholeFile is a file of one group.
func wholeFile(entries []entry) []byte { return appendGroup([]byte(subjectsMagic), 0, entries) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendGroup appends entries as one group, written to a file of which the first durable bytes are known to be on disk.
func appendGroup(dst []byte, durable int64, entries []entry) []byte {
	start := len(dst)
	dst = append(dst, groupMagic...)
	dst = append(dst, make([]byte, groupHeader-len(groupMagic))...)
	for _, e := range entries {
		dst = append(dst, e.kind)
		dst = binary.LittleEndian.AppendUint64(dst, e.id)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(e.owner)))
		dst = append(dst, e.owner...)
		if e.kind == kindKey {
			dst = append(dst, e.box[:]...)
		}
	}
	group := dst[start:]
	binary.LittleEndian.PutUint32(group[4:], uint32(len(group)-groupHeader))
	binary.LittleEndian.PutUint64(group[8:], uint64(durable))
	binary.LittleEndian.PutUint32(group[16:], checksum(group))
	return dst
}

func checksum(group []byte) uint32 {
	return crc32.Update(crc32.Checksum(group[4:16], castagnoli), castagnoli, group[groupHeader:])
}

// groupAt returns the group that data begins with, and what it says was durable before it.
func groupAt(data []byte) (group []byte, durable int64, ok bool) {
	if len(data) < groupHeader || string(data[:4]) != groupMagic {
		return nil, 0, false
	}
	length := uint64(binary.LittleEndian.Uint32(data[4:]))
	if length > uint64(len(data)-groupHeader) {
		return nil, 0, false
	}
	group = data[:groupHeader+length]
	if checksum(group) != binary.LittleEndian.Uint32(group[16:]) {
		return nil, 0, false
	}
	return group, int64(binary.LittleEndian.Uint64(group[8:])), true
}

// scan reads a file from an offset on, at which a group begins, or the file itself: the entries, and the size of the file
// as far as it is good. It fails if what is bad was durable.
func scan(data []byte, offset int64) (entries []entry, size int64, err error) {
	at := 0
	if offset == 0 {
		if !bytes.HasPrefix(data, []byte(subjectsMagic)) {
			return nil, 0, damaged(0)
		}
		at = len(subjectsMagic)
	}
	for at < len(data) {
		group, _, ok := groupAt(data[at:])
		if !ok && (offset+int64(at) == int64(len(subjectsMagic)) || durableBeyond(data, at, offset)) {
			return nil, 0, damaged(offset + int64(at))
		}
		if !ok {
			break
		}
		if entries, ok = appendEntries(entries, group[groupHeader:]); !ok {
			return nil, 0, damaged(offset + int64(at))
		}
		at += len(group)
	}
	return entries, offset + int64(at), nil
}

// durableBeyond tells whether a group after the bad one at data[at] says that more than what is before that was durable.
// Data is that of the file from offset on.
func durableBeyond(data []byte, at int, offset int64) bool {
	for {
		next := bytes.Index(data[at+1:], []byte(groupMagic))
		if next < 0 {
			return false
		}
		bad := offset + int64(at)
		at += 1 + next
		if _, durable, ok := groupAt(data[at:]); ok && durable > bad {
			return true
		}
	}
}

func damaged(at int64) error {
	return fmt.Errorf("%w: the file of keys is bad at byte %d, keys would be lost: restore %s from its backup",
		domain.ErrDamaged, at, subjectsFile)
}

// appendEntries takes the entries of a group apart.
func appendEntries(entries []entry, data []byte) ([]entry, bool) {
	const fixed = 1 + 8 + 2
	for len(data) > 0 {
		if len(data) < fixed {
			return nil, false
		}
		e := entry{kind: data[0], id: binary.LittleEndian.Uint64(data[1:])}
		length := int(binary.LittleEndian.Uint16(data[9:]))
		data = data[fixed:]
		if len(data) < length {
			return nil, false
		}
		e.owner, data = string(data[:length]), data[length:]
		if e.kind == kindKey {
			if len(data) < wrappedSize {
				return nil, false
			}
			data = data[copy(e.box[:], data):]
		}
		entries = append(entries, e)
	}
	return entries, true
}
