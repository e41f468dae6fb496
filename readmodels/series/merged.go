package series

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"strandline/domain"
	"strandline/readmodels"
)

// Choice asks for samples of one subject, of several channels and series merged, oldest first.
type Choice struct {
	Subject  string
	Channels []string        // none is all
	Series   []string        // by name, each once, in each of the channels; none is all
	From, To *int64          // as in Query
	After    *Mark           // only what comes after it, nil is everything
	Until    domain.Position // only events up to it, zero is up to the checkpoint of the moment
}

// Mark is a place in the order of samples: that of time, position and index.
type Mark struct {
	Time     *int64 // nil is before all others
	Position domain.Position
	Index    int
}

// MarkOf is the place of a sample.
func MarkOf(s Sample) Mark { return Mark{s.Time, s.Position, s.Index} }

// Merged yields the samples of a choice, as Each does: about a megabyte of them is held at a time, and no transaction is
// open while a sample is with the caller. After an error it ends.
func (s *Store) Merged(ctx context.Context, c Choice) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		parts, err := s.parts(ctx, c)
		if err != nil {
			yield(Sample{}, fmt.Errorf("find series: %w", err))
			return
		}
		for len(parts) > 0 {
			next, err := foremost(ctx, s, &parts)
			if err != nil {
				yield(Sample{}, fmt.Errorf("read samples: %w", err))
				return
			}
			if next == nil {
				return
			}
			sample := next.page[0]
			next.page[0] = Sample{} // not to hold on to it
			next.page = next.page[1:]
			if !yield(sample, nil) {
				return
			}
		}
	}
}

// part is one of the readings that are merged, with what is at hand of it.
type part struct {
	reading
	page []Sample
}

// parts are the readings that a choice needs: one for each stream, or with names one for each series.
func (s *Store) parts(ctx context.Context, c Choice) (parts []*part, err error) {
	until := c.Until
	if until.IsZero() {
		until = s.db.Checkpoint()
	}
	err = s.db.View(ctx, func(tx *readmodels.Tx) error {
		all, err := namesOf(tx, c)
		for _, n := range all {
			q := Query{Subject: c.Subject, Channel: n.channel, Series: n.series, From: c.From, To: c.To, Ascending: true}
			p := &part{reading: reading{query: q, named: n.named, blocks: s.blocks, shared: len(all), until: until}}
			if c.After != nil {
				p.last = c.After.entry()
			}
			parts = append(parts, p)
		}
		return err
	})
	return parts, err
}

func (m Mark) entry() *entry {
	e := &entry{position: m.Position, index: m.Index, timeless: m.Time == nil}
	if m.Time != nil {
		e.time = *m.Time
	}
	return e
}

// chosen is a stream, or if it is named one series of it.
type chosen struct {
	channel, series string
	named           bool
}

// namesOf lists what of a choice is there, by channel and series.
func namesOf(tx *readmodels.Tx, c Choice) (found []chosen, err error) {
	for row, err := range tx.Query("SELECT id, channel FROM stream WHERE subject = ? ORDER BY channel", c.Subject) {
		if err != nil {
			return nil, err
		}
		id, channel := row.Int64(0), row.Text(1)
		if len(c.Channels) > 0 && !slices.Contains(c.Channels, channel) {
			continue
		}
		if len(c.Series) == 0 {
			found = append(found, chosen{channel: channel})
		}
		for _, name := range c.Series {
			series, err := seriesID(tx, id, name)
			if err != nil {
				return nil, err
			}
			if series != 0 {
				found = append(found, chosen{channel, name, true})
			}
		}
	}
	return found, nil
}

// foremost is the part whose next sample comes first; nil if there are no more. Parts that have ended are taken out.
// There are so few of them that looking at each is faster than a heap.
func foremost(ctx context.Context, s *Store, parts *[]*part) (*part, error) {
	for {
		first, err := least(ctx, s, parts)
		if err != nil || first == nil || len(first.page) > 0 {
			return first, err
		}
		first.turn = true
		first.page, err = s.page(ctx, &first.reading)
		if first.turn = false; err != nil {
			return nil, err
		}
		// It may have been retracted meanwhile; then another one has come in its place, and is not the first perhaps.
	}
}

// least is foremost, but a large sample may still have to be read.
func least(ctx context.Context, s *Store, parts *[]*part) (first *part, err error) {
	ended := false
	for _, p := range *parts {
		for p.front() == nil && !p.done {
			if p.page, err = s.page(ctx, &p.reading); err != nil {
				return nil, err
			}
		}
		if p.front() == nil {
			ended = true
			continue
		}
		if first == nil || Compare(*p.front(), *first.front()) < 0 {
			first = p
		}
	}
	if ended {
		*parts = slices.DeleteFunc(*parts, func(p *part) bool { return p.front() == nil && p.done })
	}
	return first, nil
}

// front is the next sample, nil if it is not known.
func (p *part) front() *Sample {
	if len(p.page) > 0 {
		return &p.page[0]
	}
	return p.waiting
}
