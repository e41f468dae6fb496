package projections

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"strandline/domain"
	"strandline/readmodels"
)

// Model is a read model with the projection that fills it: of Table, Directory or Elsewhere.
type Model interface {
	// Name is the projection's name, and Version that of what it keeps.
	Name() string
	Version() int
	// Checkpoint is the position up to which the log has been applied.
	Checkpoint() domain.Position
	// Stalled is the reason for which the read model cannot go on at present, nil if it can.
	Stalled() error
	// Parked lists the events that could not be applied, oldest first.
	Parked(ctx context.Context) ([]readmodels.Parked, error)
	// CountParked is how many they are.
	CountParked(ctx context.Context) (int, error)

	// LeftOut are the positions of the events that are not applied because somebody has decided so, ascending.
	LeftOut() []domain.Position

	applier
	// open makes it ready to be applied to what a feed delivers, and finds out its checkpoint. It is called before each try.
	open(ctx context.Context, feed Feed) error
	stall(reason error)
	// renew begins anew after damage.
	renew(log *slog.Logger) error
	// beside begins an empty one that leaves out the events at some positions, ascending, and takes the place of this one
	// at its switchOver.
	beside(leftOut []domain.Position) (replacement, error)
	// outdated tells whether it serves a former version because the present one has never been built.
	outdated() bool
	// previous is the build that served before and is kept, nil if there is none; back lets it take the place of the present
	// one at its switchOver. It is domain.ErrRejected if there is none that can.
	previous() *Previous
	back() (replacement, error)
	// apart begins an empty one in folder dir, without any link to this one.
	apart(dir string, leftOut []domain.Position) (Model, error)
	dump(ctx context.Context, w io.Writer) error
	// tidy is called now and then: it saves what is in memory only, or gives back memory that is not needed.
	tidy() error
	close() error
}

// Previous is a build of a read model that served before.
type Previous struct {
	Version    int             `json:"version"`
	Checkpoint domain.Position `json:"checkpoint"`
}

// nothingKept is for models that keep no build but the one that serves.
type nothingKept struct{}

func (nothingKept) outdated() bool      { return false }
func (nothingKept) previous() *Previous { return nil }

func (nothingKept) back() (replacement, error) {
	return nil, fmt.Errorf("%w: no earlier build of it is kept: rebuild it", domain.ErrRejected)
}

// applier takes batches. They follow its checkpoint without a gap and are applied all or not at all.
type applier interface {
	Checkpoint() domain.Position
	apply(ctx context.Context, batches []batch) error
}

// replacement is an applier that is being filled beside a Model.
type replacement interface {
	applier
	switchOver() error
	discard() error
}
