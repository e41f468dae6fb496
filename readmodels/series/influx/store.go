package influx

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels"
	"strandline/readmodels/series"
)

// Store is the read model in an InfluxDB: readmodels.Remote, and what the doors ask for samples. Any number of processes may
// read it, but only one may write to it at a time: the one that has opened it last. The others follow.
type Store struct {
	server     *server
	generation string // of the event store, in short
	clock      func() time.Time
	watermark  readmodels.Watermark
	serving    atomic.Pointer[build] // nil until it has been reached, and while there is nothing to follow

	mu        sync.Mutex           // held while who writes changes the record
	retired   map[string]time.Time // since when the builds of the record are
	unsettled *record              // what the engine is still to hold, since it is not known what it does; else nil
	busy      bool                 // dropping a retired build
	dropping  sync.WaitGroup
}

// New returns the store of a generation of the event store in an InfluxDB, which need not be there yet. Clock says where
// those who read the newest samples first begin to look, and when builds are dropped.
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

// Close implements readmodels.Remote. Nobody writes any more.
func (s *Store) Close() error {
	s.dropping.Wait()
	s.server.close()
	return nil
}

// Checkpoint is the position up to which the read model has applied the log.
func (s *Store) Checkpoint() domain.Position { return s.watermark.At() }

// Wait returns once the read model has applied everything up to position; see readmodels.Watermark.Wait.
func (s *Store) Wait(ctx context.Context, position domain.Position) error {
	return s.watermark.Wait(ctx, position)
}

// Open implements readmodels.Remote. Whoever opens writes from now on, and nobody else does.
func (s *Store) Open(ctx context.Context, origin string) (readmodels.RemoteBuild, error) {
	if err := s.server.keeps(ctx); err != nil {
		return nil, err
	}
	asked := s.clock()
	now, state, err := s.current(ctx, "") // whatever is known here: another process may have written
	if err != nil {
		return nil, err
	}
	s.takeOver(now)
	if s.own(now) && state.origin == origin {
		b := s.newBuild(now.name, origin, state.progress)
		b.served.Store(&served{now.id, asked})
		s.serving.Store(b)
		return b, nil
	}
	b, err := s.begin(ctx, origin, 1)
	if err != nil {
		return nil, err
	}
	return b, b.Serve(ctx)
}

// takeOver takes the builds that are retired for such as have just been: when they were, another process knows.
func (s *Store) takeOver(now record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = nil
	s.settle(now)
}

// Beside implements readmodels.Remote.
func (s *Store) Beside(ctx context.Context, origin string) (readmodels.RemoteBuild, error) {
	b, err := s.begin(ctx, origin, 3) // perhaps before the one that serves is opened
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Concerns implements readmodels.Remote.
func (s *Store) Concerns(e domain.Event) bool {
	switch e.(type) {
	case observation.Recorded, observation.Retracted:
		return true
	}
	return false
}

// Look asks whether the server can be used, and up to where it knows the log. It makes nothing.
func (s *Store) Look(ctx context.Context) (at domain.Position, err error) {
	if err := s.server.keeps(ctx); err != nil {
		return at, err
	}
	_, state, err := s.current(ctx, "")
	return state.at, err
}

// prefix is what the names of this version's builds begin with.
func (s *Store) prefix() string {
	return fmt.Sprintf("strandline_series_v%d_%s_b", s.Version(), s.generation)
}

// begin makes an empty build, by the first of some names that is free. What a crash has left of an earlier one of that name
// is dropped.
func (s *Store) begin(ctx context.Context, origin string, first int) (*build, error) {
	s.mu.Lock()
	now, err := s.record(ctx)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	b := s.newBuild(now.free(s.prefix(), first), origin, progress{})
	if err := s.drop(ctx, b.name); err != nil {
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
