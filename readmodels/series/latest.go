package series

import (
	"context"
	"fmt"
	"slices"

	"strandline/readmodels"
)

// Latest returns the last sample of each series of a subject, by channel and series; see Compare for which one is the
// last. It looks at what is fresh and at one chunk of each series, however much there is of them.
func (s *Store) Latest(ctx context.Context, subject string, channels, series []string) ([]Sample, error) {
	found := []Sample{}
	err := s.db.View(ctx, func(tx *readmodels.Tx) error {
		streams, err := namesOf(tx, Choice{Subject: subject, Channels: channels})
		for _, stream := range streams {
			l := latest{blocks: s.blocks, of: streamName{subject, stream.channel}, only: series}
			samples, err := l.read(tx)
			if err != nil {
				return err
			}
			found = append(found, samples...)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the latest samples: %w", err)
	}
	return found, nil
}

// latest looks for the last samples of one stream.
type latest struct {
	blocks *blocks
	of     streamName
	only   []string // names of series, each once; none is all
}

// named is a series by its id and name.
type named struct {
	id   int64
	name string
}

func (l latest) read(tx *readmodels.Tx) (samples []Sample, err error) {
	stream, err := streamID(tx, l.of)
	if err != nil {
		return nil, err
	}
	all, err := l.series(tx, stream)
	if err != nil {
		return nil, err
	}
	last, err := lastFresh(tx, stream)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		e, err := l.lastOf(tx, one.id, last[one.id])
		if err != nil {
			return nil, err
		}
		if e != nil {
			samples = append(samples, e.sample(l.of.channel, one.name))
		}
	}
	return samples, nil
}

// series lists the series of a stream, by name.
func (l latest) series(tx *readmodels.Tx, stream int64) (all []named, err error) {
	if len(l.only) == 0 {
		for row, err := range tx.Query("SELECT id, name FROM series WHERE stream = ? ORDER BY name", stream) {
			if err != nil {
				return nil, err
			}
			all = append(all, named{row.Int64(0), row.Text(1)})
		}
		return all, nil
	}
	for _, name := range slices.Sorted(slices.Values(l.only)) {
		id, err := seriesID(tx, stream, name)
		if err != nil {
			return nil, err
		}
		if id != 0 {
			all = append(all, named{id, name})
		}
	}
	return all, nil
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
func (l latest) lastOf(tx *readmodels.Tx, series int64, last *entry) (*entry, error) {
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
func (l latest) later(tx *readmodels.Tx, row readmodels.Row, last *entry) (*entry, error) {
	err := withBlock(tx, row, func(block []byte) error {
		entries, err := l.blocks.decode(nil, block)
		if err != nil || len(entries) == 0 {
			return err
		}
		e := entries[len(entries)-1]
		if last == nil || compare(last, &e) <= 0 {
			e.value = slices.Clone(e.value) // not to hold on to the whole chunk
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
