package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// windowPrinter shows windows as a table, and then each series as a drawing, since people would rather look than read.
type windowPrinter struct {
	to         io.Writer
	table      *table
	aggregates []string
	drawings   map[string]*drawing // by channel and name
}

// newWindowPrinter shows the given aggregates, all if there are none.
func newWindowPrinter(to io.Writer, p paint, aggregates []string) *windowPrinter {
	if len(aggregates) == 0 {
		aggregates = allAggregates
	}
	columns := []string{"START (UTC)", "CHANNEL", "NAME"}
	for _, name := range aggregates {
		columns = append(columns, "<"+strings.ToUpper(name))
	}
	return &windowPrinter{to, newTable(to, p, columns...), aggregates, map[string]*drawing{}}
}

// allAggregates are what the server tells of a window.
var allAggregates = []string{"count", "min", "max", "mean", "last"}

// seriesWindow is a window as the server sends it.
type seriesWindow struct {
	Start, End                  int64
	Channel, Name               string
	Count, Min, Max, Mean, Last json.RawMessage
}

// of is the value of an aggregate.
func (w *seriesWindow) of(aggregate string) json.RawMessage {
	switch aggregate {
	case "count":
		return w.Count
	case "min":
		return w.Min
	case "max":
		return w.Max
	case "mean":
		return w.Mean
	}
	return w.Last
}

func (p *windowPrinter) row(line []byte) error {
	var w seriesWindow
	if err := json.Unmarshal(line, &w); err != nil {
		return notAsExpected(err)
	}
	p.draw(w)
	cells := []string{time.UnixMilli(w.Start).UTC().Format("2006-01-02 15:04:05"), w.Channel, w.Name}
	for _, aggregate := range p.aggregates {
		cells = append(cells, column(short(w.of(aggregate))))
	}
	return p.table.row(colourNone, cells...)
}

// short is a value as people read it: numbers with two places.
func short(value json.RawMessage) string {
	var n *float64
	if json.Unmarshal(value, &n) != nil {
		return string(value)
	}
	if n == nil {
		return ""
	}
	return round2(*n)
}

// draw adds the window to the drawing of its series: its mean, or else another number that there is.
func (p *windowPrinter) draw(w seriesWindow) {
	of, value := w.value()
	if math.IsNaN(value) {
		return
	}
	key := w.Channel + " " + w.Name
	d := p.drawings[key]
	if d == nil {
		d = &drawing{of: of, width: w.End - w.Start}
		p.drawings[key] = d
	}
	if d.of == of {
		d.add(w.Start, value)
	}
}

func (w *seriesWindow) value() (of string, value float64) {
	for _, of := range []string{"mean", "last", "max", "min", "count"} {
		var n *float64
		if json.Unmarshal(w.of(of), &n) == nil && n != nil {
			return of, *n
		}
	}
	return "", math.NaN()
}

func (p *windowPrinter) end() error {
	if err := p.table.flush(); err != nil {
		return err
	}
	if len(p.drawings) > 0 {
		fmt.Fprintln(p.to)
	}
	for _, key := range slices.Sorted(maps.Keys(p.drawings)) {
		d := p.drawings[key]
		line, low, high := d.line()
		if _, err := fmt.Fprintf(p.to, "%s  %s  %s from %s to %s\n", visible(key), line, d.of, round2(low), round2(high)); err != nil {
			return err
		}
	}
	return nil
}

func round2(n float64) string { return strconv.FormatFloat(math.Round(n*100)/100, 'f', -1, 64) }

// drawing is a series as a line of blocks: in constant memory, since windows that are neighbours are merged once there
// are too many.
type drawing struct {
	of     string
	width  int64 // of a place, in ms
	begin  int64 // of the first place
	places []drawnPlace
}

// drawnPlace is the mean of the windows that fall into it.
type drawnPlace struct {
	sum float64
	n   int
}

// widestDrawing is how many places a drawing has at most.
const widestDrawing = 72

func (d *drawing) add(start int64, value float64) {
	if len(d.places) == 0 {
		d.begin = start
	}
	far := start - d.begin
	if d.width <= 0 || start < d.begin || far < 0 {
		return // not what a server sends: there is no place for it
	}
	for far/d.width >= widestDrawing {
		d.halve()
	}
	at := int(far / d.width)
	for len(d.places) <= at {
		d.places = append(d.places, drawnPlace{})
	}
	d.places[at].sum += value
	d.places[at].n++
}

// halve makes places twice as wide.
func (d *drawing) halve() {
	half := make([]drawnPlace, (len(d.places)+1)/2)
	for i, p := range d.places {
		half[i/2].sum += p.sum
		half[i/2].n += p.n
	}
	d.places, d.width = half, d.width*2
}

// line is the drawing, and its lowest and highest values. Places without values stay empty.
func (d *drawing) line() (text string, low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, p := range d.places {
		if p.n > 0 {
			low, high = min(low, p.sum/float64(p.n)), max(high, p.sum/float64(p.n))
		}
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, p := range d.places {
		switch {
		case p.n == 0:
			b.WriteByte(' ')
		case high > low && !math.IsInf(high-low, 0):
			b.WriteRune(blocks[int((p.sum/float64(p.n)-low)/(high-low)*float64(len(blocks)-1)+0.5)])
		default:
			b.WriteRune(blocks[0])
		}
	}
	return b.String(), low, high
}
