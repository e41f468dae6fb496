package projections

import (
	"context"
	"fmt"
	"io"

	"strandline/domain"
	"strandline/readmodels"
)

// Projection says what events write to a read model in SQLite.
type Projection struct {
	// Schema names the projection and its tables.
	Schema readmodels.Schema
	// New makes what writes to one file. Two may be at work at once, on files beside each other.
	New func() Applier
	// Dump writes all that the read model holds as JSON lines, in an order and a form that depend on nothing else.
	Dump func(ctx context.Context, db *readmodels.DB, w io.Writer) error
	// Former are earlier versions that this program can still write and read: while the present one is being built, one of
	// them serves, if there is a file of it. Whoever reads asks Tx.Version.
	Former []Projection
}

// FormerVersions are those of Former, for the database.
func (p Projection) FormerVersions() (versions []int) {
	for _, f := range p.Former {
		versions = append(versions, f.Schema.Version)
	}
	return versions
}

// of is the projection of a version, which is the present or a former one.
func (p Projection) of(version int) Projection {
	for _, f := range p.Former {
		if f.Schema.Version == version {
			return f
		}
	}
	return p
}

// Applier writes events to one file, within transactions: Apply for each event in order, Flush before the commit, Forget
// after a transaction that was not committed.
type Applier interface {
	// Apply writes what one event means, or keeps it until Flush. An error that does not lie with the machine, or a
	// panic, parks the event: what it wrote is undone, the error is kept for people to look at, and the rest goes on.
	Apply(tx *readmodels.Tx, r domain.Recorded) error
	// Flush writes what Apply has kept.
	Flush(tx *readmodels.Tx) error
	// Forget drops what Apply has kept, and whatever else cannot be read from the file.
	Forget()
}

// ApplyFunc is an Applier that keeps nothing.
type ApplyFunc func(tx *readmodels.Tx, r domain.Recorded) error

// Apply implements Applier.
func (f ApplyFunc) Apply(tx *readmodels.Tx, r domain.Recorded) error { return f(tx, r) }

// Flush implements Applier.
func (ApplyFunc) Flush(*readmodels.Tx) error { return nil }

// Forget implements Applier.
func (ApplyFunc) Forget() {}

// panicked is the error of a recovered panic.
func panicked(p any) error { return fmt.Errorf("panic: %v", p) }

// parked describes an event that could not be applied.
func parked(e domain.Recorded, reason error) readmodels.Parked {
	return readmodels.Parked{Position: e.Position, Stream: e.Stream, Type: e.Type, Reason: reason.Error()}
}
