package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"sync"

	"strandline/commands"
	"strandline/domain"
)

// request is an append on its way. Its records are encoded but for what only the committer knows: position, revision,
// time and the checksum.
type request struct {
	stream   string
	hash     uint64 // of the stream's name
	expected domain.Expected
	items    []item
	bytes    []byte // the records, one after the other
	seen     foreseen

	result commands.Appended // set by the committer
	err    error
}

// item is what a request knows of one of its records.
type item struct {
	id       domain.ID
	event    uint64            // hash of stream and id
	from, to int               // where it is in the request's bytes
	dataAt   int               // where in it the data begins
	data     [sha256.Size]byte // hash of the data
	checksum uint32            // of the data
}

// requests are used again: most appends are alike.
var requests = sync.Pool{New: func() any { return new(request) }}

// keepBytes is how large the buffer of a request may be that is used again.
const keepBytes = 64 << 10

func (r *request) reuse() {
	if cap(r.bytes) > keepBytes || cap(r.items) > 64 {
		return
	}
	*r = request{items: r.items[:0], bytes: r.bytes[:0]}
	requests.Put(r)
}

// Append implements commands.EventStore.
func (s *Store) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	if err := ctx.Err(); err != nil {
		return commands.Appended{}, err
	}
	if err := s.check(stream, expected, records); err != nil {
		return commands.Appended{}, err
	}
	came := s.arrival()
	r := requests.Get().(*request)
	r.encode(stream, s.hash(stream), expected, records)
	s.foresee(r)
	if err := s.queue.add(ctx, r); err != nil {
		return s.answered(came, commands.Appended{}, err) // the committer may still have r
	}
	result, err := r.result, r.err
	r.reuse()
	return s.answered(came, result, err)
}

// check refuses what makes no sense whatever the store holds.
func (s *Store) check(stream string, expected domain.Expected, records []domain.Record) error {
	if stream == "" {
		return fmt.Errorf("%w: append to a stream without a name", domain.ErrInvalid)
	}
	if expected < domain.NoStream && expected != domain.Any && expected != domain.StreamExists {
		return fmt.Errorf("%w: append to %s with expected revision %d", domain.ErrInvalid, stream, expected)
	}
	size, plain := 0, 0
	for i := range records {
		e := &records[i].Envelope
		size += len(records[i].Data) + len(e.Extra)
		plain += envelopeSize(stream, e)
		if err := checkRecord(stream, e); err != nil {
			return err
		}
	}
	if size > s.opt.MaxAppend || plain > plainMost {
		return fmt.Errorf("append %d bytes to %s: %w (%d bytes)", size, stream, domain.ErrAppendTooLarge, s.opt.MaxAppend)
	}
	return nil
}

// plainMost bounds the envelopes of one append.
const plainMost = 32 << 20

func checkRecord(stream string, e *domain.Envelope) error {
	if e.ID.IsZero() {
		return fmt.Errorf("%w: append to %s an event without an id", domain.ErrInvalid, stream)
	}
	if e.Version < 0 || e.Version > math.MaxInt32 {
		return fmt.Errorf("%w: append to %s an event of version %d", domain.ErrInvalid, stream, e.Version)
	}
	if err := checkExtra(e.Extra); err != nil {
		return fmt.Errorf("%w: append to %s: %w", domain.ErrInvalid, stream, err)
	}
	return nil
}

// envelopeSize is about how large an envelope is, never less than it will be.
func envelopeSize(stream string, e *domain.Envelope) int {
	const fixed = 192 // numbers, ids, and the heads of all fields
	return fixed + len(stream) + len(e.Type) + len(e.Actor) + len(e.Credential) + len(e.APIKey) + len(e.Dialect) +
		len(e.Command) + len(e.Subject) + len(e.Key) + len(e.Extra)
}

// encode fills r with the records of an append.
func (r *request) encode(stream string, hash uint64, expected domain.Expected, records []domain.Record) {
	r.stream, r.hash, r.expected = stream, hash, expected
	for i := range records {
		r.add(&records[i])
	}
	if n := len(r.items); n > 0 {
		binary.LittleEndian.PutUint32(r.bytes[r.items[n-1].from+16:], flagEnd)
	}
}

func (r *request) add(record *domain.Record) {
	from := len(r.bytes)
	b := append(r.bytes, make([]byte, recordHeader)...)
	b = appendEnvelope(b, r.stream, &record.Envelope)
	dataAt := len(b) - from
	b = append(b, record.Data...)
	binary.LittleEndian.PutUint32(b[from+4:], uint32(len(b)-from))
	binary.LittleEndian.PutUint32(b[from+20:], uint32(dataAt-recordHeader))
	r.bytes = b
	r.items = append(r.items, item{
		id: record.ID, event: eventHash(r.hash, record.ID),
		from: from, to: len(b), dataAt: dataAt,
		data: sha256.Sum256(record.Data), checksum: crc32.Checksum(record.Data, castagnoli),
	})
}
