package couch

import (
	"context"
	"fmt"

	"strandline/domain"
	"strandline/domain/registry"
	"strandline/readmodels"
)

// parked is a document of CouchDB for an event that could not be applied.
type parked struct {
	ID     string          `json:"_id"`
	At     domain.Position `json:"at"`
	Stream string          `json:"stream"`
	Type   string          `json:"type"`
	Reason string          `json:"reason"`
}

// writing is a batch that is being written to a database.
type writing struct {
	server    *server
	database  string
	concerned bool // by something in it, whether that changes anything or not

	changes []*change // that are collected, in the order in which their entries came up
	byID    map[string]*change
	size    int
}

// change is what happens to one entry.
type change struct {
	id     string
	names  []string
	events []domain.Recorded
	cut    bool // there may be old pieces
}

// all writes a batch, a bounded part of it at a time.
func (w *writing) all(ctx context.Context, batch readmodels.RemoteBatch) error {
	for _, r := range batch.Events {
		id, names := target(r.Event)
		if id == "" {
			continue
		}
		w.collect(id, names, r)
		if len(w.changes) >= pageSize || w.size >= batchSize {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	return w.park(ctx, batch.Parked)
}

func (w *writing) collect(id string, names []string, r domain.Recorded) {
	c := w.byID[id]
	if c == nil {
		c = &change{id: id, names: names}
		if w.byID == nil {
			w.byID = map[string]*change{}
		}
		w.byID[id] = c
		w.changes = append(w.changes, c)
	}
	c.events = append(c.events, r)
	w.size += size(r.Event)
}

// park writes what could not be applied. It is there already if it is written again.
func (w *writing) park(ctx context.Context, all []readmodels.Parked) error {
	var documents []any
	for _, p := range all {
		documents = append(documents, parked{docID(ofParked, sortable(p.Position)), p.Position, p.Stream, p.Type, p.Reason})
	}
	w.concerned = w.concerned || len(documents) > 0
	_, err := w.server.putAll(ctx, w.database, documents)
	return err
}

// flush writes what was collected. Entries that others have written meanwhile are read again.
func (w *writing) flush(ctx context.Context) error {
	changes := w.changes
	w.changes, w.byID, w.size = nil, nil, 0
	w.concerned = w.concerned || len(changes) > 0
	for pending, n := changes, 0; len(pending) > 0; n++ {
		if n == claims {
			return fmt.Errorf("%w: others keep writing document %s", domain.ErrUnavailable, pending[0].id)
		}
		conflicts, err := w.try(ctx, pending)
		if err != nil {
			return err
		}
		var again []*change
		for _, c := range pending {
			if conflicts[c.id] {
				again = append(again, c)
			}
		}
		pending = again
	}
	return w.tidy(ctx, changes)
}

// try writes some changes and tells which entries were written by others meanwhile.
func (w *writing) try(ctx context.Context, changes []*change) (conflicts map[string]bool, err error) {
	entries, err := w.load(ctx, changes)
	if err != nil {
		return nil, err
	}
	var documents []any
	for i, c := range changes {
		e := &entries[i]
		changed, err := w.evolve(ctx, e, c.events)
		if err != nil {
			return nil, err
		}
		if changed {
			if err := w.putPieces(ctx, e.cut()); err != nil {
				return nil, err
			}
			documents = append(documents, *e)
		}
		c.cut = e.Cut
	}
	return w.server.putAll(ctx, w.database, documents)
}

// load reads the entries that are changed. Those that are not there are gone.
func (w *writing) load(ctx context.Context, changes []*change) ([]entry, error) {
	entries, ids, places := make([]entry, len(changes)), make([]string, len(changes)), make(map[string]int, len(changes))
	for i, c := range changes {
		entries[i] = entry{ID: c.id, Names: c.names, Gone: true}
		ids[i], places[c.id] = c.id, i
	}
	err := listed(ctx, w.server, w.database, ids, func(r row[entry]) error {
		entries[places[r.ID]] = r.Doc
		return intact(&r.Doc)
	})
	return entries, err
}

// newer leaves out the events up to a position.
func newer(events []domain.Recorded, than domain.Position) []domain.Recorded {
	for !than.Before(events[0].Position) {
		events = events[1:]
	}
	return events
}

// keepsBody tells whether an event leaves something of the body that was there.
func keepsBody(r domain.Recorded) bool {
	_, revised := r.Event.(registry.Revised)
	return revised
}

// evolve changes an entry by what of events is newer.
func (w *writing) evolve(ctx context.Context, e *entry, events []domain.Recorded) (changed bool, err error) {
	if !e.At.Before(events[len(events)-1].Position) {
		return false, nil
	}
	if events = newer(events, e.At); keepsBody(events[0]) {
		if err := w.server.whole(ctx, w.database, e); err != nil {
			return false, err
		}
	}
	for _, r := range events {
		now, err := e.evolve(r)
		if err != nil {
			return false, err
		}
		changed = changed || now
	}
	return changed, nil
}

// putPieces writes pieces. Those that are there already are the same, since the same events came to the same.
func (w *writing) putPieces(ctx context.Context, pieces []piece) error {
	for len(pieces) > 0 {
		n := min(len(pieces), piecesAtOnce)
		documents := make([]any, n)
		for i := range documents {
			documents[i] = pieces[i]
		}
		if _, err := w.server.putAll(ctx, w.database, documents); err != nil {
			return err
		}
		pieces = pieces[n:]
	}
	return nil
}

// removed deletes a document.
type removed struct {
	ID      string `json:"_id"`
	Rev     string `json:"_rev"`
	Deleted bool   `json:"_deleted"`
}

// tidy removes pieces that are older than the entries they belong to. A crash may have left some: so it is done whenever
// an entry comes up that has had any.
func (w *writing) tidy(ctx context.Context, changes []*change) error {
	var cut []*change
	for _, c := range changes {
		if c.cut {
			cut = append(cut, c)
		}
	}
	if len(cut) == 0 {
		return nil
	}
	entries, err := w.load(ctx, cut)
	if err != nil {
		return err
	}
	var old []any
	for _, e := range entries {
		start, end := below(ofPieces, belonging(e.ID))
		if err := ranged(ctx, w.server, w.database, start, end, false, func(r row[piece]) error {
			if at, ours := positionIn(r.ID); ours && at.Before(e.At) {
				old = append(old, removed{r.ID, r.Rev, true})
			}
			return nil
		}); err != nil {
			return err
		}
	}
	_, err = w.server.putAll(ctx, w.database, old) // conflicts: others have removed them
	return err
}
