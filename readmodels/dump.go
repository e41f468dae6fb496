package readmodels

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// DumpTable writes the rows of a query as JSON lines: objects with the given names for its columns, in their order.
// Numbers are written as such, everything else as text, NULL not at all.
func DumpTable(tx *Tx, w io.Writer, names []string, query string) error {
	buffered := bufio.NewWriter(w)
	for row, err := range tx.Query(query) {
		if err != nil {
			return err
		}
		if err := dumpRow(buffered, names, row); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

func dumpRow(w *bufio.Writer, names []string, row Row) error {
	separator := '{'
	for i, name := range names {
		if row.IsNull(i) {
			continue
		}
		value, err := dumpValue(row, i)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%c%q:%s", separator, name, value)
		separator = ','
	}
	_, err := w.WriteString("}\n")
	return err
}

func dumpValue(row Row, column int) ([]byte, error) {
	if row.IsInteger(column) {
		return fmt.Appendf(nil, "%d", row.Int64(column)), nil
	}
	return json.Marshal(row.Text(column))
}
