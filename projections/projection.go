package projections

import (
	"fmt"
	"io"

	"strandline/domain"
	"strandline/readmodels"
)

// Projection says what events write to a read model in SQLite. It keeps nothing outside the transaction that it is
// given, because that may be rolled back, and one projection may fill two files at once, one of them beside the other.
type Projection interface {
	// Schema names the projection and its tables.
	Schema() readmodels.Schema
	// Apply writes what one event means. An error or a panic parks the event: what it wrote is undone, the error is
	// kept for people to look at, and the projection goes on with the next one.
	Apply(tx *readmodels.Tx, r domain.Recorded) error
	// Dump writes all that the read model holds as JSON lines, in an order and a form that depend on nothing else.
	Dump(tx *readmodels.Tx, w io.Writer) error
}

// panicked is the error of a recovered panic.
func panicked(p any) error { return fmt.Errorf("panic: %v", p) }

// parked describes an event that could not be applied.
func parked(e domain.Recorded, reason error) readmodels.Parked {
	return readmodels.Parked{Position: e.Position, Stream: e.Stream, Type: e.Type, Reason: reason.Error()}
}
