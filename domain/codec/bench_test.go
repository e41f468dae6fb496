package codec_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/codec"
	"strandline/domain/observation"
)

// cached seals under one key that is at hand, as a key store does, and leaves out compression.
type cached struct{ aead cipher.AEAD }

func newCached(b testing.TB) cached {
	sum := sha256.Sum256([]byte("key"))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	return cached{aead}
}

var nonce = make([]byte, 12)

func (c cached) Seal(dst []byte, _ string, plain, ad []byte) ([]byte, error) {
	return c.aead.Seal(dst, nonce, plain, ad), nil
}

func (c cached) Open(dst []byte, _ string, sealed, ad []byte) ([]byte, error) {
	return c.aead.Open(dst, nonce, sealed, ad)
}

func (cached) Compress(dst, src []byte) []byte            { return append(dst, src...) }
func (cached) Decompress(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }

// samples is a batch of n items whose values have size bytes.
func samples(n, size int) observation.Recorded {
	r := observation.Recorded{Subject: "U0123456789", Channel: observation.LAMPSensor}
	for i := range n {
		at := 1_600_000_000_000 + 200*int64(i)
		value := fmt.Sprintf(`{"x":%.6f,"y":-0.981,"note":"`, float64(i)/7)
		value += strings.Repeat("n", max(0, size-len(value)-2)) + `"}`
		r.Items = append(r.Items, observation.Item{Time: &at, Series: "lamp.accelerometer", Value: json.RawMessage(value)})
	}
	return r
}

func BenchmarkEncode(b *testing.B) {
	for name, e := range map[string]domain.Event{"1 of 400 B": samples(1, 400), "100 of 80 B": samples(100, 80)} {
		b.Run(name, func(b *testing.B) {
			m := newCached(b)
			c := codec.New(m, m, m, m)
			env, request := envelope(), details()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Encode(env, request, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, e := range map[string]domain.Event{"1 of 400 B": samples(1, 400), "100 of 80 B": samples(100, 80)} {
		b.Run(name, func(b *testing.B) {
			m := newCached(b)
			c := codec.New(m, m, m, m)
			records, err := c.Encode(envelope(), details(), e)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Decode(b.Context(), records[0], nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeVersions(b *testing.B) {
	_, _, columns, err := codec.Marshal(samples(100, 80))
	if err != nil {
		b.Fatal(err)
	}
	list := listOf(samples(100, 80))
	for version, data := range [][]byte{list, columns} {
		b.Run(fmt.Sprint("version ", version+1), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.Unmarshal("observation.recorded", version+1, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// listOf writes a batch as version 1 did.
func listOf(r observation.Recorded) []byte {
	type item struct {
		Time   *int64          `json:"time"`
		Series string          `json:"series"`
		Value  json.RawMessage `json:"value"`
	}
	list := struct {
		Subject string `json:"subject"`
		Channel string `json:"channel"`
		Items   []item `json:"items"`
	}{r.Subject, r.Channel, []item{}}
	for _, i := range r.Items {
		list.Items = append(list.Items, item(i))
	}
	data, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return data
}
