package codec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"strandline/domain"
)

// frameFormat is the first byte of a plaintext.
const frameFormat = 1

// sealRoom is what sealing adds at most to a plaintext, in bytes: key version, nonce and tag.
const sealRoom = 64

var errFrame = errors.New("the plaintext is cut short")

// scratch is memory for one call of Encode or Decode, used again by later ones.
type scratch struct{ data, packed, plain, associated []byte }

func (c *Codec) borrow() *scratch {
	if s, ok := c.scratches.Get().(*scratch); ok {
		return s
	}
	return new(scratch)
}

// giveBack keeps s for others, unless a large value has made it large.
func (c *Codec) giveBack(s *scratch) {
	const enough = 1 << 20
	if cap(s.data)+cap(s.packed)+cap(s.plain) <= enough {
		c.scratches.Put(s)
	}
}

// seal frames request and data and seals them under env's key.
func (c *Codec) seal(s *scratch, env domain.Envelope, request *domain.Request, data []byte) (domain.Record, error) {
	s.plain = appendFrame(s.plain[:0], request, data)
	if env.Key == "" {
		return domain.Record{Envelope: env, Data: append([]byte(nil), s.plain...)}, nil
	}
	s.associated = appendAssociated(s.associated[:0], &env)
	sealed, err := c.sealer.Seal(make([]byte, 0, len(s.plain)+sealRoom), env.Key, s.plain, s.associated)
	if err != nil {
		return domain.Record{}, fmt.Errorf("seal %s: %w", env.Type, err)
	}
	return domain.Record{Envelope: env, Data: sealed}, nil
}

// open undoes seal. A frame of the future is ErrUnknown. The data is a slice of into, or of the record if it is not
// sealed.
func (c *Codec) open(s *scratch, into []byte, r *domain.Record) (*domain.Request, []byte, error) {
	plain := r.Data
	if r.Key != "" {
		var err error
		s.associated = appendAssociated(s.associated[:0], &r.Envelope)
		if plain, err = c.opener.Open(into, r.Key, r.Data, s.associated); err != nil {
			return nil, nil, err
		}
	}
	head, data, err := splitFrame(plain)
	if err != nil || len(head) == 0 {
		return nil, data, err
	}
	request, err := decodeRequest(head)
	return request, data, err
}

// appendFrame appends the plaintext of an event to dst.
func appendFrame(dst []byte, request *domain.Request, data []byte) []byte {
	var room [1024]byte
	head := room[:0]
	if request != nil {
		head = appendRequest(head, request)
	}
	dst = append(dst, frameFormat)
	dst = binary.AppendUvarint(dst, uint64(len(head)))
	dst = append(dst, head...)
	return append(dst, data...)
}

// splitFrame undoes appendFrame.
func splitFrame(plain []byte) (head, data []byte, err error) {
	if len(plain) == 0 {
		return nil, nil, errFrame
	}
	if plain[0] != frameFormat {
		return nil, nil, fmt.Errorf("%w: plaintext in format %d", ErrUnknown, plain[0])
	}
	n, width := binary.Uvarint(plain[1:])
	if width <= 0 || n > uint64(len(plain)-1-width) {
		return nil, nil, errFrame
	}
	rest := plain[1+width:]
	return rest[:n], rest[n:], nil
}

// appendAssociated appends to dst what a sealed text is bound to.
func appendAssociated(dst []byte, env *domain.Envelope) []byte {
	var version [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(version[:], uint64(env.Version))
	dst = appendField(dst, env.Stream)
	dst = appendField(dst, env.Type)
	dst = appendField(dst, env.ID[:])
	return appendField(dst, version[:n])
}

func appendField[T string | []byte](dst []byte, field T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(field)))
	return append(dst, field...)
}
