package projections

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"sync"

	"strandline/domain"
	"strandline/readmodels"
	"strandline/readmodels/directory"
)

// memory is the Model of the directory: in memory, with a snapshot in a folder.
type memory struct {
	nothingKept
	directory       *directory.Directory
	dir, generation string

	saving  sync.Mutex
	saved   domain.Position   // of the snapshot
	leftOut []domain.Position // ascending
	skipped positions         // the same
}

// Directory opens the directory from its snapshot in folder dir, and returns it with its Model. Where there is no
// snapshot for this generation of the event store without the events at the given positions, or none that can be read, it
// begins at the start of the log.
func Directory(dir, generation string, log *slog.Logger, leftOut ...domain.Position) (*directory.Directory, Model) {
	d, err := directory.Load(dir, readmodels.Origin(generation, leftOut))
	if err != nil {
		log.Info("directory has no snapshot to begin with: read anew from the log", "error", err)
		d = directory.New()
	}
	return d, &memory{directory: d, dir: dir, generation: generation, saved: d.Checkpoint(), leftOut: leftOut, skipped: setOf(leftOut)}
}

func (m *memory) Name() string                     { return directory.Name }
func (m *memory) Version() int                     { return directory.Version }
func (m *memory) Checkpoint() domain.Position      { return m.directory.Checkpoint() }
func (m *memory) Stalled() error                   { return m.directory.Stalled() }
func (m *memory) stall(reason error)               { m.directory.Stall(reason) }
func (m *memory) open(context.Context, Feed) error { return nil }
func (m *memory) close() error                     { return m.tidy() }

func (m *memory) LeftOut() []domain.Position {
	m.saving.Lock()
	defer m.saving.Unlock()
	return m.leftOut
}

func (m *memory) Parked(context.Context) ([]readmodels.Parked, error) {
	return m.directory.Parked(), nil
}

func (m *memory) CountParked(context.Context) (int, error) { return len(m.directory.Parked()), nil }

// apply cannot fail. It has nothing to roll back either, so an event that cannot be applied leaves what it did.
func (m *memory) apply(_ context.Context, batches []batch) error {
	for _, b := range batches {
		for i, e := range b.events {
			if err, undecoded := b.failed[i]; undecoded && !m.skipped.has(e.Position) {
				m.directory.Park(parked(e, err))
			}
		}
		m.directory.Update(b.last(), m.wanted(b.events))
	}
	return nil
}

// wanted are the events that are not left out.
func (m *memory) wanted(events []domain.Recorded) []domain.Recorded {
	if len(m.skipped) == 0 {
		return events
	}
	out := func(e domain.Recorded) bool { return m.skipped.has(e.Position) }
	if !slices.ContainsFunc(events, out) {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), out)
}

// tidy writes a snapshot if the directory has moved on since the last one.
func (m *memory) tidy() error {
	m.saving.Lock()
	defer m.saving.Unlock()
	if m.Checkpoint() == m.saved {
		return nil
	}
	return m.snapshot()
}

func (m *memory) snapshot() error {
	at := m.Checkpoint() // the snapshot may be younger, which is no harm
	if err := m.directory.Save(m.dir, readmodels.Origin(m.generation, m.leftOut)); err != nil {
		return err
	}
	m.saved = at
	return nil
}

func (m *memory) renew(*slog.Logger) error {
	m.directory.Replace(directory.New())
	return nil
}

func (m *memory) beside(leftOut []domain.Position) (replacement, error) {
	return &memoryBuild{&memory{directory: directory.New(), leftOut: leftOut, skipped: setOf(leftOut)}, m}, nil
}

func (m *memory) apart(dir string, leftOut []domain.Position) (Model, error) {
	return &memory{directory: directory.New(), dir: dir, leftOut: leftOut, skipped: setOf(leftOut)}, nil
}

func (m *memory) dump(_ context.Context, w io.Writer) error {
	buffered := bufio.NewWriter(w)
	lines := json.NewEncoder(buffered)
	for _, line := range m.directory.Lines() {
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// memoryBuild is a replacement of a directory.
type memoryBuild struct {
	*memory
	serving *memory
}

func (m *memoryBuild) switchOver() error {
	m.serving.saving.Lock()
	defer m.serving.saving.Unlock()
	m.serving.directory.Replace(m.directory)
	m.serving.leftOut, m.serving.skipped = m.leftOut, m.skipped
	return m.serving.snapshot()
}

func (m *memoryBuild) discard() error { return nil }
