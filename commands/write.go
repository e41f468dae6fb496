package commands

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"strandline/domain"
)

const (
	maxAppend  = 1 << 20 // bytes of one append, as every store takes them (contract "EventStoreDB", section 1)
	recordRoom = 1 << 10 // bytes of a record beside its data, at most
)

// written says where an append stands.
type written struct {
	revision uint64            // of the last record
	events   []domain.Position // of each event, in order; parts are none
	size     int               // bytes of data
	repeated bool              // it had happened before
}

// append seals events and writes them to the job's stream.
func (b *Bus) append(ctx context.Context, j *job, expected domain.Expected, events []domain.Event) (written, error) {
	records := make([]domain.Record, 0, len(events))
	request := &j.request
	for i, e := range events {
		env, err := b.envelopeOf(ctx, j, i)
		if err != nil {
			return written{}, err
		}
		encoded, err := b.codec.Encode(env, request, e)
		if err != nil {
			return written{}, err
		}
		records, request = append(records, encoded...), nil
	}
	return b.write(ctx, j.stream, expected, records)
}

// envelopeOf is the envelope of the job's n-th event.
func (b *Bus) envelopeOf(ctx context.Context, j *job, n int) (env domain.Envelope, err error) {
	about, err := b.aboutCommand(j.cmd, nil)
	if err != nil {
		return env, err
	}
	env = j.env
	env.Subject = about.subject
	if env.ID, err = j.id(n); err != nil {
		return env, err
	}
	env.Key, err = b.keys.KeyFor(ctx, about.owner)
	return env, err
}

// write appends records, in several appends where they are too many for one. Only parts stand in those before the last,
// and without the event that closes them, parts mean nothing (decision 4): so it is all or nothing in any case.
func (b *Bus) write(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (written, error) {
	batches, err := split(stream, records)
	if err != nil {
		return written{}, err
	}
	lane := b.lanes.of(stream)
	if len(batches) == 1 {
		lane.RLock()
		defer lane.RUnlock()
		return b.writeBatch(ctx, stream, expected, records)
	}
	lane.Lock()
	defer lane.Unlock()
	if !expected.IsExact() {
		if expected, err = b.end(ctx, stream); err != nil {
			return written{}, err
		}
	}
	var all written
	for _, batch := range batches {
		w, err := b.writeBatch(ctx, stream, expected, batch)
		if err != nil {
			return written{}, err
		}
		expected = domain.Exactly(w.revision)
		all = written{w.revision, append(all.events, w.events...), all.size + w.size, w.repeated}
	}
	return all, nil
}

// writeBatch makes one append. Once begun it is waited for, even if the caller has gone: a request whose outcome nobody
// knows could not be put on the record once and only once.
func (b *Bus) writeBatch(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (written, error) {
	if err := ctx.Err(); err != nil {
		return written{}, err
	}
	appended, err := b.store.Append(context.WithoutCancel(ctx), stream, expected, records)
	if err != nil {
		return written{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	w := written{revision: appended.Revision, repeated: appended.Repeated}
	for i, r := range records {
		w.size += len(r.Data)
		if r.ContentType != domain.Part {
			w.events = append(w.events, appended.All[i])
		}
	}
	return w, nil
}

// end is the revision at which a stream ends at present.
func (b *Bus) end(ctx context.Context, stream string) (domain.Expected, error) {
	end := domain.NoStream
	for r, err := range b.store.ReadStream(ctx, stream, lastRevision, 1, Backwards) {
		if errors.Is(err, domain.ErrNoStream) {
			break
		}
		if err != nil {
			return end, fmt.Errorf("look for the end of %s: %w", stream, err)
		}
		end = domain.Exactly(r.Revision)
	}
	return end, nil
}

const lastRevision = 1<<63 - 1 // beyond any end

// split cuts records into appends of at most maxAppend.
func split(stream string, records []domain.Record) ([][]domain.Record, error) {
	var batches [][]domain.Record
	size, start, event := 0, 0, false
	for i, r := range records {
		room := len(r.Data) + len(stream) + recordRoom
		if size > 0 && size+room > maxAppend {
			if event {
				return nil, fmt.Errorf("%w: several events that must come at once", domain.ErrAppendTooLarge)
			}
			batches, size, start = append(batches, records[start:i]), 0, i
		}
		size += room
		event = event || r.ContentType != domain.Part
	}
	return append(batches, records[start:]), nil
}

// lanes keep the appends of a long value together: others to the same stream wait until it is closed.
type lanes struct {
	seed maphash.Seed
	all  [64]sync.RWMutex
}

func newLanes() *lanes { return &lanes{seed: maphash.MakeSeed()} }

func (l *lanes) of(stream string) *sync.RWMutex {
	return &l.all[maphash.String(l.seed, stream)%uint64(len(l.all))]
}
