package readmodels

import (
	"context"
	"io"
	"time"

	"strandline/domain"
)

// Remote is a read model in an engine elsewhere. It holds builds, of which one serves; another may be filled beside it.
// An engine that is away makes methods fail with domain.ErrUnavailable, before ctx ends or within some seconds.
type Remote interface {
	// Name is the projection's name, and Version that of what it keeps.
	Name() string
	Version() int
	// Open returns the build that serves if it is of the given origin (see Origin), else an empty one that
	// serves from now on.
	Open(ctx context.Context, origin string) (RemoteBuild, error)
	// Beside begins an empty build that does not serve.
	Beside(ctx context.Context, origin string) (RemoteBuild, error)
	// Follow returns the build of a generation of the event store that serves, and has it read here from now on; nil if there
	// is none. Another process writes to it: it is only asked for its Checkpoint, which is the engine's, for Parked and Dump.
	// It makes nothing. Who follows calls it again and again: what it returned before is not used after that.
	Follow(ctx context.Context, generation string) (RemoteBuild, error)
	// Concerns tells whether an event can change what is kept. The checkpoint that the engine has is moved at once by those
	// that do, and within seconds by others.
	Concerns(e domain.Event) bool
	// Watermark says what the build that serves has applied. Those who read wait for it; the Model moves it.
	Watermark() *Watermark
	// Close lets go of the engine. Builds are not used after it.
	Close() error
}

// RemoteBuild is one copy of a read model in an engine. Only one goroutine writes to it.
type RemoteBuild interface {
	// Origin is what it is made of; see the function Origin.
	Origin() string
	// Checkpoint is the position up to which everything has been written: the engine's at first, then that of the last
	// Write that succeeded.
	Checkpoint() domain.Position
	// Write writes what a batch means, and after it the checkpoint. After an error some of it may be there already: the
	// same events come again, cut into batches in another way, also in another process, and then all is there once. An
	// error that wraps domain.ErrUnavailable lies with the engine; any other has the events come again one by one, and
	// parks those that fail again.
	Write(ctx context.Context, b RemoteBatch) error
	// Parked lists the events that could not be applied up to the checkpoint, oldest first.
	Parked(ctx context.Context) ([]Parked, error)
	// Serve has the build serve from now on, to be read and to be opened, and drops the one that did, but not before other
	// processes have had Followed time to hear of it.
	Serve(ctx context.Context) error
	// Drop removes it.
	Drop(ctx context.Context) error
	// Dump writes all that it holds as JSON lines, in an order and a form that depend on nothing else.
	Dump(ctx context.Context, w io.Writer) error
}

// Followed is how long other processes may go on reading a build that another one has replaced.
const Followed = 15 * time.Second

// RemoteBatch is what is written together.
type RemoteBatch struct {
	Events []domain.Recorded // in their order
	Parked []Parked          // those among them that could not be decoded, or applied
	UpTo   domain.Position   // the checkpoint afterwards: the last event may be one that is left out
}
