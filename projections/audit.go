package projections

import (
	"context"
	"io"

	"strandline/readmodels"
	"strandline/readmodels/audit"
)

// Audit writes one record for each request, from all events that it led to.
func Audit() Projection {
	return Projection{
		Schema: audit.Schema,
		New:    func() Applier { return ApplyFunc(audit.Write) },
		Dump: func(ctx context.Context, db *readmodels.DB, w io.Writer) error {
			return audit.New(db).Dump(ctx, w)
		},
	}
}
