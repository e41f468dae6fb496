package audit

import (
	"context"
	"io"
	"strings"

	"strandline/readmodels"
)

// Dump writes all records in the order of their numbers, as JSON lines. Ids of requests are in hexadecimal.
func (s *Store) Dump(ctx context.Context, w io.Writer) error {
	names := strings.Fields(strings.ReplaceAll(columns, ",", " "))
	query := "SELECT " + strings.Replace(columns, "request,", "lower(hex(request)),", 1) + " FROM request ORDER BY number"
	return s.db.View(ctx, func(tx *readmodels.Tx) error { return readmodels.DumpTable(tx, w, names, query) })
}
