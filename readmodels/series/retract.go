package series

import (
	"fmt"

	"strandline/domain/observation"
	"strandline/readmodels"
)

// retract removes what e hides. All samples in the file and pending have lower positions.
func (w *Writer) retract(tx *readmodels.Tx, e observation.Retracted) error {
	name := streamName{e.Subject, e.Channel}
	id, err := streamID(tx, name)
	if err != nil || id == 0 {
		return err
	}
	hidden := selection{stream: id, from: e.From, to: e.To}
	if e.Series != "" {
		if hidden.series, err = seriesID(tx, id, e.Series); err != nil || hidden.series == 0 {
			return err
		}
	}
	s, err := w.stream(tx, name)
	if err != nil {
		return err
	}
	if err := w.retractFresh(tx, s, hidden); err != nil {
		return fmt.Errorf("retract fresh samples: %w", err)
	}
	if err := w.retractChunks(tx, hidden); err != nil {
		return fmt.Errorf("retract samples: %w", err)
	}
	return nil
}

// retractFresh leaves the fresh samples that are not hidden pending.
func (w *Writer) retractFresh(tx *readmodels.Tx, s *stream, hidden selection) error {
	entries, err := w.takeFresh(tx, s)
	if err != nil {
		return err
	}
	w.wait(s, without(entries, hidden))
	w.release()
	return nil
}

// retractChunks deletes the chunks that are hidden whole and writes anew those that are hidden in part.
func (w *Writer) retractChunks(tx *readmodels.Tx, hidden selection) error {
	parts, err := chunksAcross(tx, hidden)
	if err != nil {
		return err
	}
	whole, args := hidden.whole()
	if err := tx.Exec("DELETE FROM chunk"+whole, args...); err != nil {
		return err
	}
	for _, id := range parts {
		if err := w.retractPart(tx, id, hidden); err != nil {
			return err
		}
	}
	return nil
}

// chunksAcross lists the chunks that a bound runs through. They lie in the two days of the bounds.
func chunksAcross(tx *readmodels.Tx, hidden selection) (ids []int64, err error) {
	for _, bound := range []*int64{hidden.from, hidden.to} {
		if bound == nil {
			continue
		}
		across, args := hidden.across(*bound)
		for row, err := range tx.Query("SELECT id FROM chunk"+across+" ORDER BY id", args...) {
			if err != nil {
				return nil, err
			}
			ids = append(ids, row.Int64(0))
		}
	}
	return ids, nil
}

// retractPart writes a chunk anew without what is hidden. One that both bounds run through comes twice, and is not there
// any more the second time. Small ones are not merged here, where others are still to be looked at, but by the next that
// comes to their place.
func (w *Writer) retractPart(tx *readmodels.Tx, id int64, hidden selection) error {
	var at place
	var entries []entry
	for row, err := range tx.Query("SELECT stream, series, bucket, block FROM chunk WHERE id = ?", id) {
		if err != nil {
			return err
		}
		at = place{row.Int64(0), row.Int64(1), row.Int64(2)}
		if entries, err = w.blocks.decode(nil, row.Blob(3)); err != nil {
			return err
		}
	}
	if err := tx.Exec("DELETE FROM chunk WHERE id = ?", id); err != nil {
		return err
	}
	entries = without(entries, hidden)
	if len(entries) == 0 {
		return nil
	}
	_, err := w.insertChunk(tx, at, entries, measure(entries).size, true)
	return err
}
