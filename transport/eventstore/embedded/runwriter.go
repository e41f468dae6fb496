package embedded

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"strandline/transport/files"
)

// streamRow and eventRow are entries on their way into a run.
type (
	streamRow struct {
		hash uint64
		entry
	}
	eventRow struct{ hash, position uint64 }
)

func (a streamRow) compare(b streamRow) int {
	if a.hash != b.hash {
		return cmp.Compare(a.hash, b.hash)
	}
	if a.revision != b.revision {
		return cmp.Compare(a.revision, b.revision)
	}
	return cmp.Compare(a.position, b.position)
}

func (a eventRow) compare(b eventRow) int {
	if a.hash != b.hash {
		return cmp.Compare(a.hash, b.hash)
	}
	return cmp.Compare(a.position, b.position)
}

// content is what a run is written from: rows in ascending order, one of each kind for every position.
type content struct {
	first, last uint64
	segments    uint32
	streams     uint64 // how many, or a little more
	streamRows  rows[streamRow]
	eventRows   rows[eventRow]
}

// Sizes in which a run is written and synced, so that it does not get in the way of the log.
const (
	runWrite = 256 << 10
	runSync  = 4 << 20
)

// runWriter writes a run page by page.
type runWriter struct {
	file     files.File
	sync     func(files.File) error
	buf      []byte // whole pages that are not written yet, after them the one being filled
	page     int    // its number
	offset   int64  // of buf in the file
	unsynced int

	streamFences, eventFences []byte
}

// writeRun writes a run durably. Its name is so too after the folder has been synced.
func (s *Store) writeRun(c content) error {
	name := runName(c.first, c.last)
	f, err := remake(s.sys, name+newSuffix)
	if err != nil {
		return err
	}
	defer f.Close()
	w := &runWriter{file: f, sync: s.sync}
	if err := w.write(c); err != nil {
		return err
	}
	return s.sys.Rename(name+newSuffix, name)
}

// newSuffix marks files that are not finished.
const newSuffix = ".new"

func (w *runWriter) write(c content) error {
	streams, events := newBloom(c.streams), newBloom(c.last-c.first+1)
	w.page = 1
	w.offset = pageSize
	if err := w.streams(c.streamRows, streams); err != nil {
		return err
	}
	if err := w.events(c.eventRows, events); err != nil {
		return err
	}
	for _, filter := range []*bloomFilter{streams, events} {
		for blocks := range slices.Chunk(filter.blocks, blocksOnOne*bloomBlock) {
			w.buf = append(w.buf, blocks...)
			if err := w.endPage(); err != nil {
				return err
			}
		}
	}
	fences := append(w.streamFences, w.eventFences...)
	w.buf = append(w.buf, fences...)
	if err := w.flush(); err != nil {
		return err
	}
	return w.header(c, streams.len(), events.len(), crc32.Checksum(fences, castagnoli))
}

func (w *runWriter) streams(next rows[streamRow], filter *bloomFilter) error {
	var last streamRow
	for n := 0; ; n++ {
		row, ok, err := next()
		if err != nil {
			return err
		}
		if !ok {
			return w.endPage()
		}
		if n%streamsOnOne == 0 {
			if err := w.beginPage(n); err != nil {
				return err
			}
			w.streamFences = binary.LittleEndian.AppendUint64(w.streamFences, row.hash)
			w.streamFences = binary.LittleEndian.AppendUint64(w.streamFences, row.revision)
		}
		if n == 0 || row.hash != last.hash {
			filter.add(row.hash)
		}
		w.buf = binary.LittleEndian.AppendUint64(w.buf, row.hash)
		w.buf = binary.LittleEndian.AppendUint64(w.buf, row.revision)
		w.buf = binary.LittleEndian.AppendUint64(w.buf, row.position)
		last = row
	}
}

func (w *runWriter) events(next rows[eventRow], filter *bloomFilter) error {
	for n := 0; ; n++ {
		row, ok, err := next()
		if err != nil {
			return err
		}
		if !ok {
			return w.endPage()
		}
		if n%eventsOnOne == 0 {
			if err := w.beginPage(n); err != nil {
				return err
			}
			w.eventFences = binary.LittleEndian.AppendUint64(w.eventFences, row.hash)
		}
		filter.add(row.hash)
		w.buf = binary.LittleEndian.AppendUint64(w.buf, row.hash)
		w.buf = binary.LittleEndian.AppendUint64(w.buf, row.position)
	}
}

// beginPage ends the page before, if there is one in this part of the run.
func (w *runWriter) beginPage(rows int) error {
	if rows == 0 {
		return nil
	}
	return w.endPage()
}

// endPage fills the page up and seals it with its checksum.
func (w *runWriter) endPage() error {
	start := len(w.buf) / pageSize * pageSize
	w.buf = append(w.buf, make([]byte, start+pageSum-len(w.buf))...)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, pageChecksum(w.page, w.buf[start:]))
	w.page++
	if len(w.buf) < runWrite {
		return nil
	}
	return w.flush()
}

// flush writes what has been gathered.
func (w *runWriter) flush() error {
	if _, err := w.file.WriteAt(w.buf, w.offset); err != nil {
		return err
	}
	w.offset += int64(len(w.buf))
	w.unsynced += len(w.buf)
	w.buf = w.buf[:0]
	if w.unsynced < runSync {
		return nil
	}
	w.unsynced = 0
	return w.sync(w.file)
}

// header writes the header, last of all, and makes the file durable.
func (w *runWriter) header(c content, blocks1, blocks2 uint64, fences uint32) error {
	b := make([]byte, pageSize)
	binary.LittleEndian.PutUint32(b[4:], runMagic)
	binary.LittleEndian.PutUint32(b[8:], format)
	binary.LittleEndian.PutUint32(b[12:], c.segments)
	binary.LittleEndian.PutUint64(b[16:], c.first)
	binary.LittleEndian.PutUint64(b[24:], c.last)
	binary.LittleEndian.PutUint64(b[32:], blocks1)
	binary.LittleEndian.PutUint64(b[40:], blocks2)
	binary.LittleEndian.PutUint32(b[48:], fences)
	binary.LittleEndian.PutUint64(b[56:], c.streams)
	binary.LittleEndian.PutUint32(b, pageChecksum(0, b[sumSize:]))
	if _, err := w.file.WriteAt(b, 0); err != nil {
		return err
	}
	return w.sync(w.file)
}

// contentOf is the content of a full segment's index.
func contentOf(m *memtable) content {
	m.mu.RLock()
	defer m.mu.RUnlock()
	streams := make([]streamRow, len(m.offsets))
	for i := range streams {
		streams[i] = streamRow{m.hashes[i], entry{m.revisions[i], m.first + uint64(i)}}
	}
	slices.SortFunc(streams, streamRow.compare)
	events := make([]eventRow, len(m.offsets))
	for i := range events {
		events[i] = eventRow{m.events[i], m.first + uint64(i)}
	}
	slices.SortFunc(events, eventRow.compare)
	return content{
		first: m.first, last: m.first + uint64(len(m.offsets)) - 1, segments: 1, streams: uint64(m.newest.used),
		streamRows: sliceRows(streams), eventRows: sliceRows(events),
	}
}
