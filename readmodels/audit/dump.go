package audit

import (
	"io"
	"strings"

	"strandline/readmodels"
)

// Dump writes all records in the order of their numbers, as JSON lines. Ids of requests are in hexadecimal.
func Dump(tx *readmodels.Tx, w io.Writer) error {
	names := strings.Fields(strings.ReplaceAll(columns, ",", " "))
	return readmodels.DumpTable(tx, w, names,
		"SELECT "+strings.Replace(columns, "request,", "lower(hex(request)),", 1)+" FROM request ORDER BY number")
}
