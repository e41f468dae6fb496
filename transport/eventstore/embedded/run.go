package embedded

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"

	"strandline/transport/files"
)

// A run is a sorted, unchanging index of one or more full segments, in pages of 4 KiB. Each page ends with its checksum,
// which is compared whenever the page is read; those of the bloom filters when they are read first and in the background.
//
//	page 0         the header
//	then           entries of streams, 170 to a page: stream hash, revision, position; in this order
//	then           entries of events, 255 to a page: event hash, position; in this order
//	then           bloom filter of the stream hashes, 63 blocks to a page
//	then           bloom filter of the event hashes
//	at the end     the first entry of each page of streams (hash, revision) and of events (hash), without pages
//
// The header:
//
//	 0  4  checksum of the page, as below but at its start
//	 4  4  runMagic
//	 8  4  format, 1
//	12  4  number of segments
//	16  8  first position
//	24  8  last position; there is one entry of each kind for every position
//	32  8  blocks of the first filter
//	40  8  blocks of the second
//	48  4  CRC-32C of the part at the end
//	52  4  zero
//	56  8  how many streams there are, or a little more
//
// A page's checksum is the CRC-32C of its number in the file, in eight bytes, continued over the rest of the page.
const (
	runSuffix = ".run"
	runMagic  = 0x8152_4c53

	pageSize     = 4096
	pageSum      = pageSize - sumSize
	streamEntry  = 24
	eventEntry   = 16
	streamsOnOne = 170
	eventsOnOne  = 255
	blocksOnOne  = 63
	streamFence  = 16
	eventFence   = 8
)

// run is an open run.
type run struct {
	first, last uint64
	segments    uint32
	streams     uint64
	bytes       []byte // mapped
	close       func() error

	streamFences []fence
	eventFences  []uint64
	filters      [2]filter

	views int // how many views hold it; guarded by the index
}

// fence is the first entry of a page.
type fence struct{ hash, revision uint64 }

func (f fence) compare(g fence) int {
	return cmp.Or(cmp.Compare(f.hash, g.hash), cmp.Compare(f.revision, g.revision))
}

// filter is a bloom filter in a run.
type filter struct {
	page    int // its first
	blocks  uint64
	checked []atomic.Bool // pages whose checksum was right when they were read first
}

// badRunError says that a run cannot be used any more.
type badRunError struct {
	run *run
	why error
}

func (e *badRunError) Error() string { return fmt.Sprintf("%s: %v", e.run.name(), e.why) }

func runName(first, last uint64) string {
	return fmt.Sprintf("%s/%020d-%020d%s", indexFolder, first, last, runSuffix)
}

func (r *run) name() string { return runName(r.first, r.last) }

// parseRunName reads what runName wrote, without the folder.
func parseRunName(name string) (first, last uint64, ok bool) {
	name, ok = strings.CutSuffix(name, runSuffix)
	from, to, pair := strings.Cut(name, "-")
	first, err1 := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	return first, last, ok && pair && err1 == nil && err2 == nil && first > 0 && first <= last
}

// layout says where the parts of a run begin, in pages.
type layout struct{ streams, events, filter1, filter2, fences int }

func layoutOf(records, blocks1, blocks2 uint64) layout {
	pages := func(n, onOne uint64) int { return int((n + onOne - 1) / onOne) }
	l := layout{streams: 1}
	l.events = l.streams + pages(records, streamsOnOne)
	l.filter1 = l.events + pages(records, eventsOnOne)
	l.filter2 = l.filter1 + pages(blocks1, blocksOnOne)
	l.fences = l.filter2 + pages(blocks2, blocksOnOne)
	return l
}

func (l layout) size() int64 {
	return int64(l.fences)*pageSize + int64(l.events-l.streams)*streamFence + int64(l.filter1-l.events)*eventFence
}

func pageChecksum(number int, rest []byte) uint32 {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(number))
	return crc32.Update(crc32.Checksum(n[:], castagnoli), castagnoli, rest)
}

// openRun maps a run and checks its header and fences.
func openRun(sys files.System, first, last uint64) (*run, error) {
	r := &run{first: first, last: last}
	var err error
	if r.bytes, r.close, err = mapFile(sys, r.name()); err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", r.name(), err), r.close())
	}
	return r, nil
}

// mapFile maps a whole file.
func mapFile(sys files.System, name string) ([]byte, func() error, error) {
	f, err := sys.Open(name, false)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // the mapping stays
	size, err := f.Size()
	if err != nil {
		return nil, nil, err
	}
	return f.Map(size)
}

var errChecksum = errors.New("a checksum is wrong")

func (r *run) load() (err error) {
	defer faultless(&err)
	b := r.bytes
	if len(b) < pageSize || binary.LittleEndian.Uint32(b[4:]) != runMagic {
		return errors.New("it does not begin as a run does")
	}
	if pageChecksum(0, b[sumSize:pageSize]) != binary.LittleEndian.Uint32(b) {
		return errChecksum
	}
	if binary.LittleEndian.Uint32(b[8:]) != format || binary.LittleEndian.Uint64(b[16:]) != r.first || binary.LittleEndian.Uint64(b[24:]) != r.last {
		return errors.New("it is another run, or of another format")
	}
	r.segments, r.streams = binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint64(b[56:])
	blocks1, blocks2 := binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint64(b[40:])
	l := layoutOf(r.last-r.first+1, blocks1, blocks2)
	if int64(len(b)) != l.size() {
		return fmt.Errorf("it has %d bytes instead of %d", len(b), l.size())
	}
	r.filters = [2]filter{
		{l.filter1, blocks1, make([]atomic.Bool, l.filter2-l.filter1)},
		{l.filter2, blocks2, make([]atomic.Bool, l.fences-l.filter2)},
	}
	return r.loadFences(b[l.fences*pageSize:], l, binary.LittleEndian.Uint32(b[48:]))
}

func (r *run) loadFences(b []byte, l layout, checksum uint32) error {
	if crc32.Checksum(b, castagnoli) != checksum {
		return errChecksum
	}
	r.streamFences = make([]fence, l.events-l.streams)
	for i := range r.streamFences {
		r.streamFences[i] = fence{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
		b = b[streamFence:]
	}
	r.eventFences = make([]uint64, l.filter1-l.events)
	for i := range r.eventFences {
		r.eventFences[i] = binary.LittleEndian.Uint64(b[i*eventFence:])
	}
	return nil
}

// faultless turns a fault of the memory that a file is mapped to, which is a failed read of the disk, into an error.
func faultless(err *error) {
	fault, ok := recover().(interface {
		error
		Addr() uintptr
	})
	if ok {
		*err = fault
	}
}

// page returns a page after checking it.
func (r *run) page(number int) (page []byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer faultless(&err)
	page = r.bytes[number*pageSize:][:pageSize]
	if pageChecksum(number, page[:pageSum]) != binary.LittleEndian.Uint32(page[pageSum:]) {
		return nil, &badRunError{r, fmt.Errorf("page %d: %w", number, errChecksum)}
	}
	return page, nil
}

// may tells whether a filter may have a hash.
func (r *run) may(f *filter, hash uint64) (bool, error) {
	block := bloomBlockOf(hash, f.blocks)
	index := int(block / blocksOnOne)
	number := f.page + index
	if !f.checked[index].Load() {
		if _, err := r.page(number); err != nil {
			return false, err
		}
		f.checked[index].Store(true)
	}
	return bloomHas(r.bytes[number*pageSize+int(block%blocksOnOne)*bloomBlock:][:bloomBlock], hash), nil
}

// streamsAt returns the entries of a page of streams.
func (r *run) streamsAt(index int) (streamPage, error) {
	page, err := r.page(1 + index)
	if err != nil {
		return nil, err
	}
	n := min(streamsOnOne, int(r.last-r.first+1)-index*streamsOnOne)
	return streamPage(page[:n*streamEntry]), nil
}

type streamPage []byte

func (p streamPage) len() int { return len(p) / streamEntry }

func (p streamPage) at(i int) (hash uint64, e entry) {
	b := p[i*streamEntry:]
	return binary.LittleEndian.Uint64(b), entry{binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}
}

// search finds the first entry that is not before f, or with after the first that is past it.
func (p streamPage) search(f fence, after bool) int {
	return sort.Search(p.len(), func(i int) bool {
		hash, e := p.at(i)
		c := fence{hash, e.revision}.compare(f)
		return c > 0 || c == 0 && !after
	})
}

// entries implements source.
func (r *run) entries(q query) ([]entry, error) {
	if may, err := r.may(&r.filters[0], q.stream); !may || err != nil {
		return nil, err
	}
	if q.backwards && !q.all {
		return r.before(q)
	}
	return r.after(q)
}

// after collects entries in ascending order.
func (r *run) after(q query) (found []entry, err error) {
	start := fence{q.stream, q.from}
	if q.all {
		start.revision = 0
	}
	index := max(0, sort.Search(len(r.streamFences), func(i int) bool { return r.streamFences[i].compare(start) >= 0 })-1)
	for ; index < len(r.streamFences) && r.streamFences[index].hash <= q.stream; index++ {
		page, err := r.streamsAt(index)
		if err != nil {
			return nil, err
		}
		for i := page.search(start, false); i < page.len(); i++ {
			hash, e := page.at(i)
			if hash != q.stream || !q.all && len(found) == q.limit {
				return found, nil
			}
			if e.position <= q.upTo {
				found = append(found, e)
			}
		}
	}
	return found, nil
}

// before collects entries in descending order.
func (r *run) before(q query) (found []entry, err error) {
	start := fence{q.stream, q.from}
	index := sort.Search(len(r.streamFences), func(i int) bool { return r.streamFences[i].compare(start) > 0 }) - 1
	for ; index >= 0; index-- {
		page, err := r.streamsAt(index)
		if err != nil {
			return nil, err
		}
		for i := page.search(start, true) - 1; i >= 0; i-- {
			hash, e := page.at(i)
			if hash != q.stream || len(found) == q.limit {
				return found, nil
			}
			if e.position <= q.upTo {
				found = append(found, e)
			}
		}
	}
	return found, nil
}

// eventsAt returns the entries of a page of events.
func (r *run) eventsAt(index int) (eventPage, error) {
	page, err := r.page(1 + len(r.streamFences) + index)
	if err != nil {
		return nil, err
	}
	n := min(eventsOnOne, int(r.last-r.first+1)-index*eventsOnOne)
	return eventPage(page[:n*eventEntry]), nil
}

type eventPage []byte

func (p eventPage) len() int { return len(p) / eventEntry }

func (p eventPage) at(i int) (hash, position uint64) {
	b := p[i*eventEntry:]
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
}

// positions implements source.
func (r *run) positions(event uint64) (found []uint64, err error) {
	if may, err := r.may(&r.filters[1], event); !may || err != nil {
		return nil, err
	}
	index := max(0, sort.Search(len(r.eventFences), func(i int) bool { return r.eventFences[i] >= event })-1)
	for ; index < len(r.eventFences) && r.eventFences[index] <= event; index++ {
		page, err := r.eventsAt(index)
		if err != nil {
			return nil, err
		}
		start := sort.Search(page.len(), func(i int) bool { hash, _ := page.at(i); return hash >= event })
		for i := start; i < page.len(); i++ {
			hash, position := page.at(i)
			if hash != event {
				return found, nil
			}
			found = append(found, position)
		}
	}
	return found, nil
}

// verify checks every page.
func (r *run) verify(pause func(bytes int) error) error {
	for number := 1; number < r.filters[1].page+len(r.filters[1].checked); number++ {
		if _, err := r.page(number); err != nil {
			return err
		}
		if err := pause(pageSize); err != nil {
			return err
		}
	}
	return nil
}
