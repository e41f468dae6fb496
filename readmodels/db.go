package readmodels

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"strandline/domain"
)

// Schema is what a projection keeps. A change of Tables, or of what is written to them, needs a new Version, upon which
// the read model is built again.
type Schema struct {
	Name    string // of the projection, part of the file's name
	Version int
	Tables  string // statements that create its tables and indexes
}

// errClosed is met by readers that hold on to a file just replaced, who then find the new one, and after Close.
var errClosed = fmt.Errorf("%w: the read model is closed", domain.ErrUnavailable)

// DB is a read model's database: the file that serves at present, and the watermark of what it has applied.
type DB struct {
	dir        string
	schema     Schema
	generation string
	leftOut    []domain.Position // events that are not applied, under changing
	log        *slog.Logger
	readers    int
	former     []int // versions that may serve too

	changing  sync.Mutex // held while the serving file changes
	closed    bool
	serving   atomic.Pointer[file]
	build     int   // the highest build number given to a file
	previous  *past // nil if there is none
	watermark Watermark
}

// Option changes how a DB is opened.
type Option func(*DB)

// WithReaders sets how many connections may read at a time. The default is 4.
func WithReaders(n int) Option { return func(d *DB) { d.readers = n } }

// WithLogger sets where dropped files are reported. The default is nowhere.
func WithLogger(l *slog.Logger) Option { return func(d *DB) { d.log = l } }

// LeavingOut names the events that the projection leaves out, ascending. A file that was filled with others is dropped.
func LeavingOut(positions []domain.Position) Option {
	return func(d *DB) { d.leftOut = positions }
}

// Former names earlier versions whose files this program can read and write too. Such a file serves until one of the
// schema's version has been built beside it.
func Former(versions ...int) Option { return func(d *DB) { d.former = versions } }

// Origin names what a read model is made of: a generation of the event store, without the events at some positions.
func Origin(generation string, leftOut []domain.Position) string {
	if len(leftOut) == 0 {
		return generation
	}
	sum := sha256.New()
	for _, p := range leftOut {
		fmt.Fprintln(sum, p)
	}
	return fmt.Sprintf("%s without %d events, %x", generation, len(leftOut), sum.Sum(nil))
}

// Open opens the read model of schema in folder dir, which is made if it is missing. A file that is damaged or of another
// generation of the event store is dropped: the new one begins at the start of the log. One that served before, or of a
// version that this program cannot read, is kept for the way back, if it is of the same events.
func Open(dir string, schema Schema, generation string, options ...Option) (*DB, error) {
	d := &DB{dir: dir, schema: schema, generation: generation, log: slog.New(slog.DiscardHandler), readers: 4}
	for _, option := range options {
		option(d)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open read model %s: %w", schema.Name, err)
	}
	f, err := d.find()
	if err != nil {
		return nil, fmt.Errorf("open read model %s: %w", schema.Name, err)
	}
	if f == nil {
		if f, err = d.begin(); err != nil {
			return nil, fmt.Errorf("open read model %s: %w", schema.Name, err)
		}
	}
	d.serving.Store(f)
	d.watermark.Set(f.at)
	return d, nil
}

// find opens the file that serves, and closes and keeps one that has served before. It removes all others.
func (d *DB) find() (serving *file, err error) {
	builds, err := d.files()
	if err != nil {
		return nil, err
	}
	var sound []*file
	for _, b := range slices.Backward(builds) {
		d.build = max(d.build, b.number)
		path := filepath.Join(d.dir, b.name)
		if f := d.try(path, b.version); f != nil {
			sound = append(sound, f)
		} else if err := removeFile(path); err != nil {
			return nil, err
		}
	}
	serving = d.choose(sound)
	for _, f := range sound {
		if f == serving {
			continue
		}
		keep := d.previous == nil
		if keep {
			d.previous = &past{f.path, f.version, f.at}
		}
		if err := f.leave(keep); err != nil {
			return nil, err
		}
	}
	return serving, nil
}

// choose is the file that is to serve, nil if none may: of those that did last, one of the schema's version before others,
// and only if there is none one that did before. Newer ones come first.
func (d *DB) choose(sound []*file) *file {
	for _, state := range []string{serves, served} {
		for _, versions := range [][]int{{d.schema.Version}, d.former} {
			for _, f := range sound {
				if f.serving == state && slices.Contains(versions, f.version) {
					return f
				}
			}
		}
	}
	return nil
}

// try opens a file; nil, with a log line, if it cannot serve.
func (d *DB) try(path string, version int) *file {
	f, err := openFile(path, version, d.readers)
	switch {
	case err != nil:
		d.log.Warn("read model is damaged: dropped, to be built again from the log", "file", path, "error", err)
		return nil
	case f.origin != Origin(d.generation, d.leftOut):
		d.log.Warn("read model is of another generation of the event store, or of other events of it: dropped, to be built again", "file", path)
	case f.serving == "":
		d.log.Info("read model was not finished: dropped", "file", path)
	default:
		return f
	}
	f.close()
	return nil
}

// leave closes a file that does not serve any more, and removes it unless it is to be kept.
func (f *file) leave(keep bool) error {
	if !keep {
		return errors.Join(f.close(), removeFile(f.path))
	}
	return errors.Join(f.mark(served), f.close())
}

// begin creates a file that serves from the start of the log.
func (d *DB) begin() (*file, error) {
	f, err := createFile(d.nextPath(), d.schema, Origin(d.generation, d.leftOut), d.readers)
	if err != nil {
		return nil, err
	}
	return f, f.mark(serves)
}

func (d *DB) nextPath() string {
	d.build++
	return filepath.Join(d.dir, fmt.Sprintf("%s-v%d-b%d.db", d.schema.Name, d.schema.Version, d.build))
}

// built is a file's name taken apart.
type built struct {
	name            string
	version, number int
}

// files lists the files of this projection, of all versions, the oldest build first.
func (d *DB) files() ([]built, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	var found []built
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), d.schema.Name+"-v")
		rest, isDB := strings.CutSuffix(rest, ".db")
		version, number, two := strings.Cut(rest, "-b")
		v, err1 := strconv.Atoi(version)
		n, err2 := strconv.Atoi(number)
		if ours && isDB && two && err1 == nil && err2 == nil {
			found = append(found, built{e.Name(), v, n})
		}
	}
	slices.SortFunc(found, func(a, b built) int { return a.number - b.number })
	return found, nil
}

// Schema is what the DB was opened with.
func (d *DB) Schema() Schema { return d.schema }

// Checkpoint is the position up to which the read model has applied the log.
func (d *DB) Checkpoint() domain.Position { return d.watermark.At() }

// Wait returns once the read model has applied everything up to position; see Watermark.Wait.
func (d *DB) Wait(ctx context.Context, position domain.Position) error {
	return d.watermark.Wait(ctx, position)
}

// Wanted returns a channel that is closed while somebody waits, or else once somebody begins to; see Watermark.Wanted.
func (d *DB) Wanted() <-chan struct{} { return d.watermark.Wanted() }

// Stall says that updates fail for a reason that lies with the machine. The next Update that succeeds ends it.
func (d *DB) Stall(reason error) { d.watermark.Stall(reason) }

// Stalled is the reason given to Stall, nil if updates go on.
func (d *DB) Stalled() error { return d.watermark.Stalled() }

// Update runs write in a transaction that also sets the checkpoint, and then wakes those who wait. After an error
// nothing has happened.
func (d *DB) Update(ctx context.Context, checkpoint domain.Position, write func(*Tx) error) error {
	f := d.serving.Load()
	if err := f.update(ctx, checkpoint, write); err != nil {
		return err
	}
	if d.serving.Load() == f {
		d.watermark.Set(checkpoint)
	}
	return nil
}

// View runs read in a transaction of its own: all its queries see the same state. It may not write.
func (d *DB) View(ctx context.Context, read func(*Tx) error) error {
	for {
		f := d.serving.Load()
		err := f.view(ctx, read)
		if errors.Is(err, errClosed) && d.serving.Load() != f {
			continue
		}
		return err
	}
}

// Parked lists the events that could not be applied, oldest first.
func (d *DB) Parked(ctx context.Context) (parked []Parked, err error) {
	err = d.View(ctx, func(tx *Tx) error {
		for row, err := range tx.Query("SELECT position, stream, type, reason FROM parked ORDER BY id") {
			if err != nil {
				return err
			}
			position, err := domain.ParsePosition(row.Text(0))
			if err != nil {
				return err
			}
			parked = append(parked, Parked{position, row.Text(1), row.Text(2), row.Text(3)})
		}
		return nil
	})
	return parked, err
}

// Rest gives back the memory of readers if there have been none since the last call.
func (d *DB) Rest() { d.serving.Load().rest() }

// CountParked is the number of events that could not be applied.
func (d *DB) CountParked(ctx context.Context) (n int, err error) {
	err = d.View(ctx, func(tx *Tx) error {
		for row, err := range tx.Query("SELECT count(*) FROM parked") {
			if err != nil {
				return err
			}
			n = row.Int(0)
		}
		return nil
	})
	return n, err
}

// Close waits for readers and closes the file. Closing again does nothing.
func (d *DB) Close() error {
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.serving.Load().close()
}

// Build is a file that is being filled beside the one that serves.
type Build struct {
	db      *DB
	file    *file
	leftOut []domain.Position
	again   bool // it has served before
}

// past is a file that served before. Nobody has it open.
type past struct {
	path    string
	version int
	at      domain.Position
}

// Previous is the version of the file that served before the present one, and where it ends. It is false if there is none.
func (d *DB) Previous() (version int, at domain.Position, ok bool) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.previous == nil {
		return 0, domain.Position{}, false
	}
	return d.previous.version, d.previous.at, true
}

// Version is that of the file that serves: the schema's, or a former one.
func (d *DB) Version() int { return d.serving.Load().version }

// LeftOut are the positions of the events that the projection leaves out, ascending.
func (d *DB) LeftOut() []domain.Position {
	d.changing.Lock()
	defer d.changing.Unlock()
	return d.leftOut
}

// Beside begins a new file at the start of the log, to be filled without the events at some positions, ascending. The
// present one goes on serving until Build.Switch.
func (d *DB) Beside(leftOut []domain.Position) (*Build, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	f, err := createFile(d.nextPath(), d.schema, Origin(d.generation, leftOut), d.readers)
	if err != nil {
		return nil, fmt.Errorf("build read model %s: %w", d.schema.Name, err)
	}
	return &Build{db: d, file: f, leftOut: leftOut}, nil
}

// Back opens the file that served before, to be brought up to date and to serve again. It is domain.ErrRejected if there is
// none, or if it is of a version that this program cannot read.
func (d *DB) Back() (*Build, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	switch {
	case d.previous == nil:
		return nil, fmt.Errorf("%w: no earlier build of %s is kept", domain.ErrRejected, d.schema.Name)
	case !slices.Contains(append(d.former, d.schema.Version), d.previous.version):
		return nil, fmt.Errorf("%w: the earlier build of %s is of version %d, which only the program that made it can serve: start that",
			domain.ErrRejected, d.schema.Name, d.previous.version)
	}
	f, err := openFile(d.previous.path, d.previous.version, d.readers)
	if err != nil {
		return nil, fmt.Errorf("open the earlier build of %s: %w", d.schema.Name, err)
	}
	return &Build{db: d, file: f, leftOut: d.leftOut, again: true}, nil
}

// Checkpoint is the position up to which the new file has the log.
func (b *Build) Checkpoint() domain.Position { return b.file.checkpoint() }

// Version is that of the file's schema.
func (b *Build) Version() int { return b.file.version }

// Serves tells whether the file has come to serve.
func (b *Build) Serves() bool { return b.db.serving.Load() == b.file }

// Update is DB.Update on the new file.
func (b *Build) Update(ctx context.Context, checkpoint domain.Position, write func(*Tx) error) error {
	return b.file.update(ctx, checkpoint, write)
}

// Switch lets the new file serve. The old one is closed once its readers are done, and kept for the way back if it is of
// the same events; what was kept before is removed. A crash leaves one of the two serving.
func (b *Build) Switch() error { return b.serve(true) }

// Supplant is Switch, but the old file, which is not sound, is removed.
func (b *Build) Supplant() error { return b.serve(false) }

func (b *Build) serve(keep bool) error {
	d := b.db
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := b.file.mark(serves); err != nil {
		return err
	}
	old := d.serving.Swap(b.file)
	keep = keep && slices.Equal(d.leftOut, b.leftOut)
	d.leftOut = b.leftOut
	d.watermark.Set(b.file.checkpoint())
	var errs []error
	if d.previous != nil && !b.again {
		errs = append(errs, removeFile(d.previous.path))
	}
	d.previous = nil
	if keep {
		d.previous = &past{old.path, old.version, old.checkpoint()}
	}
	return errors.Join(append(errs, old.leave(keep))...)
}

// Discard closes the new file and removes it, unless it has served before.
func (b *Build) Discard() error {
	if b.again {
		b.db.changing.Lock()
		defer b.db.changing.Unlock()
		b.db.previous.at = b.file.checkpoint()
		return b.file.close()
	}
	return errors.Join(b.file.close(), removeFile(b.file.path))
}
