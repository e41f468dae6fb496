package codec

import (
	"context"
	"errors"
	"fmt"
	"iter"

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
}

// New returns a codec that seals and compresses by the given means.
func New(s Sealer, o Opener, c Compressor, d Decompressor) *Codec {
	return &Codec{sealer: s, opener: o, compressor: c, decompressor: d}
}

// Encode turns an event into the records to append to env's stream: one, or the parts of a large one and the one that
// closes them. Env brings ids, stream, key and metadata; Encode adds type, version, content type and data. Without a key
// nothing is sealed. Request is sealed in with the event; give it with the first event of a command, else nil.
func (c *Codec) Encode(env domain.Envelope, request *domain.Request, e domain.Event) ([]domain.Record, error) {
	typ, version, data, err := Marshal(e)
	if err != nil {
		return nil, err
	}
	env.Type, env.Version, env.ContentType = typ, version, domain.JSON
	if len(data) > partsFrom {
		return c.encodeParts(env, request, data)
	}
	if _, batch := e.(observation.Recorded); batch && len(data) >= compressFrom {
		env.ContentType, data = domain.JSONZstd, c.compressor.Compress(nil, data)
	}
	r, err := c.seal(env, request, data)
	if err != nil {
		return nil, err
	}
	return []domain.Record{r}, nil
}

// Decode turns a record back into its event. Sealed, Unknown and parts give a Recorded without Event and are not errors;
// an error means that the record is not what Encode ever made of anything, or that its parts cannot be read.
func (c *Codec) Decode(ctx context.Context, r domain.Record, parts Streams) (domain.Recorded, error) {
	recorded := domain.Recorded{Position: r.Position, Envelope: r.Envelope, Size: len(r.Data)}
	if r.ContentType == domain.Part {
		return recorded, nil
	}
	if r.ContentType < domain.JSON || r.ContentType > domain.Parts {
		recorded.Unknown = true
		return recorded, nil
	}
	request, data, err := c.open(r)
	if errors.Is(err, ErrKeyDestroyed) {
		recorded.Sealed = true
		return recorded, nil
	}
	if errors.Is(err, ErrUnknown) {
		recorded.Unknown = true
		return recorded, nil
	}
	if err != nil {
		return recorded, fmt.Errorf("open event %s (%s): %w", r.ID, r.Type, err)
	}
	recorded.Request = request
	recorded.Event, err = c.event(ctx, r, data, parts)
	if errors.Is(err, ErrUnknown) {
		recorded.Unknown = true
		return recorded, nil
	}
	if err != nil {
		return recorded, fmt.Errorf("decode event %s: %w", r.ID, err)
	}
	return recorded, nil
}

// event makes the event of opened data.
func (c *Codec) event(ctx context.Context, r domain.Record, data []byte, parts Streams) (domain.Event, error) {
	var err error
	switch r.ContentType {
	case domain.JSONZstd:
		data, err = c.decompressor.Decompress(nil, data)
	case domain.Parts:
		data, err = c.joinParts(ctx, r, data, parts)
	}
	if err != nil {
		return nil, err
	}
	return Unmarshal(r.Type, r.Version, data)
}
