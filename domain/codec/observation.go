package codec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/domain/rawjson"
)

// The stored form of observation.recorded, version 2, is columns, with its members in this order and "which" only where
// there is more than one series:
//
//	{"subject":"U0123456789","channel":"lamp.sensor","series":["a","b"],"which":[0,1,0],"times":[1,null,2],"values":[72,{},""]}
//
// It is written and read by hand, since every upload passes here. Version 1, a list of objects, took three times as long.

// maxStoredItems is more than was ever allowed in one batch.
const maxStoredItems = 1 << 20

var errColumns = errors.New("the columns are broken or do not fit each other")

func encodeColumns(dst []byte, e domain.Event) ([]byte, error) {
	r, ok := e.(observation.Recorded)
	if !ok {
		return nil, fmt.Errorf("%w: %T is not a batch of observations", domain.ErrInvalid, e)
	}
	series, which := seriesOf(r.Items)
	dst = slices.Grow(dst, sizeOfColumns(r.Items))
	dst = append(dst, `{"subject":`...)
	dst = rawjson.AppendString(dst, r.Subject)
	dst = append(dst, `,"channel":`...)
	dst = rawjson.AppendString(dst, r.Channel)
	dst = append(dst, `,"series":[`...)
	dst = appendColumn(dst, series, rawjson.AppendString)
	if len(series) > 1 {
		dst = append(dst, `],"which":[`...)
		dst = appendColumn(dst, which, appendInt)
	}
	dst = append(dst, `],"times":[`...)
	dst = appendColumn(dst, r.Items, appendTime)
	dst = append(dst, `],"values":[`...)
	dst = appendColumn(dst, r.Items, appendValue)
	return append(dst, `]}`...), nil
}

// appendColumn appends cells with commas between them.
func appendColumn[T any](dst []byte, cells []T, appendCell func([]byte, T) []byte) []byte {
	for i, cell := range cells {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCell(dst, cell)
	}
	return dst
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }

func appendTime(dst []byte, item observation.Item) []byte {
	if item.Time == nil {
		return append(dst, `null`...)
	}
	return strconv.AppendInt(dst, *item.Time, 10)
}

func appendValue(dst []byte, item observation.Item) []byte {
	if len(item.Value) == 0 {
		return append(dst, `null`...)
	}
	return append(dst, item.Value...)
}

// sizeOfColumns is about how many bytes they take.
func sizeOfColumns(items []observation.Item) int {
	size := 256
	for _, item := range items {
		size += len(item.Value) + len(",1600000000000,")
	}
	return size
}

// seriesOf is each series once, in the order in which they first occur, and which of them each item has.
func seriesOf(items []observation.Item) (series []string, which []int) {
	if i := slices.IndexFunc(items, func(item observation.Item) bool { return item.Series != items[0].Series }); i < 0 {
		if len(items) > 0 {
			series = []string{items[0].Series}
		}
		return series, nil
	}
	seen := make(map[string]int)
	which = make([]int, len(items))
	for i, item := range items {
		n, known := seen[item.Series]
		if !known {
			n = len(series)
			seen[item.Series] = n
			series = append(series, item.Series)
		}
		which[i] = n
	}
	return series, which
}

func decodeColumns(data []byte) (domain.Event, error) {
	c := cursor{rest: rawjson.Inside(data, '{')}
	r := observation.Recorded{Subject: c.text(`"subject":`), Channel: c.text(`"channel":`)}
	series := c.texts(`"series":`)
	which := c.numbers(`"which":`)
	times, ok := c.numbers(`"times":`), c.next(`"values":`)
	values := rawjson.Inside(c.rest, '[')
	if c.broken || !ok || times == nil || values == nil {
		return nil, errColumns
	}
	if r.Items, ok = itemsOf(series, which, times, values); !ok {
		return nil, errColumns
	}
	return r, nil
}

// itemsOf makes items of columns: of series, of indexes into them, of times, of values.
func itemsOf(series []string, which, times, values []byte) ([]observation.Item, bool) {
	n := cells(times)
	if n == 0 {
		return nil, len(values) == 0
	}
	if n > maxStoredItems || n > len(values) || which == nil && len(series) != 1 {
		return nil, false
	}
	items, known := make([]observation.Item, n), make([]int64, n)
	for i := range items {
		var first, second, third bool
		items[i].Time, times, first = nextTime(&known[i], times)
		items[i].Series, which, second = nextSeries(series, which)
		items[i].Value, values, third = nextValue(values)
		if !first || !second || !third {
			return nil, false
		}
	}
	return items, len(which) == 0 && len(values) == 0
}

// cells counts the numbers in a column.
func cells(column []byte) int {
	if len(column) == 0 {
		return 0
	}
	return bytes.Count(column, comma) + 1
}

var comma = []byte(",")

// nextTime takes a time, or null, off a column. The time is kept at place.
func nextTime(place *int64, column []byte) (*int64, []byte, bool) {
	cell, rest, _ := bytes.Cut(column, comma)
	if string(cell) == "null" {
		return nil, rest, true
	}
	var ok bool
	*place, ok = rawjson.Int64(cell)
	return place, rest, ok
}

// nextSeries takes an index off a column; without such a column there is one series.
func nextSeries(series []string, column []byte) (string, []byte, bool) {
	if column == nil {
		return series[0], nil, true
	}
	cell, rest, _ := bytes.Cut(column, comma)
	i, ok := rawjson.Int64(cell)
	if !ok || i < 0 || i >= int64(len(series)) {
		return "", nil, false
	}
	return series[i], rest, true
}

func nextValue(column []byte) (value, rest []byte, ok bool) {
	value, rest = rawjson.Next(column)
	return value, rest, len(value) > 0
}

// cursor reads members in a fixed order off the inside of an object.
type cursor struct {
	rest   []byte
	broken bool
}

// next tells whether the next member has that name (with its quotes and colon), and passes over the name if so.
func (c *cursor) next(name string) bool {
	if !bytes.HasPrefix(c.rest, []byte(name)) {
		return false
	}
	c.rest = c.rest[len(name):]
	return true
}

func (c *cursor) value(name string) []byte {
	if !c.next(name) {
		c.broken = true
		return nil
	}
	var value []byte
	value, c.rest = rawjson.Next(c.rest)
	return value
}

// text reads a string.
func (c *cursor) text(name string) string {
	text, ok := word(c.value(name))
	c.broken = c.broken || !ok || !utf8.ValidString(text) // it was not written by this program
	return text
}

// texts reads an array of strings.
func (c *cursor) texts(name string) []string {
	var all []string
	for value := range rawjson.Elements(c.value(name)) {
		text, ok := rawjson.String(value)
		c.broken = c.broken || !ok || !utf8.ValidString(text)
		all = append(all, text)
	}
	return all
}

// numbers reads the inside of an array of numbers and nulls, nil if there is no such member.
func (c *cursor) numbers(name string) []byte {
	if !c.next(name) {
		return nil
	}
	end := bytes.IndexByte(c.rest, ']')
	if end < 1 || c.rest[0] != '[' {
		c.broken = true
		return nil
	}
	column := c.rest[1:end]
	c.rest = bytes.TrimPrefix(c.rest[end+1:], comma)
	return column
}
