package codec

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"strandline/domain"
	"strandline/domain/observation"
)

// Sealer seals plain under the key of that id, bound to ad, and appends the result to dst.
type Sealer interface {
	Seal(dst []byte, key string, plain, ad []byte) ([]byte, error)
}

// Opener undoes Sealer. A key that has been destroyed is ErrKeyDestroyed.
type Opener interface {
	Open(dst []byte, key string, sealed, ad []byte) ([]byte, error)
}

// Compressor appends src, compressed, to dst.
type Compressor interface {
	Compress(dst, src []byte) []byte
}

// Decompressor undoes Compressor. It bounds what it makes of hostile data, at not less than 512 KiB.
type Decompressor interface {
	Decompress(dst, src []byte) ([]byte, error)
}

// Streams reads the records of a stream in their order, from a revision inclusive, at most limit of them.
type Streams interface {
	ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error]
}

// ErrKeyDestroyed says that what was sealed can never be opened again, as its owner wished.
var ErrKeyDestroyed = errors.New("key has been destroyed")

// compressFrom is the size in bytes from which a batch is compressed. Below, the frame costs more than it saves.
const compressFrom = 1 << 10

// Codec turns events into records and back. It may be used by many goroutines at once.
type Codec struct {
	sealer       Sealer
	opener       Opener
	compressor   Compressor
	decompressor Decompressor
	scratches    sync.Pool // of *scratch
}

// New returns a codec that seals and compresses by the given means.
func New(s Sealer, o Opener, c Compressor, d Decompressor) *Codec {
	return &Codec{sealer: s, opener: o, compressor: c, decompressor: d}
}

// Encode turns an event into the records to append to env's stream: one, or the parts of a large one and the one that
// closes them. Env brings ids, stream, key and metadata; Encode adds type, version, content type and data. Without a key
// nothing is sealed. Request is sealed in with the event; give it with the first event of a command, else nil.
func (c *Codec) Encode(env domain.Envelope, request *domain.Request, e domain.Event) ([]domain.Record, error) {
	s := c.borrow()
	defer c.giveBack(s)
	t, err := appendEvent(&s.data, e)
	if err != nil {
		return nil, err
	}
	env.Type, env.Version, env.ContentType = t.Name, t.Version, domain.JSON
	data := s.data
	if len(data) > partsFrom {
		return c.encodeParts(s, env, request, data)
	}
	if _, batch := e.(observation.Recorded); batch && len(data) >= compressFrom {
		s.packed = c.compressor.Compress(s.packed[:0], data)
		env.ContentType, data = domain.JSONZstd, s.packed
	}
	r, err := c.seal(s, env, request, data)
	if err != nil {
		return nil, err
	}
	return []domain.Record{r}, nil
}

// Decode turns a record back into its event. Sealed, Unknown and parts give a Recorded without Event and are not errors;
// an error means that the record is not what Encode ever made of anything, or that its parts cannot be read.
func (c *Codec) Decode(ctx context.Context, r domain.Record, parts Streams) (domain.Recorded, error) {
	recorded := domain.Recorded{Position: r.Position, Envelope: r.Envelope, Size: len(r.Data)}
	var err error
	switch r.ContentType {
	case domain.Part:
		return recorded, nil
	case domain.JSON:
		recorded.Request, recorded.Event, err = c.decodePlain(&r)
	case domain.JSONZstd, domain.Parts:
		recorded.Request, recorded.Event, err = c.decodePacked(ctx, &r, parts)
	default:
		err = ErrUnknown
	}
	switch {
	case errors.Is(err, ErrKeyDestroyed):
		recorded.Sealed = true
	case errors.Is(err, ErrUnknown):
		recorded.Unknown = true
	case err != nil:
		return recorded, fmt.Errorf("decode event %s of %s: %w", r.ID, r.Stream, err)
	}
	return recorded, nil
}

// decodePlain decodes an event that is in its record as it is. It keeps slices of what was opened.
func (c *Codec) decodePlain(r *domain.Record) (*domain.Request, domain.Event, error) {
	s := c.borrow()
	defer c.giveBack(s)
	request, data, err := c.open(s, make([]byte, 0, len(r.Data)), r)
	if err != nil {
		return nil, nil, err
	}
	e, err := Unmarshal(r.Type, r.Version, data)
	return request, e, err
}

// decodePacked decodes an event that is compressed or in parts.
func (c *Codec) decodePacked(ctx context.Context, r *domain.Record, parts Streams) (*domain.Request, domain.Event, error) {
	s := c.borrow()
	defer c.giveBack(s)
	s.plain = slices.Grow(s.plain[:0], len(r.Data))
	request, data, err := c.open(s, s.plain, r)
	if err != nil {
		return nil, nil, err
	}
	if _, err := typeOf(r.Type, r.Version); err != nil {
		return request, nil, err
	}
	if r.ContentType == domain.Parts {
		data, err = c.joinParts(ctx, s, r, data, parts)
	} else {
		data, err = c.decompressor.Decompress(nil, data)
	}
	if err != nil {
		return request, nil, err
	}
	e, err := Unmarshal(r.Type, r.Version, data)
	return request, e, err
}
