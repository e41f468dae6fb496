package projections

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"strandline/domain"
	"strandline/readmodels"
)

// Model is a read model with the projection that fills it: of Table or of Memory.
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

	applier
	stall(reason error)
	// renew begins anew after damage.
	renew(log *slog.Logger) error
	// beside begins an empty one that takes the place of this one at its switchOver.
	beside() (replacement, error)
	// apart begins an empty one in folder dir, without any link to this one.
	apart(dir string) (Model, error)
	dump(ctx context.Context, w io.Writer) error
	save() error
	close() error
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

// table is a Model in SQLite.
type table struct {
	projection Projection
	db         *readmodels.DB
}

// Table returns the Model of a projection in SQLite, over a database opened with its schema.
func Table(p Projection, db *readmodels.DB) Model { return &table{p, db} }

func (t *table) Name() string                { return t.projection.Schema().Name }
func (t *table) Version() int                { return t.projection.Schema().Version }
func (t *table) Checkpoint() domain.Position { return t.db.Checkpoint() }
func (t *table) Stalled() error              { return t.db.Stalled() }
func (t *table) stall(reason error)          { t.db.Stall(reason) }
func (t *table) save() error                 { return nil }
func (t *table) close() error                { return t.db.Close() }

func (t *table) Parked(ctx context.Context) ([]readmodels.Parked, error) { return t.db.Parked(ctx) }

func (t *table) apply(ctx context.Context, batches []batch) error {
	return applyTable(ctx, t.projection, t.db, batches)
}

func (t *table) renew(log *slog.Logger) error {
	log.Warn("read model is damaged: dropped, to be built again from the log", "projection", t.Name())
	build, err := t.db.Beside()
	if err != nil {
		return err
	}
	return build.Switch()
}

func (t *table) beside() (replacement, error) {
	build, err := t.db.Beside()
	if err != nil {
		return nil, err
	}
	return &tableBuild{t.projection, build}, nil
}

func (t *table) apart(dir string) (Model, error) {
	db, err := readmodels.Open(dir, t.projection.Schema(), "")
	if err != nil {
		return nil, err
	}
	return Table(t.projection, db), nil
}

func (t *table) dump(ctx context.Context, w io.Writer) error {
	return t.db.View(ctx, func(tx *readmodels.Tx) error { return t.projection.Dump(tx, w) })
}

// tableBuild is a replacement of a table.
type tableBuild struct {
	projection Projection
	build      *readmodels.Build
}

func (t *tableBuild) Checkpoint() domain.Position { return t.build.Checkpoint() }
func (t *tableBuild) switchOver() error           { return t.build.Switch() }
func (t *tableBuild) discard() error              { return t.build.Discard() }

func (t *tableBuild) apply(ctx context.Context, batches []batch) error {
	return applyTable(ctx, t.projection, t.build, batches)
}

// updater is what DB and Build have in common.
type updater interface {
	Update(ctx context.Context, checkpoint domain.Position, write func(*readmodels.Tx) error) error
}

// applyTable applies batches in one transaction. Where an event turns out to be poison, all is done again with care.
func applyTable(ctx context.Context, p Projection, to updater, batches []batch) error {
	upTo := batches[len(batches)-1].last()
	err := to.Update(ctx, upTo, func(tx *readmodels.Tx) error { return applyEach(tx, p, batches, trustingly) })
	if err == nil || !isPoison(ctx, err) {
		return err
	}
	return to.Update(ctx, upTo, func(tx *readmodels.Tx) error { return applyEach(tx, p, batches, carefully) })
}

// isPoison tells whether err lies with an event rather than with the machine.
func isPoison(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !readmodels.IsEnvironment(err) && !errors.Is(err, domain.ErrUnavailable)
}

func applyEach(tx *readmodels.Tx, p Projection, batches []batch, how func(*readmodels.Tx, Projection, domain.Recorded) error) error {
	for _, b := range batches {
		for i, e := range b.events {
			err, undecoded := b.failed[i]
			if undecoded {
				err = tx.Park(parked(e, err))
			} else {
				err = how(tx, p, e)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// trustingly applies an event on the assumption that it can be.
func trustingly(tx *readmodels.Tx, p Projection, e domain.Recorded) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return p.Apply(tx, e)
}

// carefully applies an event, or undoes what it wrote and parks it.
func carefully(tx *readmodels.Tx, p Projection, e domain.Recorded) error {
	err := tx.Attempt(func() error { return trustingly(tx, p, e) })
	if err == nil || readmodels.IsEnvironment(err) || errors.Is(err, domain.ErrUnavailable) {
		return err
	}
	return tx.Park(parked(e, err))
}
