package couch

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// dump writes all objects by kind and id, then all attachments by owner, target and key, as documents.Store.Dump does.
func dump(ctx context.Context, b *build, database string, w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, of := range []struct {
		first string
		line  func(*entry) []field
	}{{ofObjects, objectFields}, {ofAttachments, attachmentFields}} {
		start, end := below(of.first)
		err := ranged(ctx, b.store.server, database, start, end, true, func(r row[entry]) error {
			e := &r.Doc
			if err := b.store.server.whole(ctx, database, e); err != nil || e.Gone {
				return err
			}
			return writeLine(out, of.line(e))
		})
		if err != nil {
			return fmt.Errorf("dump documents: %w", err)
		}
	}
	return out.Flush()
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
