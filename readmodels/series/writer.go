package series

import (
	"fmt"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels"
)

// Limits of what a writer keeps in memory and of what a reader finds fresh. See entry.size for the measure.
const (
	freshEvents = 256       // of one stream
	freshSize   = 512 << 10 // of one stream
	pendingSize = 4 << 20   // bytes of blocks of all streams, within one transaction
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
	pending int       // bytes of all pending samples

	// Reused.
	block   []byte
	key     []byte
	stored  []byte
	entries []entry
	sorted  []entry
	spare   [][]byte // of the last Flush, for pending samples
}

// streamName is a subject with a channel.
type streamName struct{ subject, channel string }

// stream is what a writer remembers of a stream: nothing that could not be read again from the file.
type stream struct {
	id      int64
	series  map[string]int64 // ids by name, as far as they were needed
	fresh   tally            // of the samples that are not in chunks
	stored  int              // rows of them in the file
	pending []byte           // blocks of those that are not in the file yet
	waiting tally            // of those
}

// tally measures fresh samples.
type tally struct{ events, samples, size int }

func (t *tally) add(u tally) {
	t.events, t.samples, t.size = t.events+u.events, t.samples+u.samples, t.size+u.size
}

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
func (w *Writer) add(tx *readmodels.Tx, s *stream, position domain.Position, items []observation.Item) (err error) {
	w.entries = w.entries[:0]
	name, id := "", int64(0)
	for i := range items {
		item := &items[i]
		if id == 0 || item.Series != name {
			if id, err = w.series(tx, s, item.Series); err != nil {
				return err
			}
			name = item.Series
		}
		e := entry{series: id, position: position, index: i, value: item.Value, timeless: item.Time == nil}
		if item.Time != nil {
			e.time = *item.Time
		}
		w.entries = append(w.entries, e)
	}
	w.wait(s, w.entries)
	return nil
}

// wait adds samples, in the order of arrival, to those pending.
func (w *Writer) wait(s *stream, entries []entry) {
	if len(entries) == 0 {
		return
	}
	if len(s.pending) == 0 {
		w.dirty = append(w.dirty, s)
		s.pending = w.buffer()
	}
	before, t := len(s.pending), measure(entries)
	s.pending = appendBlock(s.pending, entries)
	w.pending += len(s.pending) - before
	s.waiting.add(t)
	s.fresh.add(t)
}

// buffer is an empty one.
func (w *Writer) buffer() (b []byte) {
	if last := len(w.spare) - 1; last >= 0 {
		b, w.spare = w.spare[last], w.spare[:last]
	}
	return b
}

// Flush writes down what is pending. It must come before each commit.
func (w *Writer) Flush(tx *readmodels.Tx) error {
	w.spare = nil
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

// flush writes the pending samples of one stream as a fresh row.
func (w *Writer) flush(tx *readmodels.Tx, s *stream) error {
	if len(s.pending) == 0 {
		return nil
	}
	err := tx.Exec("INSERT INTO fresh (id, events, samples, size, block) VALUES (?, ?, ?, ?, ?)",
		freshID(s.id, s.stored), s.waiting.events, s.waiting.samples, s.waiting.size, s.pending)
	w.spare = append(w.spare, s.pending[:0])
	s.pending, s.waiting = nil, tally{}
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
