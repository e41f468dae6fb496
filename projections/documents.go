package projections

import (
	"io"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/readmodels"
	"strandline/readmodels/documents"
)

// Documents writes what clients say about objects, and what they attach to them.
type Documents struct{}

// Schema implements Projection.
func (Documents) Schema() readmodels.Schema { return documents.Schema }

// Apply implements Projection.
func (Documents) Apply(tx *readmodels.Tx, r domain.Recorded) error {
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

// Dump implements Projection.
func (Documents) Dump(tx *readmodels.Tx, w io.Writer) error { return documents.Dump(tx, w) }
