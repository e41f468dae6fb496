package influx

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"strandline/domain"
	"strandline/readmodels"
	"strandline/readmodels/series"
)

// Store is the read model in an InfluxDB: readmodels.Remote, and what the doors ask for samples. Only one process may
// write to it at a time.
type Store struct {
	server     *server
	generation string // of the event store, in short
	clock      func() time.Time
	watermark  readmodels.Watermark
	serving    atomic.Pointer[build] // nil until it has been reached
}

// New returns the store of a generation of the event store in an InfluxDB, which need not be there yet. Clock says where
// those who read the newest samples first begin to look.
func New(c Config, generation string, clock func() time.Time) *Store {
	sum := sha256.Sum256([]byte(generation))
	return &Store{server: dial(c), generation: fmt.Sprintf("%x", sum[:4]), clock: clock}
}

// Name implements readmodels.Remote.
func (s *Store) Name() string { return series.Schema.Name }

// Version implements readmodels.Remote: that of what is written to points.
func (s *Store) Version() int { return 1 }

// Watermark implements readmodels.Remote.
func (s *Store) Watermark() *readmodels.Watermark { return &s.watermark }

// Close implements readmodels.Remote.
func (s *Store) Close() error {
	s.server.close()
	return nil
}

// Checkpoint is the position up to which the read model has applied the log.
func (s *Store) Checkpoint() domain.Position { return s.watermark.At() }

// Wait returns once the read model has applied everything up to position; see readmodels.Watermark.Wait.
func (s *Store) Wait(ctx context.Context, position domain.Position) error {
	return s.watermark.Wait(ctx, position)
}

// Open implements readmodels.Remote.
func (s *Store) Open(ctx context.Context, origin string) (readmodels.RemoteBuild, error) {
	if err := s.server.keeps(ctx); err != nil {
		return nil, err
	}
	b, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if b != nil && b.origin == origin && strings.HasPrefix(b.name, s.prefix()) {
		s.serving.Store(b)
		return b, nil
	}
	if b, err = s.begin(ctx, origin, "1", "2"); err != nil {
		return nil, err
	}
	return b, b.Serve(ctx)
}

// Beside implements readmodels.Remote.
func (s *Store) Beside(ctx context.Context, origin string) (readmodels.RemoteBuild, error) {
	b, err := s.begin(ctx, origin, "3", "4") // perhaps before the one that serves is opened
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Look asks whether the server can be used, and up to where it knows the log. It makes nothing.
func (s *Store) Look(ctx context.Context) (at domain.Position, err error) {
	if err := s.server.keeps(ctx); err != nil {
		return at, err
	}
	b, err := s.current(ctx)
	if err != nil || b == nil {
		return at, err
	}
	return b.Checkpoint(), nil
}

// current is the build that serves, as the server has it where that is not known; nil if there is none. One whose
// checkpoint is missing has no origin.
func (s *Store) current(ctx context.Context) (*build, error) {
	if b := s.serving.Load(); b != nil {
		return b, nil
	}
	name, err := s.find(ctx)
	if err != nil || name == "" {
		return nil, err
	}
	b := s.newBuild(name, "", progress{})
	return b, b.load(ctx)
}

// find is the name of the build that serves, empty if there is none.
func (s *Store) find(ctx context.Context) (name string, err error) {
	condition := fmt.Sprintf(`r._measurement == "%s" and r.store == "%s" and r._field == "build"`, serving, s.generation)
	err = s.server.each(ctx, s.from(condition, earliest, latest)+"|> last()", func(r row) error {
		name = r.text("_value")
		return nil
	})
	return name, err
}

// prefix is what the names of this version's builds begin with.
func (s *Store) prefix() string {
	return fmt.Sprintf("strandline_series_v%d_%s_b", s.Version(), s.generation)
}

// begin makes an empty build, by the one of two names that what serves does not have. What a crash has left of an earlier
// one of that name is dropped.
func (s *Store) begin(ctx context.Context, origin, name, otherwise string) (*build, error) {
	now, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	b := s.newBuild(s.prefix()+name, origin, progress{})
	if now != nil && now.name == b.name {
		b.name = s.prefix() + otherwise
	}
	b.before = now
	if err := b.Drop(ctx); err != nil {
		return nil, err
	}
	return b, b.save(ctx, &b.done)
}

// from begins a query for the points that a condition selects, from a time to another, the second exclusive. Version 1.8
// takes bounds before 1970 for open ones, so that those are conditions as well; they keep it from using its index, and so
// bounds beyond which nothing can be are to be given as earliest and latest.
func (s *Store) from(condition string, start, end int64) string {
	flux := fmt.Sprintf("from(bucket: %q) |> range(start: %s, stop: %s) |> filter(fn: (r) => %s)", s.server.config.Bucket, moment(start), moment(end), condition)
	if start <= 0 && start != earliest || end <= 0 {
		flux += fmt.Sprintf(" |> filter(fn: (r) => r._time >= %s and r._time < %s)", moment(start), moment(end))
	}
	return flux
}

// ofKind is from, for all the samples of a kind or a part of them.
func (s *Store) ofKind(k kind, condition string, start, end int64) string {
	first, last := k.bounds()
	if start <= first*k.scale() {
		start = earliest
	}
	if end >= last*k.scale() {
		end = latest
	}
	return s.from(condition, start, end)
}

// moment is a time as Flux has it.
func moment(at int64) string { return time.Unix(0, at).UTC().Format("2006-01-02T15:04:05.000000000Z") }

// oneLine is text without line breaks, which a point cannot hold everywhere.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
