package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// table shows rows in columns. It writes as it goes, in constant memory: columns grow where a row needs it.
type table struct {
	to      io.Writer
	paint   paint
	right   []bool // which columns are aligned to the right
	widths  []int
	waiting []tableRow
}

// tableRow is a row, and the colour of what stands in it, as a code of terminals.
type tableRow struct {
	cells  []string
	colour string
}

// rowsAtOnce is how many rows are looked at to find how wide columns are.
const rowsAtOnce = 100

// Colours of rows, as terminals are told them.
const (
	colourNone  = ""
	colourFaint = "2"
	colourRed   = "31"
)

// newTable begins a table. Columns whose name has a < in front are aligned to the right.
func newTable(to io.Writer, p paint, names ...string) *table {
	t := &table{to: to, paint: p, widths: make([]int, len(names)), right: make([]bool, len(names))}
	for i, name := range names {
		names[i], t.right[i] = strings.CutPrefix(name, "<")
	}
	t.keep(colourFaint, names)
	return t
}

// row adds a row, whose cells may hold anything.
func (t *table) row(colour string, cells ...string) error {
	for i := range cells {
		cells[i] = visible(cells[i])
	}
	t.keep(colour, cells)
	if len(t.waiting) > rowsAtOnce {
		return t.flush()
	}
	return nil
}

func (t *table) keep(colour string, cells []string) {
	for i, cell := range cells {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
	}
	t.waiting = append(t.waiting, tableRow{cells, colour})
}

// flush writes the rows that wait.
func (t *table) flush() error {
	var b strings.Builder
	for _, row := range t.waiting {
		b.WriteString(t.paint.with(row.colour, t.line(row.cells)))
		b.WriteByte('\n')
	}
	t.waiting = t.waiting[:0]
	_, err := io.WriteString(t.to, b.String())
	return err
}

func (t *table) line(cells []string) string {
	var b strings.Builder
	for i, cell := range cells {
		room := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell))
		if i > 0 {
			b.WriteString("  ")
		}
		if t.right[i] {
			b.WriteString(room + cell)
		} else {
			b.WriteString(cell + room)
		}
	}
	return strings.TrimRight(b.String(), " ")
}
