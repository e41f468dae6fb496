package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/codec"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/readmodels/directory"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/keys"
	"strandline/transport/metrics"
	"strandline/transport/tracing"
	"strandline/transport/zstd"
)

// storage is what a data folder holds, opened: the log and the keys, which are the truth, and the read models.
type storage struct {
	log       eventLog
	keys      *keys.Store
	codec     *codec.Codec
	directory *directory.Directory
	documents *readmodels.DB
	series    *readmodels.DB
	audit     *readmodels.DB
	models    []projections.Model
	tracer    *tracing.Tracer  // nil where nothing is traced
	metrics   *metrics.Metrics // of the log at first, then of all that a node does
	clock     func() time.Time
	redis     doorbell // of a server that has one
}

// truth is where a data folder keeps what cannot be made again: the file systems of the log and of the keys, which the
// simulation takes from a machine of its own.
type truth struct {
	log, keys files.System
	options   embedded.Options
	elsewhere eventLog // in the place of log; nil if that is here
}

// openStorage opens a data folder and makes what is missing. Events are stored elsewhere, or with nil in the folder. Without durable the log does not wait for the disk.
func openStorage(dir string, elsewhere eventLog, durable bool, log *slog.Logger) (*storage, error) {
	t := truth{elsewhere: elsewhere, options: embedded.Options{NoSync: !durable, Logger: part(log, "log")}}
	err := t.onDisk(dir)
	if err != nil {
		return nil, exitWith(exitData, fmt.Errorf("data folder %s: %w", dir, unusable(err)))
	}
	return openStorageOn(t, dir, log)
}

func (t *truth) onDisk(dir string) (err error) {
	if t.log, err = files.NewDisk(filepath.Join(dir, "log")); err != nil {
		return err
	}
	t.keys, err = files.NewDisk(filepath.Join(dir, "keys"))
	return err
}

// openStorageOn is openStorage with the log and the keys in t.
func openStorageOn(t truth, dir string, log *slog.Logger) (*storage, error) {
	s := &storage{metrics: metrics.New(version()), clock: time.Now}
	if t.options.Clock != nil {
		s.clock = t.options.Clock
	}
	t.options.Observer = s.metrics
	if err := s.open(t, dir, log); err != nil {
		return nil, exitWith(exitData, errors.Join(fmt.Errorf("data folder %s: %w", dir, err), s.closeModels(), s.close()))
	}
	return s, nil
}

func (s *storage) open(t truth, dir string, log *slog.Logger) error {
	if err := s.openTruth(t, dir); err != nil {
		return err
	}
	compressor, err := zstd.New()
	if err != nil {
		return err
	}
	s.codec = codec.New(s.keys, s.keys, compressor, compressor)
	if err := s.openModels(filepath.Join(dir, "readmodels"), s.log.Generation().String(), part(log, "readmodels")); err != nil {
		return err
	}
	return s.complete()
}

// complete makes sure that the log ends no earlier than the read models know: they never see what is not on disk.
func (s *storage) complete() error {
	head, err := s.log.Head(context.Background())
	if err != nil {
		return err
	}
	for _, m := range s.models {
		if at := m.Checkpoint(); head.Before(at) {
			return errors.Join(s.closeModels(), fmt.Errorf("the log ends at %s, but the read model %s has seen %s, so events are missing: "+
				"restore log/ from its backup, or delete readmodels/ to go on without them", shown(head), m.Name(), at))
		}
	}
	return nil
}

func shown(p domain.Position) string {
	if p.IsZero() {
		return "its beginning"
	}
	return p.String()
}

// openTruth opens the log first: its lock keeps a second server out of the whole folder.
func (s *storage) openTruth(t truth, dir string) error {
	if t.elsewhere != nil {
		s.log = t.elsewhere
		return s.openKeys(t.keys, filepath.Join(dir, "keys"))
	}
	own, err := embedded.Open(t.log, t.options)
	if errors.Is(err, domain.ErrDamaged) {
		return fmt.Errorf("%w; restore log/ from its backup", err)
	}
	if err != nil {
		return err
	}
	s.log = own
	return s.openKeys(t.keys, filepath.Join(dir, "keys"))
}

// openKeys opens the keys, and makes them where the log is empty: new keys would open nothing of what it holds.
func (s *storage) openKeys(disk files.System, dir string) error {
	made, err := keys.Made(disk)
	if err != nil {
		return err
	}
	head, err := s.log.Head(context.Background())
	if err != nil {
		return err
	}
	if !made && !head.IsZero() {
		return fmt.Errorf("the log holds events, but the keys that open them are missing in %s: restore keys/ from its backup", dir)
	}
	s.keys, err = keys.Open(disk, rand.Reader)
	return err
}

// unusable adds to an error of the file system what helps.
func unusable(err error) error {
	return fmt.Errorf("%w; give --data a folder that this user may make and write", err)
}

func (s *storage) openModels(dir, generation string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unusable(err)
	}
	leftOut := func(name string) (out []domain.Position, err error) {
		decided, err := s.decided(context.Background(), name, domain.Position{})
		return decided.LeftOut(), err
	}
	out, err := leftOut(directory.Name)
	if err != nil {
		return err
	}
	var inMemory projections.Model
	s.directory, inMemory = projections.Directory(dir, generation, log, out...)
	s.models = append(s.models, inMemory)
	for _, table := range []struct {
		projection projections.Projection
		db         **readmodels.DB
	}{{projections.Documents(), &s.documents}, {projections.Series(), &s.series}, {projections.Audit(), &s.audit}} {
		out, err := leftOut(table.projection.Schema.Name)
		if err != nil {
			return err
		}
		db, err := readmodels.Open(dir, table.projection.Schema, generation, readmodels.LeavingOut(out), readmodels.WithLogger(log))
		if err != nil {
			return err
		}
		*table.db = db
		s.models = append(s.models, projections.Table(table.projection, db))
	}
	return nil
}

// feed is where read models hear of events.
func (s *storage) feed() projections.Feed {
	if s.redis.feed != nil {
		return s.redis.feed
	}
	return s.log
}

// decode opens a record and decodes it.
func (s *storage) decode(ctx context.Context, r domain.Record) (domain.Recorded, error) {
	return s.codec.Decode(ctx, r, parts{s.log})
}

// Decode is decode for whoever takes an interface.
func (s *storage) Decode(ctx context.Context, r domain.Record) (domain.Recorded, error) {
	return s.decode(ctx, r)
}

// model finds a read model by its projection's name.
func (s *storage) model(name string) (projections.Model, error) {
	for _, m := range s.models {
		if m.Name() == name {
			return m, nil
		}
	}
	return nil, exitWith(exitUsage, fmt.Errorf("there is no projection %q: choose one of %s", name, s.names()))
}

func (s *storage) names() (names []string) {
	for _, m := range s.models {
		names = append(names, m.Name())
	}
	return names
}

// closeModels closes the read models, where no runner does.
func (s *storage) closeModels() error {
	var errs []error
	for _, db := range []*readmodels.DB{s.documents, s.series, s.audit} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// close closes log and keys.
func (s *storage) close() error {
	var errs []error
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.keys != nil {
		errs = append(errs, s.keys.Close())
	}
	errs = append(errs, s.redis.close())
	return errors.Join(errs...)
}

// parts reads the parts of large events for the codec.
type parts struct{ store commands.EventStore }

func (p parts) ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return p.store.ReadStream(ctx, stream, from, limit, commands.Forwards)
}
