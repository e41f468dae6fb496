package embedded

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"strandline/domain"
	"strandline/transport/files"
)

// Examination is what the files of a log turn out to hold.
type Examination struct {
	ID         domain.ID
	Generation domain.ID
	Unsafe     bool            // a server without durability has it open, or was killed while it had
	Renewed    bool            // it gets another generation when it is opened
	Head       domain.Position // the last record before anything that is damaged
	Chain      string          // after it, in hexadecimal
	Segments   int
	Bytes      int64     // of all good segments up to the end of what was written
	Begun      time.Time // a time in the last while, zero in an empty log: with Growth it tells how fast the log grows
	Ended      time.Time // of the last good record, zero if there is none
	Growth     int64     // bytes written between Begun and Ended
	Torn       *Damage   // the end of the last segment: never acknowledged, and cut off when the log is opened
	Damage     []Damage  // what was durable and cannot be read, in the order of positions
	Index      []BadFile // what is made anew from the segments when the log is opened
}

// Damage is a place that cannot be read. Everything in it is lost, unless a backup has it.
type Damage struct {
	First, Last uint64 // positions; in Torn those that had begun to be written, if they can be told
	Segment     string
	Byte        int64 // where it begins
	Bytes       int64 // of Torn
	Cause       error
}

// String says where it is, and what is wrong there. Records are counted from 1; positions are as clients see them.
func (d Damage) String() string {
	which := fmt.Sprintf("record %d (position %s)", d.First, positionOf(d.First))
	if d.Last != d.First {
		which = fmt.Sprintf("records %d to %d (positions %s to %s)", d.First, d.Last, positionOf(d.First), positionOf(d.Last))
	}
	return fmt.Sprintf("%s in %s, at byte %d: %v", which, d.Segment, d.Byte, d.Cause)
}

// Keep is the last position before it.
func (d Damage) Keep() domain.Position { return positionOf(d.First - 1) }

// BadFile is a file of the index that cannot be used.
type BadFile struct {
	Name  string
	Cause error
}

// recentGrowth is how far back the growth of a log is looked at.
const recentGrowth = 30 * 24 * time.Hour

// Examine reads all files of a log and changes nothing. What is bad is told, not returned as an error; an error is that
// the log could not be examined, fs.ErrNotExist that there is none. The log may be open in another process; the end of
// the last segment, which that is writing, is then taken for good. Unless it is nil, progress is told how many bytes of
// the segments' files are done of how many.
func Examine(ctx context.Context, sys files.System, inUse bool, progress func(done, total int64)) (Examination, error) {
	m, err := readManifest(sys)
	if err != nil {
		return Examination{}, err
	}
	list, err := listSegments(sys)
	if err != nil && !errors.Is(err, domain.ErrDamaged) {
		return Examination{}, err
	}
	e := examiner{sys: sys, id: m.ID, inUse: inUse || m.Unsafe, progress: progress, next: 1}
	e.found = Examination{ID: m.ID, Generation: m.Generation, Unsafe: m.Unsafe, Renewed: m.Unsafe || m.Copy, Segments: len(list)}
	if err != nil {
		e.found.Damage = append(e.found.Damage, Damage{First: 1, Last: 1, Segment: segmentFolder, Cause: err})
		return e.found, nil
	}
	if err := e.segments(ctx, list); err != nil {
		return Examination{}, err
	}
	return e.found, e.index(ctx, list)
}

// examiner is an examination on its way.
type examiner struct {
	sys      files.System
	id       domain.ID
	inUse    bool // what is bad at the very end counts for nothing
	found    Examination
	next     uint64 // position that comes next
	chain    chain
	starts   []start
	done     int64
	total    int64
	progress func(done, total int64)
}

// start is when a segment began, and how many bytes there were before it.
type start struct {
	at     time.Time
	before int64
}

func (e *examiner) segments(ctx context.Context, list []*segment) error {
	for _, g := range list {
		size, err := e.size(g.name())
		if err != nil {
			return err
		}
		e.total += size
	}
	for n, g := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.segment(g, n == len(list)-1); err != nil {
			return err
		}
	}
	e.growth()
	return nil
}

func (e *examiner) size(name string) (int64, error) {
	f, err := e.sys.Open(name, false)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// segment goes through one segment, and compares where it begins with where the one before has ended.
func (e *examiner) segment(g *segment, last bool) error {
	f, err := e.sys.Open(g.name(), false)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	w := &walker{window: window{file: f, limit: size}, id: e.id, next: g.first, chain: e.chain}
	_, _, bad := w.all(g, e.first)
	e.joint(w, g)
	if last {
		err = e.end(w, g, bad)
	} else if w.complete(g, bad) != nil {
		e.damage(Damage{First: w.next, Last: max(w.next, g.last.Load()), Segment: g.name(), Byte: w.offset, Cause: bad})
	}
	e.good(w, g)
	if e.done += size; e.progress != nil {
		e.progress(e.done, e.total)
	}
	return err
}

// first notes when the log began.
func (e *examiner) first(v visited) {
	if len(e.starts) == 0 {
		e.starts = append(e.starts, start{at: timeOf(v.ticks)})
	}
}

// joint checks that a segment begins where the one before ended.
func (e *examiner) joint(w *walker, g *segment) {
	if w.offset == 0 {
		return // not even its header can be read, which is told elsewhere
	}
	b, err := w.at(0, segmentHeader)
	if err != nil {
		return
	}
	h, err := readSegmentStart(b, e.id)
	if err != nil || len(e.found.Damage) > 0 {
		return // what comes after damage begins with a chain that cannot be compared
	}
	if g.first != e.next || h.chain != e.chain {
		e.damage(Damage{First: g.first, Last: g.first, Segment: g.name(), Cause: errors.New("the hash chain does not go on from the segment before")})
	}
	if g.first > 1 {
		e.starts = append(e.starts, start{timeOf(h.ticks), e.found.Bytes})
	}
}

// end judges what stands after the last good group of the last segment.
func (e *examiner) end(w *walker, g *segment, bad error) error {
	from, to, err := garbage(w)
	if err != nil || from == to || e.inUse {
		return err
	}
	later, found, err := laterGroup(w, from)
	if err != nil {
		return err
	}
	d := Damage{First: w.next, Last: max(w.next, later.watermark), Segment: g.name(), Byte: from, Bytes: to - from, Cause: bad}
	if found {
		e.damage(d)
		return nil
	}
	e.found.Torn = &d
	return nil
}

func (e *examiner) damage(d Damage) { e.found.Damage = append(e.found.Damage, d) }

// good notes how far the log is good.
func (e *examiner) good(w *walker, g *segment) {
	e.found.Bytes += w.offset
	if w.next > g.first {
		e.found.Ended = timeOf(w.ticks)
	}
	e.next, e.chain = w.next, w.chain
	if len(e.found.Damage) == 0 {
		e.found.Head, e.found.Chain = positionOf(w.next-1), hex.EncodeToString(w.chain[:])
	}
	if len(e.found.Damage) > 0 {
		e.found.Head = e.found.Damage[0].Keep()
	}
}

// growth tells how much the log has grown in the last while.
func (e *examiner) growth() {
	for _, s := range e.starts {
		if e.found.Begun.IsZero() || e.found.Ended.Sub(e.found.Begun) > recentGrowth {
			e.found.Begun, e.found.Growth = s.at, e.found.Bytes-s.before
		}
	}
}

// index checks what is made of the segments.
func (e *examiner) index(ctx context.Context, list []*segment) error {
	names, err := e.sys.List(indexFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := e.indexFile(ctx, name, list); err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
			e.found.Index = append(e.found.Index, BadFile{indexFolder + "/" + name, err})
		}
	}
	return ctx.Err()
}

// indexFile checks one file of the index; of those that are not in use there is nothing to say.
func (e *examiner) indexFile(ctx context.Context, name string, list []*segment) error {
	if first, last, ok := parseRunName(name); ok {
		r, err := openRun(e.sys, first, last)
		if err != nil {
			return err
		}
		return errors.Join(r.verify(func(int) error { return ctx.Err() }), r.close())
	}
	digits, ok := strings.CutSuffix(name, tableSuffix)
	first, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil {
		return nil
	}
	for _, g := range list {
		if g.first == first && g.last.Load() > 0 {
			t, err := openTable(e.sys, first, g.count())
			if err != nil {
				return err
			}
			return t.close()
		}
	}
	return nil
}
