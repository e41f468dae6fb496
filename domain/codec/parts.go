package codec

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"strandline/domain"
)

// PartType is the type of the records that hold a value too large for one (decision 4). They are no events.
const PartType = "value.part"

const (
	partsFrom = 256 << 10 // a value of more bytes is cut into parts
	partSize  = 512 << 10 // bytes of a part, before compression
	maxParts  = 1024      // what is believed of a closing record
)

// closing is the data of the record after the last part.
type closing struct {
	Parts  int    `json:"parts"`
	SHA256 string `json:"sha256"` // of the whole value, hexadecimal
	Type   string `json:"type"`
}

var errParts = errors.New("the parts before it are not those that it closes")

// encodeParts cuts data into parts, and closes them with the event's own record.
func (c *Codec) encodeParts(s *scratch, env domain.Envelope, request *domain.Request, data []byte) ([]domain.Record, error) {
	count := (len(data) + partSize - 1) / partSize
	if count > maxParts {
		return nil, fmt.Errorf("encode %s: %w: a value of %d bytes is larger than %d", env.Type, domain.ErrInvalid, len(data), maxParts*partSize)
	}
	end, err := json.Marshal(closing{Parts: count, SHA256: hexSum(data), Type: env.Type})
	if err != nil {
		return nil, err
	}
	records := make([]domain.Record, 0, count+1)
	for i := range count {
		piece := data[i*partSize : min((i+1)*partSize, len(data))]
		s.packed = c.compressor.Compress(s.packed[:0], piece)
		part, err := c.seal(s, partOf(env, i), nil, s.packed)
		if err != nil {
			return nil, err
		}
		records = append(records, part)
	}
	env.ContentType = domain.Parts
	last, err := c.seal(s, env, request, end)
	return append(records, last), err
}

// partOf is the envelope of the i-th part of an event.
func partOf(env domain.Envelope, i int) domain.Envelope {
	env.Causation = env.ID
	env.ID = partID(env.ID, i)
	env.Type, env.Version, env.ContentType = PartType, 1, domain.Part
	return env
}

// partID derives the id of a part: the same event has the same parts, so that repeating an append changes nothing.
func partID(event domain.ID, i int) domain.ID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(append([]byte(PartType), event[:]...), uint32(i)))
	id := domain.ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // UUID version 8
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return id
}

// joinParts reads the parts that end closes from just before r.
func (c *Codec) joinParts(ctx context.Context, s *scratch, r *domain.Record, end []byte, streams Streams) ([]byte, error) {
	var closed closing
	if err := json.Unmarshal(end, &closed); err != nil {
		return nil, err
	}
	if closed.Type != r.Type || closed.Parts < 1 || closed.Parts > maxParts || uint64(closed.Parts) > r.Revision {
		return nil, errParts
	}
	data := make([]byte, 0, closed.Parts*partSize)
	read := 0
	for part, err := range streams.ReadStream(ctx, r.Stream, r.Revision-uint64(closed.Parts), closed.Parts) {
		if err != nil {
			return nil, fmt.Errorf("read part %d of %d: %w", read+1, closed.Parts, err)
		}
		if read == closed.Parts || part.ContentType != domain.Part || part.ID != partID(r.ID, read) {
			return nil, errParts
		}
		if data, err = c.appendPart(s, data, &part); err != nil {
			return nil, fmt.Errorf("open part %d of %d: %w", read+1, closed.Parts, err)
		}
		read++
	}
	if read != closed.Parts || hexSum(data) != closed.SHA256 {
		return nil, errParts
	}
	return data, nil
}

func (c *Codec) appendPart(s *scratch, dst []byte, part *domain.Record) ([]byte, error) {
	s.plain = slices.Grow(s.plain[:0], len(part.Data))
	_, piece, err := c.open(s, s.plain, part)
	if err != nil {
		return nil, err
	}
	return c.decompressor.Decompress(dst, piece)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
