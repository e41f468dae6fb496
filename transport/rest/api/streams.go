package api

import (
	"context"
	"errors"
	"iter"
	"math"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/rest"
)

// streamPage is one page of a stream.
type streamPage struct {
	Events []event `json:"events"`
	Next   *uint64 `json:"next" about:"to be given as from, for the page that follows; null where there is nothing left"`
	End    bool    `json:"end" about:"there was nothing more when the request came; forwards there may be later"`
}

// stream answers with the events of a stream that the caller may open.
func (c *call) stream() (rest.Answer, error) {
	name := c.vars["name"]
	c.ReadFrom(c.Arrival)
	if err := c.sees(name); err != nil {
		return rest.Answer{}, err
	}
	backwards, from := c.query.text("direction") == "backwards", uint64(c.query.number("from"))
	if backwards && !c.query.has("from") {
		from = math.MaxUint64
	}
	records := c.Log.ReadStream(c.Context(), name, from, 0, commands.Direction(backwards))
	if c.media != mediaLines {
		return c.streamPage(records, from, backwards)
	}
	return c.lines(func(ctx context.Context, w *lineWriter) error {
		for r, err := range c.Log.ReadStream(ctx, name, from, 0, commands.Direction(backwards)) {
			if err == nil {
				err = w.record(ctx, selection{}, r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// sees makes sure that there is something in a stream that the caller may open, and notes whom that is about. Who may
// open nothing does not learn that somebody wrote it.
func (c *call) sees(name string) error {
	scanned := 0
	for r, err := range c.Log.ReadStream(c.Context(), name, 0, c.scan, commands.Forwards) {
		if err != nil && !errors.Is(err, domain.ErrNoStream) {
			return err
		}
		if scanned++; err != nil || scanned == c.scan {
			break
		}
		if _, ok := c.shown(c.Context(), r); ok {
			c.Meta.Details.Object = r.Subject
			return nil
		}
	}
	return domain.ErrNoStream
}

// streamPage answers with one page of records.
func (c *call) streamPage(records iter.Seq2[domain.Record, error], from uint64, backwards bool) (rest.Answer, error) {
	page := streamPage{Events: []event{}, Next: &from, End: true}
	scanned, size, weight := 0, c.query.page(), 0
	for r, err := range records {
		if err != nil {
			return rest.Answer{}, err
		}
		if len(page.Events) == size || scanned == c.scan || weight >= heavyPage {
			page.End = false
			break
		}
		page.Next = following(r.Revision, backwards)
		if e, ok := c.shown(c.Context(), r); ok {
			page.Events, weight = append(page.Events, e), weight+len(e.Data)
		}
		scanned++
	}
	if page.End && len(page.Events) == 0 {
		page.Next = nil
	}
	return shows(page, len(page.Events))
}

// following is the revision after the given one in the order of reading, nil if there is none.
func following(revision uint64, backwards bool) *uint64 {
	next := revision + 1
	if backwards {
		if revision == 0 {
			return nil
		}
		next = revision - 1
	}
	return &next
}
