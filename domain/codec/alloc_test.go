//go:build !race

package codec_test

import (
	"testing"

	"strandline/domain"
	"strandline/domain/codec"
)

// TestAllocations bounds what each upload costs the collector, however large it is.
func TestAllocations(t *testing.T) {
	for name, e := range map[string]domain.Event{"1 observation": samples(1, 400), "100 observations": samples(100, 80)} {
		m := newCached(t)
		c := codec.New(m, m, m, m)
		env, request := envelope(), details()
		records, err := c.Encode(env, request, e)
		if err != nil {
			t.Fatal(err)
		}
		encode := testing.AllocsPerRun(100, func() {
			if _, err := c.Encode(env, request, e); err != nil {
				t.Fatal(err)
			}
		})
		decode := testing.AllocsPerRun(100, func() {
			if _, err := c.Decode(t.Context(), records[0], nil); err != nil {
				t.Fatal(err)
			}
		})
		if encode > 4 || decode > 13 {
			t.Errorf("%s: %v allocations to encode, %v to decode; want at most 4 and 13", name, encode, decode)
		}
	}
}
