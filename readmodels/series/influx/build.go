package influx

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels"
)

// Measurements beside those of samples. Their points have the time 0.
const (
	checkpoints = "strandline_checkpoint" // a point for each build
	parkedOnes  = "strandline_parked"     // a point for each event of a build
	serving     = "strandline_serving"    // for each generation of the event store, its record
)

// Bounds of one request.
const (
	writeLines = 5000
	writeSize  = 1 << 20
)

// build is a copy of the read model: readmodels.RemoteBuild.
type build struct {
	store  *Store
	name   string // of its measurement of near samples
	origin string
	done   progress // for who writes
	shown  atomic.Pointer[progress]
	served atomic.Pointer[served] // nil if it never has
}

func (s *Store) newBuild(name, origin string, p progress) *build {
	b := &build{store: s, name: name, origin: origin}
	b.finish(p)
	return b
}

func (b *build) finish(p progress) {
	b.done = p
	b.shown.Store(&p)
}

// Origin implements readmodels.RemoteBuild.
func (b *build) Origin() string { return b.origin }

// Checkpoint implements readmodels.RemoteBuild.
func (b *build) Checkpoint() domain.Position { return b.shown.Load().at }

// Write implements readmodels.RemoteBuild. Samples get the same numbers each time, since those come from the checkpoint;
// and a retraction that is done again also removes later samples, which are then written again.
func (b *build) Write(ctx context.Context, batch readmodels.RemoteBatch) error {
	if err := b.store.tidy(ctx); err != nil {
		return err
	}
	w := writing{build: b, progress: b.done}
	for _, r := range batch.Events {
		if err := w.apply(ctx, r); err != nil {
			return err
		}
	}
	for _, p := range batch.Parked {
		w.park(p)
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	w.progress.at = batch.UpTo
	if err := b.save(ctx, &w.progress); err != nil {
		return err
	}
	b.finish(w.progress)
	return nil
}

// save writes the checkpoint.
func (b *build) save(ctx context.Context, p *progress) error {
	line := appendKey(nil, checkpoints, []tag{{"build", b.name}})
	line = appendText(line, "progress", p.String())
	line = appendText(append(line, ','), "origin", b.origin)
	return b.store.server.write(ctx, append(line, " 0"...))
}

// Parked implements readmodels.RemoteBuild.
func (b *build) Parked(ctx context.Context) (all []readmodels.Parked, err error) {
	flux := b.store.from(fmt.Sprintf(`r._measurement == "%s" and r.build == "%s"`, parkedOnes, b.name), earliest, latest)
	flux += `|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")`
	err = b.each(ctx, flux, func(r row) error {
		at, err := domain.ParsePosition(unquoted(r.text("position")))
		if err == nil && !b.Checkpoint().Before(at) {
			all = append(all, readmodels.Parked{Position: at, Stream: r.text("stream"), Type: r.text("type"), Reason: r.text("reason")})
		}
		return err
	})
	slices.SortFunc(all, func(a, b readmodels.Parked) int { return a.Position.Compare(b.Position) })
	return all, err
}

// Dump implements readmodels.RemoteBuild.
func (b *build) Dump(ctx context.Context, w io.Writer) error { return b.store.dump(ctx, b, w) }

// writing is a batch that is being written.
type writing struct {
	build    *build
	progress progress
	lines    []byte
	count    int
}

func (w *writing) apply(ctx context.Context, r domain.Recorded) error {
	switch e := r.Event.(type) {
	case observation.Recorded:
		return w.record(ctx, r.Position, e)
	case observation.Retracted:
		return w.retract(ctx, e)
	}
	return nil
}

// record writes the samples of an event, or none of them where one cannot be.
func (w *writing) record(ctx context.Context, position domain.Position, e observation.Recorded) error {
	for _, item := range e.Items {
		if item.Time != nil && (*item.Time < -observation.MaxTime || *item.Time > observation.MaxTime) {
			return fmt.Errorf("%w: time %d is beyond what can be stored", domain.ErrInvalid, *item.Time)
		}
	}
	lane := laneOf(e.Subject)
	for i := range e.Items {
		item := &e.Items[i]
		k := kindOf(item.Time)
		at := spotOf(k, item.Time, w.progress.next[lane])
		tags := []tag{{"channel", quoted(e.Channel)}, {"era", at.era}, {"series", quoted(item.Series)}, {"subject", quoted(e.Subject)}}
		w.lines = appendSample(w.lines, w.build.name+k.suffix(), tags, item, place{position, i, len(item.Value)}, at.at)
		w.progress.next[lane]++
		w.progress.kinds[k] = true
		if w.count++; w.count >= writeLines || len(w.lines) >= writeSize {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writing) park(p readmodels.Parked) {
	w.lines = appendKey(w.lines, parkedOnes, []tag{{"build", w.build.name}, {"position", quoted(p.Position.String())}})
	w.lines = appendText(w.lines, "stream", p.Stream)
	w.lines = appendText(append(w.lines, ','), "type", p.Type)
	w.lines = appendText(append(w.lines, ','), "reason", oneLine(p.Reason))
	w.lines = append(w.lines, " 0\n"...)
}

func (w *writing) flush(ctx context.Context) error {
	err := w.build.store.server.write(ctx, w.lines)
	w.lines, w.count = w.lines[:0], 0
	return err
}

// retract removes what e hides. All earlier samples are there before, and no later ones, but after a crash.
func (w *writing) retract(ctx context.Context, e observation.Retracted) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	tags := []tag{{"channel", quoted(e.Channel)}, {"subject", quoted(e.Subject)}}
	if e.Series != "" {
		tags = append(tags, tag{"series", quoted(e.Series)})
	}
	for k := range kinds {
		from, until, some := k.within(e.From, e.To)
		if !some || !w.progress.kinds[k] {
			continue
		}
		if err := w.build.store.server.erase(ctx, w.build.name+k.suffix(), tags, from, until-1); err != nil {
			return err
		}
	}
	return nil
}

// within are the times of points, the second exclusive, of the samples of a kind from one time to another, nil is open.
func (k kind) within(from, to *int64) (start, end int64, some bool) {
	start, end = k.bounds()
	if k == untimed {
		return start, end, from == nil && to == nil
	}
	if from != nil {
		start = max(start, *from)
	}
	if to != nil {
		end = min(end, *to)
	}
	if start >= end {
		return 0, 0, false
	}
	return start * k.scale(), end * k.scale(), true
}
