package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
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
	"strandline/readmodels/documents"
	"strandline/readmodels/documents/couch"
	"strandline/readmodels/series"
	"strandline/readmodels/series/influx"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/keys"
	"strandline/transport/metrics"
	"strandline/transport/rest/lamp"
	"strandline/transport/tracing"
	"strandline/transport/zstd"
)

// storage is what a data folder holds, opened: the log and the keys, which are the truth, and the read models.
type storage struct {
	log       eventLog
	roles     duties
	lock      files.File           // of the folder, where log does not keep others out; nil else
	keys      *keys.Store          // nil, as is all below that has to do with what events say, in a process that does not open them
	shared    files.System         // of keys, where other processes have them too; nil else
	codec     *codec.Codec         // seals and opens
	directory *directory.Directory // of a process that answers requests
	documents lamp.Documents       // in the data folder, or elsewhere
	series    *readmodels.DB       // nil where samples are kept elsewhere
	samples   samples
	influx    *influx.Store // nil where samples are kept here
	audit     *readmodels.DB
	models    []projections.Model
	opened    []io.Closer      // what they are kept in
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
	engines   engines  // that keep read models; zero if they are in the folder
	keysDir   string   // of keys; if it is empty, the folder keys
	roles     duties   // nil for api and project
}

// opening says how a data folder is opened.
type opening struct {
	elsewhere eventLog // where events are stored, nil if in the folder
	engines   engines  // that keep read models; zero if they are in the folder
	keys      string   // the folder of the keys, if it is another than keys
	roles     duties   // nil for api and project
	durable   bool     // the log waits for the disk
}

// openStorage opens a data folder and makes what is missing.
func openStorage(dir string, p opening, log *slog.Logger) (*storage, error) {
	t := truth{elsewhere: p.elsewhere, engines: p.engines, keysDir: p.keys, roles: p.roles, options: embedded.Options{NoSync: !p.durable, Logger: part(log, "log")}}
	if err := t.onDisk(dir); err != nil {
		return nil, exitWith(exitData, fmt.Errorf("data folder %s: %w", dir, unusable(err)))
	}
	return openStorageOn(t, dir, log)
}

func (t *truth) onDisk(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if t.roles != nil && !t.roles.opens() {
		return nil
	}
	if t.log, err = files.NewDisk(filepath.Join(dir, "log")); err != nil {
		return err
	}
	t.keys, err = files.NewDisk(t.keysIn(dir))
	return err
}

// keysIn is the folder of the keys.
func (t *truth) keysIn(dir string) string {
	if t.keysDir == "" {
		return filepath.Join(dir, "keys")
	}
	return t.keysDir
}

// openStorageOn is openStorage with the log and the keys in t.
func openStorageOn(t truth, dir string, log *slog.Logger) (*storage, error) {
	s := &storage{metrics: metrics.New(version()), clock: time.Now}
	if t.options.Clock != nil {
		s.clock = t.options.Clock
	}
	if s.roles = t.roles; s.roles == nil {
		s.roles = duties{roleAPI, roleProject}
	}
	t.options.Observer = s.metrics
	if err := s.open(t, dir, log); err != nil {
		return nil, exitWith(exitData, errors.Join(fmt.Errorf("data folder %s: %w", dir, err), s.closeModels(), s.close()))
	}
	return s, nil
}

func (s *storage) open(t truth, dir string, log *slog.Logger) error {
	if err := s.openTruth(t, dir); err != nil || !s.roles.opens() {
		return err
	}
	compressor, err := zstd.New()
	if err != nil {
		return err
	}
	s.codec = codec.New(s.keys, s.keys, compressor, compressor)
	if err := s.openModels(t, filepath.Join(dir, "readmodels"), part(log, "readmodels")); err != nil {
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
func (s *storage) openTruth(t truth, dir string) (err error) {
	if t.elsewhere != nil {
		s.log = t.elsewhere
		if !s.roles.opens() {
			return nil
		}
		if s.lock, err = lockFolder(dir); err != nil {
			return err
		}
		return s.openKeys(t, dir)
	}
	own, err := embedded.Open(t.log, t.options)
	if errors.Is(err, domain.ErrDamaged) {
		return fmt.Errorf("%w; restore log/ from its backup", err)
	}
	if err != nil {
		return err
	}
	s.log = own
	return s.openKeys(t, dir)
}

// openKeys opens the keys, and makes them where the log is empty: new keys would open nothing of what it holds.
func (s *storage) openKeys(t truth, dir string) error {
	head, err := s.log.Head(context.Background())
	if err != nil {
		return err
	}
	made, err := keys.Made(t.keys) // whoever has written events had made them before
	if err != nil {
		return err
	}
	if t.elsewhere != nil {
		return s.shareKeys(t, dir, made || head.IsZero())
	}
	if !made && !head.IsZero() {
		return fmt.Errorf("the log holds events, but the keys that open them are missing in %s: restore keys/ from its backup", t.keysIn(dir))
	}
	s.keys, err = keys.Open(t.keys, rand.Reader)
	return err
}

// unusable adds to an error of the file system what helps.
func unusable(err error) error {
	return fmt.Errorf("%w; give --data a folder that this user may make and write", err)
}

func (s *storage) openModels(t truth, dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unusable(err)
	}
	if err := s.openDirectory(dir, s.log.Generation().String(), log); err != nil {
		return err
	}
	if t.engines.documents != nil || s.keepsFiles(t) {
		if err := s.openDocuments(dir, t.engines.documents, log); err != nil {
			return err
		}
	}
	if t.engines.samples != nil || s.keepsFiles(t) {
		if err := s.openSamples(t, dir, log); err != nil {
			return err
		}
	}
	if !s.keepsFiles(t) {
		return nil
	}
	audit, err := s.openTable(dir, projections.Audit(), log)
	s.audit = audit
	return err
}

func (s *storage) openDocuments(dir string, elsewhere *couch.Store, log *slog.Logger) error {
	if elsewhere == nil {
		db, err := s.openTable(dir, projections.Documents(), log)
		s.documents = documents.New(db)
		return err
	}
	s.documents = elsewhere
	return s.fillElsewhere(elsewhere)
}

func (s *storage) openSamples(t truth, dir string, log *slog.Logger) (err error) {
	if t.engines.samples != nil {
		return s.openInflux(t, log)
	}
	s.series, err = s.openTable(dir, projections.Series(), log)
	s.samples = series.NewStore(s.series)
	return err
}

// openTable opens a read model in the data folder.
func (s *storage) openTable(dir string, p projections.Projection, log *slog.Logger) (*readmodels.DB, error) {
	out, err := s.leftOut(p.Schema.Name)
	if err != nil {
		return nil, err
	}
	db, err := readmodels.Open(dir, p.Schema, s.log.Generation().String(), readmodels.LeavingOut(out), readmodels.WithLogger(log),
		readmodels.Former(p.FormerVersions()...))
	if err != nil {
		return nil, err
	}
	s.models, s.opened = append(s.models, projections.Table(p, db)), append(s.opened, db)
	return db, nil
}

// openDirectory opens the directory, which every process has that answers requests.
func (s *storage) openDirectory(dir, generation string, log *slog.Logger) error {
	if !s.roles.has(roleAPI) {
		return nil
	}
	out, err := s.leftOut(directory.Name)
	if err != nil {
		return err
	}
	var inMemory projections.Model
	s.directory, inMemory = projections.Directory(dir, generation, log, out...)
	s.models = append(s.models, inMemory)
	return nil
}

// leftOut are the events that a projection leaves out.
func (s *storage) leftOut(name string) ([]domain.Position, error) {
	decided, err := s.decided(context.Background(), name, domain.Position{})
	return decided.LeftOut(), err
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
	for _, model := range s.opened {
		errs = append(errs, model.Close())
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
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	errs = append(errs, s.redis.close())
	return errors.Join(errs...)
}

// parts reads the parts of large events for the codec.
type parts struct{ store commands.EventStore }

func (p parts) ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return p.store.ReadStream(ctx, stream, from, limit, commands.Forwards)
}
