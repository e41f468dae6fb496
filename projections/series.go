package projections

import (
	"context"
	"io"

	"strandline/readmodels"
	"strandline/readmodels/series"
)

// Series keeps what was observed, by time.
func Series() Projection {
	return Projection{
		Schema: series.Schema,
		New:    func() Applier { return series.NewWriter() },
		Dump: func(ctx context.Context, db *readmodels.DB, w io.Writer) error {
			return series.NewStore(db).Dump(ctx, w)
		},
	}
}
