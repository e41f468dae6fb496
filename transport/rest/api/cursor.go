package api

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"strandline/domain"
	"strandline/readmodels/series"
)

// A cursor is the place at which a page ended, and up to where the log had been read then. To clients it is a text that
// means nothing: base64 of numbers and texts, one after the other, behind a byte that says what it is for.
const (
	cursorOfSamples = 's'
	cursorOfWindows = 'w'
	cursorOfObjects = 'o'
	cursorOfGrants  = 'g'
	cursorOfKeys    = 'k'
	cursorOfRecords = 'r'
	cursorOfSeries  = 'n'
)

// errCursor is met by a cursor that this server has not given, or not for this.
var errCursor = fmt.Errorf("%w: after is not what a page of this route has given as next", domain.ErrInvalid)

// onward is next of a page, null where it is over: where there was nothing more, and nothing in it either. So whoever
// goes on as long as there is a next sees everything and comes to an end, and whoever wants to come back later has the
// next of the last page that had something.
func onward[T comparable](next T, over bool) *T {
	if over {
		return nil
	}
	return orNull(next)
}

// cursor is a cursor that is being written or read.
type cursor struct {
	rest   []byte
	broken bool
}

func (c *cursor) putNumber(n int64) { c.rest = binary.AppendVarint(c.rest, n) }
func (c *cursor) putCount(n uint64) { c.rest = binary.AppendUvarint(c.rest, n) }
func (c *cursor) putText(s string)  { c.putCount(uint64(len(s))); c.rest = append(c.rest, s...) }
func (c *cursor) String() string    { return base64.RawURLEncoding.EncodeToString(c.rest) }
func (c *cursor) fail()             { c.rest, c.broken = nil, true }
func (c *cursor) done() bool        { return !c.broken && len(c.rest) == 0 }
func (c *cursor) position() (p domain.Position) {
	return domain.Position{Commit: c.count(), Prepare: c.count()}
}

func (c *cursor) putPosition(p domain.Position) {
	c.putCount(p.Commit)
	c.putCount(p.Prepare)
}

func (c *cursor) number() int64 {
	n, size := binary.Varint(c.rest)
	if size <= 0 {
		c.fail()
		return 0
	}
	c.rest = c.rest[size:]
	return n
}

func (c *cursor) count() uint64 {
	n, size := binary.Uvarint(c.rest)
	if size <= 0 {
		c.fail()
		return 0
	}
	c.rest = c.rest[size:]
	return n
}

func (c *cursor) text() string {
	n := c.count()
	if n > uint64(len(c.rest)) {
		c.fail()
		return ""
	}
	text := string(c.rest[:n])
	c.rest = c.rest[n:]
	return text
}

// readCursor begins to read a cursor of the given kind.
func readCursor(text string, kind byte) *cursor {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 || raw[0] != kind {
		return &cursor{broken: true}
	}
	return &cursor{rest: raw[1:]}
}

// sampleCursor is the place after a sample.
func sampleCursor(s sample, until domain.Position) string {
	c := &cursor{rest: []byte{cursorOfSamples}}
	c.putPosition(until)
	c.putPosition(s.Position)
	c.putCount(uint64(s.Index))
	if s.Time != nil {
		c.putNumber(*s.Time)
	}
	return c.String()
}

// windowCursor is the place after a window.
func windowCursor(w window, until domain.Position) string {
	c := &cursor{rest: []byte{cursorOfWindows}}
	c.putPosition(until)
	c.putNumber(w.Start)
	c.putText(w.Channel)
	c.putText(w.Name)
	return c.String()
}

// seriesCursor is the place after the series of a sample.
func seriesCursor(s sample) string {
	c := &cursor{rest: []byte{cursorOfSeries}}
	c.putText(s.Channel)
	c.putText(s.Name)
	return c.String()
}

// readSeriesCursor reads what seriesCursor wrote. Empty is before all.
func readSeriesCursor(text string) (*series.Name, error) {
	if text == "" {
		return nil, nil
	}
	c := readCursor(text, cursorOfSeries)
	name := series.Name{Channel: c.text(), Series: c.text()}
	if !c.done() {
		return nil, errCursor
	}
	return &name, nil
}

// after makes a go on where a page ended. Empty is at the beginning.
func (a *asked) after(text string) error {
	switch {
	case text == "":
		return nil
	case a.aggregates != nil:
		return a.afterWindow(readCursor(text, cursorOfWindows))
	}
	return a.afterSample(readCursor(text, cursorOfSamples))
}

func (a *asked) afterSample(c *cursor) error {
	a.choice.Until = c.position()
	mark := series.Mark{Position: c.position(), Index: int(c.count())}
	if !c.broken && len(c.rest) > 0 {
		time := c.number()
		mark.Time = &time
	}
	if !c.done() {
		return errCursor
	}
	a.choice.After = &mark
	return nil
}

func (a *asked) afterWindow(c *cursor) error {
	a.choice.Until = c.position()
	a.shown = &shown{start: c.number(), channel: c.text(), name: c.text()}
	if !c.done() {
		return errCursor
	}
	return nil
}

// placeCursor is the place after an object.
func placeCursor(place uint64) string {
	c := &cursor{rest: []byte{cursorOfObjects}}
	c.putCount(place)
	return c.String()
}

// readPlace reads what placeCursor wrote. Empty is before all.
func readPlace(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	c := readCursor(text, cursorOfObjects)
	place := c.count()
	if !c.done() {
		return 0, errCursor
	}
	return place, nil
}

// positionCursor is the place after what was recorded at a position, in lists of that kind.
func positionCursor(at domain.Position, kind byte) string {
	c := &cursor{rest: []byte{kind}}
	c.putPosition(at)
	return c.String()
}

// readPositionCursor reads what positionCursor wrote. Empty is before all.
func readPositionCursor(text string, kind byte) (domain.Position, error) {
	if text == "" {
		return domain.Position{}, nil
	}
	c := readCursor(text, kind)
	at := c.position()
	if !c.done() {
		return domain.Position{}, errCursor
	}
	return at, nil
}

// recordCursor is the place after an audit record.
func recordCursor(number int64) string {
	c := &cursor{rest: []byte{cursorOfRecords}}
	c.putCount(uint64(number))
	return c.String()
}

// readRecordCursor reads what recordCursor wrote. Empty is before all.
func readRecordCursor(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	c := readCursor(text, cursorOfRecords)
	number := int64(c.count())
	if !c.done() || number < 0 {
		return 0, errCursor
	}
	return number, nil
}
