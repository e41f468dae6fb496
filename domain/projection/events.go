// Package projection decides which events a projection leaves out: those that an operator has set aside, so that the
// rest can go on, and those that are never to be applied. There is one stream for each projection. What a read model
// holds is what its projection makes of all events but these, whenever it is built.
package projection

import "strandline/domain"

// Parked says that a projection leaves events out until somebody has looked into them. Type "projection.parked".
type Parked struct {
	Projection string            `json:"projection"`
	Positions  []domain.Position `json:"positions"` // ascending
}

// Discarded says that a projection leaves events out for good. Type "projection.discarded".
type Discarded struct {
	Projection string            `json:"projection"`
	Positions  []domain.Position `json:"positions"` // ascending
}

// Retried says that a projection applies events again that it has left out or could not apply. Type
// "projection.retried".
type Retried struct {
	Projection string            `json:"projection"`
	Positions  []domain.Position `json:"positions"` // ascending
}

// Rebuilt says that a projection was made again from the start of the log. Type "projection.rebuilt".
type Rebuilt struct {
	Projection string `json:"projection"`
}

// Reverted says that the build of a projection that served before the present one was to serve again, once it had what came
// since. Type "projection.reverted".
type Reverted struct {
	Projection string `json:"projection"`
}

func (Reverted) EventType() string  { return "projection.reverted" }
func (Rebuilt) EventType() string   { return "projection.rebuilt" }
func (Parked) EventType() string    { return "projection.parked" }
func (Discarded) EventType() string { return "projection.discarded" }
func (Retried) EventType() string   { return "projection.retried" }

// Park sets events aside, Discard leaves them out for good, Retry applies them again, Rebuild applies all again, and
// Revert goes back to the build before. Whether there are such events, or such a build, the caller has found out; a projection
// is named by this program and never by a client.
type (
	Park    Parked
	Discard Discarded
	Retry   Retried
	Rebuild Rebuilt
	Revert  Reverted
)

func (c Park) Stream() string       { return Stream(c.Projection) }
func (c Discard) Stream() string    { return Stream(c.Projection) }
func (c Retry) Stream() string      { return Stream(c.Projection) }
func (c Rebuild) Stream() string    { return Stream(c.Projection) }
func (c Revert) Stream() string     { return Stream(c.Projection) }
func (Revert) CommandName() string  { return "projection.revert" }
func (Rebuild) CommandName() string { return "projection.rebuild" }
func (Park) CommandName() string    { return "projection.park" }
func (Discard) CommandName() string { return "projection.discard" }
func (Retry) CommandName() string   { return "projection.retry" }

// Stream is the stream of a projection.
func Stream(projection string) string { return "projection-" + projection }
