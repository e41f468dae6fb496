package projections

import (
	"context"
	"io"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/readmodels"
	"strandline/readmodels/documents"
)

// Documents writes what clients say about objects, and what they attach to them.
func Documents() Projection {
	return Projection{
		Schema: documents.Schema,
		New:    func() Applier { return ApplyFunc(applyDocument) },
		Dump: func(ctx context.Context, db *readmodels.DB, w io.Writer) error {
			return documents.New(db).Dump(ctx, w)
		},
	}
}

func applyDocument(tx *readmodels.Tx, r domain.Recorded) error {
	switch e := r.Event.(type) {
	case registry.Added:
		return documents.Add(tx, r.Position, r.Revision, e)
	case registry.Revised:
		return documents.Revise(tx, r.Position, r.Revision, e)
	case registry.Removed:
		return documents.Remove(tx, e)
	case attachment.Set:
		return documents.Attach(tx, r.Position, r.Revision, e)
	case attachment.Cleared:
		return documents.Clear(tx, e)
	}
	return nil
}
