package series

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"strandline/readmodels"
)

// Newest asks for the last samples of the series of a subject.
type Newest struct {
	Subject  string
	Channels []string // none is all
	Series   []string // by name, each once; none is all
	After    *Name    // only of series after it, nil is all
}

// Name is a series of a subject. Names are ordered by channel and series.
type Name struct{ Channel, Series string }

// Latest yields the last sample of each series that n asks for, by name; see Compare for which one is the last. It looks at
// what is fresh and at one chunk of each series, however much there is of them. About a megabyte is held at a time, and
// what fits into that is of one moment. After an error it ends.
func (s *Store) Latest(ctx context.Context, n Newest) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		l := latest{Newest: n, blocks: s.blocks}
		for !l.done {
			err := ctx.Err()
			if err == nil {
				err = s.db.View(ctx, l.read)
			}
			if err != nil {
				yield(Sample{}, fmt.Errorf("read the latest samples: %w", err))
				return
			}
			for i, sample := range l.page {
				l.page[i] = Sample{} // not to hold on to it
				if !yield(sample, nil) {
					return
				}
			}
		}
	}
}

// latest looks for the last samples, page by page.
type latest struct {
	Newest
	blocks *blocks
	page   []Sample
	size   int // of the page
	done   bool
}

// named is a series by its id and name.
type named struct {
	id   int64
	name string
}

// read reads the next page.
func (l *latest) read(tx *readmodels.Tx) error {
	l.page, l.size = l.page[:0], 0
	streams, err := namesOf(tx, Choice{Subject: l.Subject, Channels: l.Channels})
	if err != nil {
		return err
	}
	for _, stream := range streams {
		if l.After != nil && stream.channel < l.After.Channel {
			continue
		}
		if full, err := l.stream(tx, stream.channel); err != nil || full {
			return err
		}
	}
	l.done = true
	return nil
}

// stream reads the samples of a channel that are still to come, until the page is full.
func (l *latest) stream(tx *readmodels.Tx, channel string) (full bool, err error) {
	stream, err := streamID(tx, streamName{l.Subject, channel})
	if err != nil {
		return false, err
	}
	some, err := l.series(tx, stream, channel)
	if err != nil {
		return false, err
	}
	fresh, err := lastFresh(tx, stream)
	if err != nil {
		return false, err
	}
	for i, one := range some {
		e, err := l.lastOf(tx, one.id, fresh[one.id])
		if err != nil {
			return false, err
		}
		if e != nil {
			e.value = slices.Clone(e.value) // not to hold on to all that is fresh, or to a chunk
			l.page, l.size = append(l.page, e.sample(channel, one.name)), l.size+e.size()
		}
		if l.size >= pageSize || i == namesAtATime-1 {
			l.After = &Name{channel, one.name}
			return true, nil
		}
	}
	return false, nil
}

// series lists some of the series of a channel that are still to come, by name.
func (l *latest) series(tx *readmodels.Tx, stream int64, channel string) (some []named, err error) {
	from := ""
	if l.After != nil && l.After.Channel == channel {
		from = after(l.After.Series)
	}
	if len(l.Series) == 0 {
		for row, err := range tx.Query("SELECT id, name FROM series WHERE stream = ? AND name >= ? ORDER BY name LIMIT ?", stream, from, namesAtATime) {
			if err != nil {
				return nil, err
			}
			some = append(some, named{row.Int64(0), row.Text(1)})
		}
		return some, nil
	}
	for _, name := range slices.Sorted(slices.Values(l.Series)) {
		if name < from || len(some) == namesAtATime {
			continue
		}
		id, err := seriesID(tx, stream, name)
		if err != nil {
			return nil, err
		}
		if id != 0 {
			some = append(some, named{id, name})
		}
	}
	return some, nil
}

// lastFresh finds the last fresh sample of each series of a stream.
func lastFresh(tx *readmodels.Tx, stream int64) (map[int64]*entry, error) {
	blocks, err := readFresh(tx, stream, nil)
	if err != nil {
		return nil, err
	}
	entries, err := decodePlain(nil, blocks)
	if err != nil {
		return nil, err
	}
	last := map[int64]*entry{}
	for i := range entries {
		e := &entries[i]
		if before := last[e.series]; before == nil || compare(before, e) < 0 {
			last[e.series] = e
		}
	}
	return last, nil
}

// lastOf finds the last sample of a series, which is the given one unless a chunk has a later; nil if there is none.
// Chunks come by index from the one that ends last; others can only be as late as it if they are of the same event.
func (l *latest) lastOf(tx *readmodels.Tx, series int64, last *entry) (*entry, error) {
	for row, err := range tx.Query(chunkColumns+" INDEXED BY chunk_of_series_by_newest WHERE series = ? ORDER BY newest DESC, newest_at DESC", series) {
		if err != nil {
			return nil, err
		}
		end, err := bound(row, 3, 0)
		if err != nil {
			return nil, err
		}
		if last != nil && (last.position != end.position || last.time != end.time) && compare(&end, last) < 0 {
			break
		}
		if last, err = l.later(tx, row, last); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// later is the last sample of a chunk, or the given one if that is later.
func (l *latest) later(tx *readmodels.Tx, row readmodels.Row, last *entry) (*entry, error) {
	err := withBlock(tx, row, func(block []byte) error {
		entries, err := l.blocks.decode(nil, block)
		if err != nil || len(entries) == 0 {
			return err
		}
		e := entries[len(entries)-1]
		if last == nil || compare(last, &e) <= 0 {
			if len(block) > 0 && block[0]&isCompressed == 0 {
				e.value = slices.Clone(e.value) // it is gone with the row
			}
			last = &e
		}
		return nil
	})
	return last, err
}

// sample gives an entry its public form.
func (e *entry) sample(channel, series string) Sample {
	s := Sample{Channel: channel, Series: series, Value: e.value, Position: e.position, Index: e.index}
	if !e.timeless {
		s.Time = &e.time
	}
	return s
}
