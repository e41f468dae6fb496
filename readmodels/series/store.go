package series

import (
	"context"
	"fmt"
	"iter"

	"strandline/domain"
	"strandline/readmodels"
)

// Store answers for the samples in a read model's file.
type Store struct {
	db     *readmodels.DB
	blocks *blocks
}

// NewStore returns a store that reads db, whose schema must be Schema.
func NewStore(db *readmodels.DB) *Store { return &Store{db, newBlocks()} }

// Checkpoint is the position up to which the read model has applied the log.
func (s *Store) Checkpoint() domain.Position { return s.db.Checkpoint() }

// Wait returns once the read model has applied everything up to position; see readmodels.Watermark.Wait.
func (s *Store) Wait(ctx context.Context, position domain.Position) error {
	return s.db.Wait(ctx, position)
}

// Read returns the samples that q asks for, in its order. None is an empty slice: whether the subject exists is not
// known here. It holds all of them in memory; for many, see Each.
func (s *Store) Read(ctx context.Context, q Query) ([]Sample, error) {
	samples := []Sample{}
	for sample, err := range s.Each(ctx, q) {
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

// Each yields the samples that q asks for, in its order, and holds about a megabyte of them at a time. No transaction is
// open while a sample is with the caller. All samples are of the time of the call, but for those that are retracted
// until they come. After an error it ends.
func (s *Store) Each(ctx context.Context, q Query) iter.Seq2[Sample, error] {
	return s.each(ctx, &reading{query: q, named: q.Series != ""})
}

// each goes through a reading that has not begun.
func (s *Store) each(ctx context.Context, r *reading) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		r := *r // for each range over it
		r.blocks, r.until, r.left = s.blocks, s.db.Checkpoint(), r.query.Limit
		for !r.done {
			page, err := s.page(ctx, &r)
			if err != nil {
				yield(Sample{}, fmt.Errorf("read samples: %w", err))
				return
			}
			for i := range page {
				sample := page[i]
				page[i] = Sample{} // not to hold on to it
				if !yield(sample, nil) {
					return
				}
			}
		}
	}
}

// page reads the next samples in a transaction of its own.
func (s *Store) page(ctx context.Context, r *reading) (page []Sample, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.db.View(ctx, func(tx *readmodels.Tx) (err error) {
		page, err = r.page(tx)
		return err
	})
	return page, err
}
