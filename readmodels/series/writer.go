package series

import (
	"fmt"
	"slices"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels"
)

// Limits of what a writer keeps in memory and of what a reader finds fresh. See entry.size for the measure.
const (
	freshEvents = 256       // of one stream
	freshSize   = 512 << 10 // of one stream
	pendingSize = 8 << 20   // of all streams, within one transaction
	knownNames  = 16 << 10  // ids of streams and series that are remembered
)

// Writer brings the events of one file's log into that file, inside the transactions of its projection:
//
//	Apply for each event, in order; Flush before the commit; Forget after a transaction that was not committed.
//
// An error of Apply or Flush is never the event's fault: the transaction must be given up.
type Writer struct {
	blocks  *blocks
	streams map[streamName]*stream
	known   int       // names in streams
	dirty   []*stream // those with pending samples, in the order in which they got them
	pending int       // size of all pending samples
	block   []byte    // reused, as are the others
	key     []byte
	read    []byte
}

// streamName is a subject with a channel.
type streamName struct{ subject, channel string }

// stream is what a writer remembers of a stream: nothing that could not be read again from the file.
type stream struct {
	id      int64
	series  map[string]int64 // ids by name, as far as they were needed
	fresh   tally            // of the samples that are not in chunks
	stored  int              // rows of them in the file
	pending []entry          // those that are not yet in the file
}

// tally measures fresh samples.
type tally struct{ events, samples, size int }

// NewWriter returns a writer for one file.
func NewWriter() *Writer {
	return &Writer{blocks: newBlocks(), streams: map[streamName]*stream{}}
}

// Apply takes in one event. Events of no interest are ignored.
func (w *Writer) Apply(tx *readmodels.Tx, r domain.Recorded) error {
	switch e := r.Event.(type) {
	case observation.Recorded:
		return w.record(tx, r.Position, e)
	case observation.Retracted:
		return w.retract(tx, e)
	}
	return nil
}

func (w *Writer) record(tx *readmodels.Tx, position domain.Position, e observation.Recorded) error {
	if len(e.Items) == 0 {
		return nil
	}
	s, err := w.stream(tx, streamName{e.Subject, e.Channel})
	if err != nil {
		return fmt.Errorf("record samples: %w", err)
	}
	if err := w.add(tx, s, position, e.Items); err != nil {
		return fmt.Errorf("record samples: %w", err)
	}
	if s.fresh.events >= freshEvents || s.fresh.size >= freshSize {
		return w.settle(tx, s)
	}
	if w.pending >= pendingSize {
		return w.Flush(tx)
	}
	return nil
}

// add makes the items of one event pending.
func (w *Writer) add(tx *readmodels.Tx, s *stream, position domain.Position, items []observation.Item) error {
	if len(s.pending) == 0 {
		w.dirty = append(w.dirty, s)
	}
	s.pending = slices.Grow(s.pending, max(len(items), len(s.pending)))
	before := s.fresh.size
	name, id := "", int64(0)
	for i := range items {
		item := &items[i]
		if id == 0 || item.Series != name {
			var err error
			if id, err = w.series(tx, s, item.Series); err != nil {
				return err
			}
			name = item.Series
		}
		e := entry{series: id, position: position, index: i, value: item.Value, timeless: item.Time == nil}
		if item.Time != nil {
			e.time = *item.Time
		}
		s.pending = append(s.pending, e)
		s.fresh.size += e.size()
	}
	s.fresh.events++
	s.fresh.samples += len(items)
	w.pending += s.fresh.size - before
	return nil
}

// Flush writes down what is pending. It must come before each commit.
func (w *Writer) Flush(tx *readmodels.Tx) error {
	for _, s := range w.dirty {
		if err := w.flush(tx, s); err != nil {
			return fmt.Errorf("write fresh samples: %w", err)
		}
	}
	w.dirty, w.pending = w.dirty[:0], 0
	if w.known > knownNames {
		clear(w.streams)
		w.known = 0
	}
	return nil
}

// flush writes the pending samples of one stream as a fresh block.
func (w *Writer) flush(tx *readmodels.Tx, s *stream) error {
	if len(s.pending) == 0 {
		return nil
	}
	t := measure(s.pending)
	w.block = appendBlock(w.block[:0], s.pending)
	err := tx.Exec("INSERT INTO fresh (id, events, samples, size, block) VALUES (?, ?, ?, ?, ?)",
		freshID(s.id, s.stored), t.events, t.samples, t.size, w.block)
	s.pending = nil
	s.stored++
	return err
}

// Forget drops what is pending and remembered. It must come after each transaction that was not committed.
func (w *Writer) Forget() {
	clear(w.streams)
	w.dirty, w.pending, w.known = nil, 0, 0
}

// measure counts samples in the order of arrival.
func measure(entries []entry) (t tally) {
	t.samples = len(entries)
	for i := range entries {
		if i == 0 || entries[i].position != entries[i-1].position {
			t.events++
		}
		t.size += entries[i].size()
	}
	return t
}
