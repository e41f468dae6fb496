package audit

import (
	"context"
	"io"
	"strings"

	"strandline/readmodels"
)

// Dump writes all records in the order of their numbers, as JSON lines. Ids of requests are written as clients get to see
// them in the header Strandline-Request.
func (s *Store) Dump(ctx context.Context, w io.Writer) error {
	names := strings.Fields(strings.ReplaceAll(columns, ",", " "))
	query := "SELECT " + strings.Replace(columns, "request,", uuid+",", 1) + " FROM request ORDER BY number"
	return s.db.View(ctx, func(tx *readmodels.Tx) error { return readmodels.DumpTable(tx, w, names, query) })
}

// uuid is the text of a request's id.
const uuid = `lower(substr(hex(request), 1, 8) || '-' || substr(hex(request), 9, 4) || '-' || substr(hex(request), 13, 4) || '-' ||
	substr(hex(request), 17, 4) || '-' || substr(hex(request), 21))`
