// Package zstd compresses batches before they are sealed.
package zstd

import (
	"fmt"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"strandline/domain"
	"strandline/domain/codec"
)

const (
	maxSize = 64 << 20 // bytes that one call decompresses at most: a request body has at most 50 MB
	window  = 1 << 20  // bytes that the compressor looks back, which bounds its memory
)

// Compressor is codec.Compressor and codec.Decompressor. It is safe for concurrent use: as many calls run at once as
// there are processors, others wait.
type Compressor struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

var (
	_ codec.Compressor   = (*Compressor)(nil)
	_ codec.Decompressor = (*Compressor)(nil)
)

// New returns a Compressor at the fastest level.
func New() (*Compressor, error) {
	processors := runtime.GOMAXPROCS(0)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(processors),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxSize), zstd.WithDecoderConcurrency(processors),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &Compressor{encoder, decoder}, nil
}

// Compress appends src, compressed, to dst.
func (c *Compressor) Compress(dst, src []byte) []byte { return c.encoder.EncodeAll(src, dst) }

// Decompress appends what src was before Compress to dst. More than 64 MiB is an error, like anything that Compress did
// not make.
func (c *Compressor) Decompress(dst, src []byte) ([]byte, error) {
	room := dst[len(dst):]
	plain, err := c.decoder.DecodeAll(src, room)
	if err != nil {
		return nil, fmt.Errorf("%w: decompress: %w", domain.ErrDamaged, err)
	}
	if len(plain) > 0 && len(plain) <= cap(room) && &plain[0] == &room[:1][0] {
		return dst[:len(dst)+len(plain)], nil // it was decoded in place
	}
	return append(dst, plain...), nil
}
