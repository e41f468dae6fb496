package zstd_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/transport/zstd"
)

func compressor(t testing.TB) *zstd.Compressor {
	t.Helper()
	c, err := zstd.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComesBackWhateverRoomThereIs(t *testing.T) {
	c := compressor(t)
	rapid.Check(t, func(t *rapid.T) {
		plain := bytes.Repeat(rapid.SliceOf(rapid.Byte()).Draw(t, "piece"), rapid.IntRange(0, 100).Draw(t, "times"))
		packed := c.Compress([]byte("head"), plain)
		dst := append(make([]byte, 0, rapid.IntRange(4, 9000).Draw(t, "room")), "body"...)
		got, err := c.Decompress(dst, packed[4:])
		if err != nil || string(got[:4]) != "body" || !bytes.Equal(got[4:], plain) || string(packed[:4]) != "head" {
			t.Fatalf("%d bytes came back as %d, %v", len(plain), len(got)-4, err)
		}
	})
}

func TestBombsAndRubbishAreRefused(t *testing.T) {
	c := compressor(t)
	for name, packed := range map[string][]byte{
		"too large":   c.Compress(nil, make([]byte, 64<<20+1)),
		"cut short":   c.Compress(nil, []byte(strings.Repeat("abc", 1000)))[:20],
		"not zstd":    []byte("{}"),
		"only a head": c.Compress(nil, []byte(strings.Repeat("abc", 1000)))[:5],
	} {
		if _, err := c.Decompress(nil, packed); !errors.Is(err, domain.ErrDamaged) {
			t.Errorf("%s: Decompress = %v", name, err)
		}
	}
	if got, err := c.Decompress(nil, c.Compress(nil, make([]byte, 64<<20))); err != nil || len(got) != 64<<20 {
		t.Errorf("64 MiB came back as %d, %v", len(got), err)
	}
}

func TestManyAtOnce(t *testing.T) {
	c := compressor(t)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			plain := bytes.Repeat([]byte{byte(i), 1, 2}, 5000)
			for range 20 {
				if got, err := c.Decompress(nil, c.Compress(nil, plain)); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("came back as %d bytes, %v", len(got), err)
				}
			}
		})
	}
	all.Wait()
}
