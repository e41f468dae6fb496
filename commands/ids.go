package commands

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"strandline/domain"
)

// draw returns a new UUID of version 7.
func (b *Bus) draw() (id domain.ID, err error) {
	if _, err := io.ReadFull(b.random, id[6:]); err != nil {
		return id, fmt.Errorf("%w: no random numbers: %w", domain.ErrUnavailable, err)
	}
	return stamp(id, b.clock()), nil
}

// stamp makes random bytes a UUID of version 7 with that time.
func stamp(id domain.ID, at time.Time) domain.ID {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// seed stands for one use of an idempotency key: by this principal, on this route (decision 8).
func (b *Bus) seed(meta Meta) [sha256.Size]byte {
	var text []byte
	for _, field := range []string{meta.Actor(), meta.Credential, meta.Details.Method, meta.Details.Route, meta.IdempotencyKey} {
		text = binary.AppendUvarint(text, uint64(len(field)))
		text = append(text, field...)
	}
	return b.keys.Hash("idempotency", string(text))
}

// derive returns the n-th UUID of version 8 that a seed gives for a purpose.
func derive(seed [sha256.Size]byte, purpose, stream string, n int) domain.ID {
	text := append(seed[:], purpose...)
	text = binary.BigEndian.AppendUint32(text, uint32(n))
	sum := sha256.Sum256(append(text, stream...))
	id := domain.ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// IDs is the source from which the objects of one request draw their ids: random bytes, or with an idempotency key
// always the same ones, so that a repeated creation names the same objects. Meta needs its Principal here.
func (b *Bus) IDs(meta Meta) io.Reader {
	if meta.IdempotencyKey == "" {
		return b.random
	}
	return &derived{seed: b.seed(meta)}
}

// derived is an endless row of bytes from a seed.
type derived struct {
	seed [sha256.Size]byte
	n    int
	left []byte
}

// Read never fails.
func (d *derived) Read(p []byte) (int, error) {
	for i := range p {
		if len(d.left) == 0 {
			text := binary.BigEndian.AppendUint32(append(d.seed[:], "object"...), uint32(d.n))
			sum := sha256.Sum256(text)
			d.left, d.n = sum[:], d.n+1
		}
		p[i], d.left = d.left[0], d.left[1:]
	}
	return len(p), nil
}
