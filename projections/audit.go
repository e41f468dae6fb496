package projections

import (
	"io"

	"strandline/domain"
	"strandline/readmodels"
	"strandline/readmodels/audit"
)

// Audit writes one record for each request, from all events that it led to.
type Audit struct{}

// Schema implements Projection.
func (Audit) Schema() readmodels.Schema { return audit.Schema }

// Apply implements Projection.
func (Audit) Apply(tx *readmodels.Tx, r domain.Recorded) error { return audit.Write(tx, r) }

// Dump implements Projection.
func (Audit) Dump(tx *readmodels.Tx, w io.Writer) error { return audit.Dump(tx, w) }
