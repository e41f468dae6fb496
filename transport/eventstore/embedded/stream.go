package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"strandline/commands"
	"strandline/domain"
)

// ReadStream implements commands.EventStore. It yields what was durable when it was called.
func (s *Store) ReadStream(ctx context.Context, stream string, from uint64, limit int, direction commands.Direction) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		r := streamReader{
			s: s, name: stream, left: cmpLimit(limit), page: pageFirst,
			query: query{stream: s.hash(stream), from: from, upTo: s.watermark(), backwards: direction == commands.Backwards},
		}
		if err := r.run(ctx, func(r domain.Record) bool { return yield(r, nil) }); err != nil {
			yield(domain.Record{}, err)
		}
	}
}

// Pages of a stream, in records: the first is small because often no more is needed.
const (
	pageFirst = 16
	pageMost  = 256
)

// streamReader reads a stream page by page. It holds no part of the index between pages.
type streamReader struct {
	s     *Store
	name  string
	left  int // how many are still wanted
	page  int
	query query
	any   bool // something was found
}

func (r *streamReader) run(ctx context.Context, visit func(domain.Record) bool) error {
	for r.left > 0 {
		if err := r.s.usable(ctx); err != nil {
			return err
		}
		records, more, err := r.nextPage(ctx)
		if err != nil {
			return err
		}
		for _, record := range records {
			if r.left--; !visit(record) {
				return nil
			}
		}
		if !more {
			break
		}
	}
	if r.any {
		return r.s.usable(ctx)
	}
	return r.missing(ctx)
}

// missing tells an end from a stream that is not there.
func (r *streamReader) missing(ctx context.Context) error {
	if err := r.s.usable(ctx); err != nil {
		return err
	}
	_, exists, err := r.s.head(r.name, r.query.stream, 0, r.query.upTo)
	if err != nil || exists {
		return err
	}
	return fmt.Errorf("read %s: %w", r.name, domain.ErrNoStream)
}

// nextPage returns the next records and moves on; more tells whether there may be others.
func (r *streamReader) nextPage(ctx context.Context) (records []domain.Record, more bool, err error) {
	q := r.query
	q.limit = min(r.page, r.left)
	r.page = min(2*r.page, pageMost)
	entries, err := r.s.entries(q)
	if err != nil {
		return nil, false, err
	}
	records, err = r.fetch(ctx, entries)
	if errors.Is(err, errShared) {
		records, err = r.fetchShared(ctx)
		return records, false, err
	}
	if err != nil || len(records) == 0 {
		return nil, false, err
	}
	r.any = true
	return records, r.advance(records[len(records)-1].Revision) && len(records) == q.limit, nil
}

// advance moves past a revision; it is false at the end.
func (r *streamReader) advance(revision uint64) bool {
	if r.query.backwards {
		r.query.from = revision - 1
		return revision > 0
	}
	r.query.from = revision + 1
	return revision < math.MaxUint64
}

// errShared says that another stream has the same hash.
var errShared = errors.New("the hash belongs to several streams")

// fetch reads the records of entries. All of them must be of this stream, one revision after the other.
func (r *streamReader) fetch(ctx context.Context, entries []entry) ([]domain.Record, error) {
	records := make([]domain.Record, 0, len(entries))
	for i, e := range entries {
		if i%16 == 15 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		record, err := r.s.record(e.position)
		if err != nil {
			return nil, err
		}
		if record.Stream != r.name {
			return nil, errShared
		}
		records = append(records, record)
	}
	return records, r.checkRevisions(records)
}

// checkRevisions fails if the index left something out.
func (r *streamReader) checkRevisions(records []domain.Record) error {
	for i, record := range records {
		want := r.query.from + uint64(i)
		if r.query.backwards {
			want = records[0].Revision - uint64(i)
		}
		if record.Revision != want {
			return fmt.Errorf("%w: the index of %s has revision %d where %d should be", domain.ErrDamaged, r.name, record.Revision, want)
		}
	}
	return nil
}

// fetchShared reads the rest of a stream whose hash is that of another one too: all entries, sorted out by name.
func (r *streamReader) fetchShared(ctx context.Context) ([]domain.Record, error) {
	q := r.query
	q.all = true
	entries, err := r.s.entries(q)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.position, b.position) })
	var records []domain.Record
	for _, e := range entries {
		record, err := r.s.record(e.position)
		if err != nil || ctx.Err() != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		if record.Stream == r.name && r.query.wants(record.Revision) {
			records = append(records, record)
		}
	}
	r.any = len(records) > 0
	if r.query.backwards {
		slices.Reverse(records)
	}
	return records[:min(len(records), r.left)], nil
}

// Find implements commands.EventStore.
func (s *Store) Find(ctx context.Context, stream string, id domain.ID) (domain.Record, error) {
	if err := s.usable(ctx); err != nil {
		return domain.Record{}, err
	}
	found, err := s.withID(sought{stream: stream, id: id, hash: eventHash(s.hash(stream), id), fetch: s.durableRecord})
	if err != nil {
		return domain.Record{}, err
	}
	if len(found) == 0 {
		return domain.Record{}, fmt.Errorf("find event %s in %s: %w", id, stream, domain.ErrNotFound)
	}
	return found[0], nil
}

// durableRecord reads a record, or returns none if it is past the watermark.
func (s *Store) durableRecord(position uint64) (domain.Record, error) {
	if position > s.watermark() {
		return domain.Record{}, nil
	}
	return s.record(position)
}
