package codec

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"strandline/domain"
)

// frameFormat is the first byte of a plaintext.
const frameFormat = 1

// sealRoom is what sealing adds at most to a plaintext, in bytes: key version, nonce and tag.
const sealRoom = 64

var errFrame = errors.New("the plaintext is cut short")

// seal frames request and data and seals them under env's key.
func (c *Codec) seal(env domain.Envelope, request *domain.Request, data []byte) (domain.Record, error) {
	plain, err := appendFrame(make([]byte, 0, len(data)+512), request, data)
	if err != nil {
		return domain.Record{}, fmt.Errorf("encode %s: %w", env.Type, err)
	}
	if env.Key == "" {
		return domain.Record{Envelope: env, Data: plain}, nil
	}
	sealed, err := c.sealer.Seal(make([]byte, 0, len(plain)+sealRoom), env.Key, plain, associated(nil, env))
	if err != nil {
		return domain.Record{}, fmt.Errorf("seal %s: %w", env.Type, err)
	}
	return domain.Record{Envelope: env, Data: sealed}, nil
}

// open undoes seal. A frame of the future is ErrUnknown.
func (c *Codec) open(r domain.Record) (*domain.Request, []byte, error) {
	plain := r.Data
	if r.Key != "" {
		var err error
		if plain, err = c.opener.Open(nil, r.Key, r.Data, associated(nil, r.Envelope)); err != nil {
			return nil, nil, err
		}
	}
	return splitFrame(plain)
}

// appendFrame appends the plaintext of an event to dst.
func appendFrame(dst []byte, request *domain.Request, data []byte) ([]byte, error) {
	var head []byte
	if request != nil {
		var err error
		if head, err = json.Marshal(request); err != nil {
			return nil, err
		}
	}
	dst = append(dst, frameFormat)
	dst = binary.AppendUvarint(dst, uint64(len(head)))
	dst = append(dst, head...)
	return append(dst, data...), nil
}

// splitFrame undoes appendFrame. The data is a slice of plain.
func splitFrame(plain []byte) (*domain.Request, []byte, error) {
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
	head, data := plain[1+width:1+width+int(n)], plain[1+width+int(n):]
	if n == 0 {
		return nil, data, nil
	}
	var request domain.Request
	if err := json.Unmarshal(head, &request); err != nil {
		return nil, nil, fmt.Errorf("the request with it: %w", err)
	}
	return &request, data, nil
}

// associated appends to dst what a sealed text is bound to.
func associated(dst []byte, env domain.Envelope) []byte {
	dst = appendField(dst, env.Stream)
	dst = appendField(dst, env.Type)
	dst = appendField(dst, env.ID[:])
	var version [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(version[:], uint64(env.Version))
	return appendField(dst, version[:n])
}

func appendField[T string | []byte](dst []byte, field T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(field)))
	return append(dst, field...)
}
