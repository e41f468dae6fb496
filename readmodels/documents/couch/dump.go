package couch

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// dump writes all objects by kind and id, then all attachments by owner, target and key, as documents.Store.Dump does.
func dump(ctx context.Context, b *build, database string, w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, of := range []struct {
		first string
		line  func(*entry) []field
	}{{ofObjects, objectFields}, {ofAttachments, attachmentFields}} {
		d := &dumping{build: b, database: database, out: out, line: of.line}
		start, end := below(of.first)
		err := ranged(ctx, b.store.server, database, start, end, true, func(r row[entry]) error { return d.next(ctx, of.first, r.Doc) })
		if err == nil {
			err = d.flush(ctx)
		}
		if err != nil {
			return fmt.Errorf("dump documents: %w", err)
		}
	}
	return out.Flush()
}

// dumping writes entries in the order of names. Those whose ids are in no order are held back until all of them are there.
type dumping struct {
	build    *build
	database string
	out      *bufio.Writer
	line     func(*entry) []field

	held   []entry
	prefix string // of the ids of held, empty if it is one that is in order
}

func (d *dumping) next(ctx context.Context, first string, e entry) error {
	if !e.ours(first) || e.Gone {
		return nil
	}
	prefix := unordered(first, e.Names...)
	if prefix == "" || prefix != d.prefix {
		if err := d.flush(ctx); err != nil {
			return err
		}
	}
	d.held, d.prefix = append(d.held, e), prefix
	return nil
}

// flush writes what is held back.
func (d *dumping) flush(ctx context.Context) error {
	slices.SortFunc(d.held, func(a, b entry) int { return slices.Compare(a.Names, b.Names) })
	for i := range d.held {
		e := &d.held[i]
		if err := d.build.store.server.whole(ctx, d.database, e); err != nil {
			return err
		}
		if e.Gone {
			continue
		}
		if err := writeLine(d.out, d.line(e)); err != nil {
			return err
		}
	}
	d.held = d.held[:0]
	return nil
}

// field is a member of a line.
type field struct {
	name string
	text any // a string, or a number
}

func objectFields(e *entry) []field {
	return []field{{"kind", e.Names[0]}, {"id", e.Names[1]}, {"parent", e.Parent}, {"created", e.Created.String()},
		{"revised", e.At.String()}, {"revision", e.Revision}, {"body", e.Body}}
}

func attachmentFields(e *entry) []field {
	return []field{{"owner", e.Names[0]}, {"target", e.Names[1]}, {"key", e.Names[2]}, {"position", e.At.String()},
		{"revision", e.Revision}, {"value", e.Body}}
}

func writeLine(w *bufio.Writer, fields []field) error {
	separator := byte('{')
	for _, f := range fields {
		value, err := json.Marshal(f.text)
		if err != nil {
			return err
		}
		w.WriteByte(separator)
		w.WriteString(strconv.Quote(f.name))
		w.WriteByte(':')
		w.Write(value)
		separator = ','
	}
	_, err := w.WriteString("}\n")
	return err
}
