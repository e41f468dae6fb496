package codec_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"reflect"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/codec"
	"strandline/domain/observation"
)

// means are sealing and compression for tests: a key for each key id until it is destroyed, flate with a bound.
type means struct{ destroyed map[string]bool }

func (m means) aead(key string) cipher.AEAD {
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (m means) Seal(dst []byte, key string, plain, ad []byte) ([]byte, error) {
	return m.aead(key).Seal(dst, make([]byte, 12), plain, ad), nil
}

func (m means) Open(dst []byte, key string, sealed, ad []byte) ([]byte, error) {
	if m.destroyed[key] {
		return nil, codec.ErrKeyDestroyed
	}
	return m.aead(key).Open(dst, make([]byte, 12), sealed, ad)
}

func (means) Compress(dst, src []byte) []byte {
	out := bytes.NewBuffer(dst)
	w, err := flate.NewWriter(out, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	w.Write(src)
	w.Close()
	return out.Bytes()
}

func (means) Decompress(dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	n, err := io.Copy(out, io.LimitReader(flate.NewReader(bytes.NewReader(src)), 1<<20+1))
	if n > 1<<20 {
		return nil, errors.New("too large")
	}
	return out.Bytes(), err
}

// stream is the records of one stream.
type stream []domain.Record

func (s stream) ReadStream(_ context.Context, name string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		for i := from; i < uint64(len(s)) && i < from+uint64(limit); i++ {
			if !yield(s[i], nil) {
				return
			}
		}
	}
}

// appended gives records the revisions that a store would give them, after before other records.
func appended(records []domain.Record, before int) stream {
	all := make(stream, before, before+len(records))
	for _, r := range records {
		r.Revision = uint64(len(all))
		all = append(all, r)
	}
	return all
}

func newCodec() *codec.Codec {
	m := means{}
	return codec.New(m, m, m, m)
}

func envelope() domain.Envelope {
	return domain.Envelope{ID: domain.ID{7}, Stream: "some-stream", Actor: "root", Key: "k1"}
}

func details() *domain.Request {
	return &domain.Request{Address: "192.0.2.7", Agent: "Safari <5>", Method: "POST", Route: "/participant/{id}/sensor_event", Status: 200}
}

func TestEveryTypeComesBack(t *testing.T) {
	c := newCodec()
	for _, typ := range codec.Types() {
		for _, key := range []string{"", "k1"} {
			env := envelope()
			env.Key = key
			records, err := c.Encode(env, details(), typ.Sample)
			if err != nil || len(records) != 1 {
				t.Fatalf("Encode(%s) = %d records, %v", typ.Name, len(records), err)
			}
			got, err := c.Decode(t.Context(), records[0], nil)
			if err != nil || !reflect.DeepEqual(got.Event, typ.Sample) || !reflect.DeepEqual(got.Request, details()) {
				t.Errorf("Decode(Encode(%+v)) = %+v, %+v, %v", typ.Sample, got.Event, got.Request, err)
			}
		}
	}
}

// batch is a batch whose stored form has about size bytes.
func batch(size int) observation.Recorded {
	at := int64(1_600_000_000_000)
	value := json.RawMessage(`"` + strings.Repeat("0123456789", 100) + `"`)
	r := observation.Recorded{Subject: "U0123456789", Channel: observation.LAMPSensor}
	for range size / len(value) {
		r.Items = append(r.Items, observation.Item{Time: &at, Series: "lamp.accelerometer", Value: value})
	}
	return r
}

func TestLargeValuesComeBackFromParts(t *testing.T) {
	c := newCodec()
	for _, size := range []int{255 << 10, 300 << 10, 512 << 10, 600 << 10, 3 << 20} {
		want := batch(size)
		records, err := c.Encode(envelope(), details(), want)
		if err != nil {
			t.Fatal(err)
		}
		all := appended(records, 5)
		got, err := c.Decode(t.Context(), all[len(all)-1], all)
		if err != nil || !reflect.DeepEqual(got.Event, want) || !reflect.DeepEqual(got.Request, details()) {
			t.Errorf("a value of %d bytes in %d records: %v", size, len(records), err)
		}
	}
}
