package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"runtime/debug"
	"sort"

	"strandline/transport/files"
)

// A table of offsets says where each record of a full segment begins: a header of 24 bytes, then four bytes a record.
//
//	 0  4  checksum: CRC-32C of all that follows
//	 4  4  tableMagic
//	 8  8  first position
//	16  4  number of records
//	20  4  where the last record ends
const (
	tableSuffix = ".offsets"
	tableMagic  = 0x814f_4c53
	tableHeader = 24
)

func tableName(first uint64) string {
	return fmt.Sprintf("%s/%020d%s", indexFolder, first, tableSuffix)
}

// offsetTable is an open table.
type offsetTable struct {
	first uint64
	count int
	bytes []byte // mapped
	close func() error
}

// writeTable writes the table of a full segment durably, but for its name.
func (s *Store) writeTable(m *memtable) error {
	m.mu.RLock()
	b := make([]byte, tableHeader, tableHeader+4*len(m.offsets))
	binary.LittleEndian.PutUint32(b[4:], tableMagic)
	binary.LittleEndian.PutUint64(b[8:], m.first)
	binary.LittleEndian.PutUint32(b[16:], uint32(len(m.offsets)))
	binary.LittleEndian.PutUint32(b[20:], m.end)
	for _, offset := range m.offsets {
		b = binary.LittleEndian.AppendUint32(b, offset)
	}
	m.mu.RUnlock()
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[sumSize:], castagnoli))
	name := tableName(m.first)
	if err := writeFile(s.sys, name+newSuffix, b); err != nil {
		return err
	}
	return s.sys.Rename(name+newSuffix, name)
}

// openTable maps the table of a segment with count records and checks it.
func openTable(sys files.System, first uint64, count int) (*offsetTable, error) {
	t := &offsetTable{first: first, count: count}
	var err error
	if t.bytes, t.close, err = mapFile(sys, tableName(first)); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// check compares the checksum, and the header with what the table should be.
func (t *offsetTable) check() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer faultless(&err)
	b := t.bytes
	if len(b) != tableHeader+4*t.count || crc32.Checksum(b[sumSize:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return errChecksum
	}
	if binary.LittleEndian.Uint32(b[4:]) != tableMagic || binary.LittleEndian.Uint64(b[8:]) != t.first || int(binary.LittleEndian.Uint32(b[16:])) != t.count {
		return errors.New("it is the table of another segment")
	}
	return nil
}

func (t *offsetTable) at(index int) int64 {
	if index == t.count {
		return int64(binary.LittleEndian.Uint32(t.bytes[20:]))
	}
	return int64(binary.LittleEndian.Uint32(t.bytes[tableHeader+4*index:]))
}

// span implements spanner.
func (t *offsetTable) span(first, last uint64, size int64) (from, to int64, upTo uint64, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer faultless(&err)
	from, to, upTo = spanOf(t.at, int(first-t.first), int(last-t.first), size, t.first)
	return from, to, upTo, nil
}

// spanOf implements span over a table of offsets; at also takes the index past the last record, which gives its end.
func spanOf(at func(index int) int64, first, last int, size int64, base uint64) (from, to int64, upTo uint64) {
	from = at(first)
	more := sort.Search(last-first, func(i int) bool { return at(first+i+2)-from > size })
	return from, at(first + more + 1), base + uint64(first+more)
}

// offsetsOf returns what knows the offsets of a segment: its memtable, or else its table. One that is missing or damaged
// is made anew.
func (s *Store) offsetsOf(g *segment) (spanner, error) {
	if m := g.mem.Load(); m != nil {
		return m, nil
	}
	s.tables.Lock()
	defer s.tables.Unlock()
	if t := g.table.Load(); t != nil {
		return t, nil
	}
	t, err := openTable(s.sys, g.first, g.count())
	if err == nil {
		g.table.Store(t)
		return t, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("a table of offsets is damaged and will be made anew", "file", tableName(g.first), "cause", err.Error())
	}
	return s.remakeTable(g)
}

// spanner says where the bytes of the records from first to last begin and end, headers of groups between them included;
// of fewer records if they were more than size bytes, but always of one.
type spanner interface {
	span(first, last uint64, size int64) (from, to int64, upTo uint64, err error)
}

// remakeTable makes a table from its segment. If it cannot be written it is kept in memory.
func (s *Store) remakeTable(g *segment) (spanner, error) {
	m, err := s.scan(g)
	if err != nil {
		return nil, err
	}
	if err = s.writeTable(m); err == nil {
		var t *offsetTable
		if t, err = openTable(s.sys, g.first, g.count()); err == nil {
			g.table.Store(t)
			return t, nil
		}
	}
	s.log.Error("a table of offsets cannot be written", "file", tableName(g.first), "cause", err.Error())
	g.mem.Store(m)
	return m, nil
}

// distrust drops a segment's table if it is damaged, and tells whether it was.
func (s *Store) distrust(g *segment) bool {
	s.tables.Lock()
	defer s.tables.Unlock()
	t := g.table.Load()
	if t == nil || t.check() == nil {
		return false
	}
	s.log.Error("a table of offsets is damaged and will be made anew", "file", tableName(g.first))
	g.table.Store(nil) // its mapping stays: somebody may be reading it
	return true
}
