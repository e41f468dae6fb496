package projections

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"strandline/domain"
	"strandline/readmodels"
)

// table is a Model in SQLite.
type table struct {
	projection Projection
	db         *readmodels.DB
	writing    tableWriter
}

// Table returns the Model of a projection in SQLite, over a database opened with its schema and its former versions.
func Table(p Projection, db *readmodels.DB) Model {
	return &table{p, db, tableWriter{db, p.of(db.Version()).New(), setOf(db.LeftOut())}}
}

func (t *table) Name() string                     { return t.projection.Schema.Name }
func (t *table) Version() int                     { return t.db.Version() }
func (t *table) Checkpoint() domain.Position      { return t.db.Checkpoint() }
func (t *table) Stalled() error                   { return t.db.Stalled() }
func (t *table) stall(reason error)               { t.db.Stall(reason) }
func (t *table) open(context.Context, Feed) error { return nil }
func (t *table) wanted() <-chan struct{}          { return t.db.Wanted() }
func (t *table) close() error                     { return t.db.Close() }

func (t *table) LeftOut() []domain.Position { return t.db.LeftOut() }

func (t *table) Parked(ctx context.Context) ([]readmodels.Parked, error) { return t.db.Parked(ctx) }

func (t *table) CountParked(ctx context.Context) (int, error) { return t.db.CountParked(ctx) }

func (t *table) tidy() error {
	t.db.Rest()
	return nil
}

func (t *table) apply(ctx context.Context, batches []batch) error {
	return t.writing.apply(ctx, batches)
}

func (t *table) renew(log *slog.Logger) error {
	log.Warn("read model is damaged: dropped, to be built again from the log", "projection", t.Name())
	build, err := t.db.Beside(t.db.LeftOut())
	if err != nil {
		return err
	}
	err = build.Supplant()
	t.writing.applier = t.projection.New() // the damaged one may have been of a former version
	return err
}

// outdated tells whether a former version serves because the present one has never been built. Whoever has gone back to
// one wants it.
func (t *table) outdated() bool {
	before, _, kept := t.db.Previous()
	return t.db.Version() != t.projection.Schema.Version && !(kept && before == t.projection.Schema.Version)
}

func (t *table) previous() *Previous {
	version, at, kept := t.db.Previous()
	if !kept {
		return nil
	}
	return &Previous{version, at}
}

func (t *table) back() (replacement, error) {
	build, err := t.db.Back()
	if err != nil {
		return nil, err
	}
	return t.filling(build, t.db.LeftOut()), nil
}

func (t *table) beside(leftOut []domain.Position) (replacement, error) {
	build, err := t.db.Beside(leftOut)
	if err != nil {
		return nil, err
	}
	return t.filling(build, leftOut), nil
}

func (t *table) filling(build *readmodels.Build, leftOut []domain.Position) *tableBuild {
	return &tableBuild{t, build, tableWriter{build, t.projection.of(build.Version()).New(), setOf(leftOut)}}
}

func (t *table) apart(dir string, leftOut []domain.Position) (Model, error) {
	db, err := readmodels.Open(dir, t.projection.Schema, "", readmodels.LeavingOut(leftOut))
	if err != nil {
		return nil, err
	}
	return Table(t.projection, db), nil
}

func (t *table) dump(ctx context.Context, w io.Writer) error {
	return t.projection.of(t.Version()).Dump(ctx, t.db, w)
}

// tableBuild is a replacement of a table.
type tableBuild struct {
	serving *table
	build   *readmodels.Build
	writing tableWriter
}

func (t *tableBuild) Checkpoint() domain.Position { return t.build.Checkpoint() }
func (t *tableBuild) discard() error              { return t.build.Discard() }

func (t *tableBuild) apply(ctx context.Context, batches []batch) error {
	return t.writing.apply(ctx, batches)
}

// switchOver is called while nothing is applied to the serving table.
func (t *tableBuild) switchOver() error {
	err := t.build.Switch()
	if t.build.Serves() { // also where the old file could not be removed
		t.serving.writing = tableWriter{t.serving.db, t.serving.projection.of(t.build.Version()).New(), t.writing.leftOut}
	}
	return err
}

// tableWriter applies batches to one file.
type tableWriter struct {
	to interface {
		Update(ctx context.Context, checkpoint domain.Position, write func(*readmodels.Tx) error) error
	}
	applier Applier
	leftOut positions
}

// apply applies batches in one transaction. Where an event turns out to be poison, all is done again with care.
func (t tableWriter) apply(ctx context.Context, batches []batch) error {
	err := t.update(ctx, batches, t.applier.Apply)
	if err == nil || !isPoison(ctx, err) {
		return err
	}
	return t.update(ctx, batches, t.carefully)
}

// isPoison tells whether err lies with an event rather than with the machine.
func isPoison(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !readmodels.IsEnvironment(err) && !errors.Is(err, domain.ErrUnavailable)
}

// applyOne is how one event is applied.
type applyOne func(*readmodels.Tx, domain.Recorded) error

func (t tableWriter) update(ctx context.Context, batches []batch, how applyOne) error {
	err := t.to.Update(ctx, batches[len(batches)-1].last(), func(tx *readmodels.Tx) error {
		return recovered(func() error {
			for _, b := range batches {
				if err := b.each(tx, t.leftOut, how); err != nil {
					return err
				}
			}
			return t.applier.Flush(tx)
		})
	})
	if err != nil {
		t.applier.Forget()
	}
	return err
}

// each applies the events of a batch and parks those that could not be decoded.
func (b batch) each(tx *readmodels.Tx, leftOut positions, how applyOne) error {
	for i := range b.events {
		if leftOut.has(b.events[i].Position) {
			continue
		}
		err, undecoded := b.failed[i]
		if undecoded {
			err = tx.Park(parked(b.events[i], err))
		} else {
			err = how(tx, b.events[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// carefully applies an event with all that it leads to, or undoes what it wrote and parks it.
func (t tableWriter) carefully(tx *readmodels.Tx, e domain.Recorded) error {
	err := tx.Attempt(func() error {
		return recovered(func() error {
			if err := t.applier.Apply(tx, e); err != nil {
				return err
			}
			return t.applier.Flush(tx)
		})
	})
	if err == nil || readmodels.IsEnvironment(err) || errors.Is(err, domain.ErrUnavailable) {
		return err
	}
	t.applier.Forget()
	return tx.Park(parked(e, err))
}

// recovered runs do and turns a panic into an error.
func recovered(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return do()
}
