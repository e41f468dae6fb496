package codec_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/codec"
	"strandline/domain/observation"
	"strandline/domain/plan"
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

func encodeOne(t *testing.T, env domain.Envelope, e domain.Event) domain.Record {
	t.Helper()
	records, err := newCodec().Encode(env, details(), e)
	if err != nil || len(records) != 1 {
		t.Fatalf("Encode = %d records, %v", len(records), err)
	}
	return records[0]
}

func TestBatchesAreCompressedFromOneKiB(t *testing.T) {
	for size, want := range map[int]domain.ContentType{500: domain.JSON, 5000: domain.JSONZstd} {
		e := samples(1, size)
		r := encodeOne(t, envelope(), e)
		if r.ContentType != want || want == domain.JSONZstd && len(r.Data) > size/2 {
			t.Errorf("a batch of %d bytes has content type %d and %d bytes; want type %d", size, r.ContentType, len(r.Data), want)
		}
		got, err := newCodec().Decode(t.Context(), r, nil)
		if err != nil || !reflect.DeepEqual(got.Event, e) || got.Size != len(r.Data) {
			t.Errorf("Decode = %+v, %v", got, err)
		}
	}
}

func TestWhatClientsSentIsNotInTheRecord(t *testing.T) {
	for _, typ := range codec.Types() {
		r := encodeOne(t, envelope(), typ.Sample)
		_, _, data, err := codec.Marshal(typ.Sample)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(r.Data, data[1:len(data)-1]) || bytes.Contains(r.Data, []byte("192.0.2.7")) {
			t.Errorf("%s is readable in its record", typ.Name)
		}
	}
}

func TestTamperedRecordsAreErrors(t *testing.T) {
	good := encodeOne(t, envelope(), sampleOf(t, "study.added"))
	for name, change := range map[string]func(*domain.Record){
		"another key":     func(r *domain.Record) { r.Key = "k2" },
		"another stream":  func(r *domain.Record) { r.Stream = "other-stream" },
		"another id":      func(r *domain.Record) { r.ID[15]++ },
		"another type":    func(r *domain.Record) { r.Type = "study.removed" },
		"an unknown type": func(r *domain.Record) { r.Type = "study.hidden" },
		"another version": func(r *domain.Record) { r.Version = 2 },
		"a flipped bit":   func(r *domain.Record) { r.Data[3] ^= 1 },
		"cut short":       func(r *domain.Record) { r.Data = r.Data[:len(r.Data)-1] },
		"no data":         func(r *domain.Record) { r.Data = nil },
		"no key, no data": func(r *domain.Record) { r.Key, r.Data = "", nil },
		"a cut request":   func(r *domain.Record) { r.Key, r.Data = "", []byte("\x01\x09{}") },
		"a format only":   func(r *domain.Record) { r.Key, r.Data = "", []byte("\x01") },
		"a long request":  func(r *domain.Record) { r.Key, r.Data = "", []byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01{}") },
		"no request":      func(r *domain.Record) { r.Key, r.Data = "", []byte("\x01\x01{{}") },
		"broken data":     func(r *domain.Record) { r.Key, r.Data = "", []byte("\x01\x00{") },
		"other data":      func(r *domain.Record) { r.Key, r.Data = "", []byte("\x01\x00"+`{"kind":"sensor"}`) },
		"version 0":       func(r *domain.Record) { r.Key, r.Data, r.Version = "", []byte("\x01\x00{}"), 0 },
		"not compressed":  func(r *domain.Record) { r.ContentType = domain.JSONZstd },
	} {
		r := good
		r.Data = bytes.Clone(good.Data)
		change(&r)
		got, err := newCodec().Decode(t.Context(), r, nil)
		if err == nil || got.Event != nil || got.Sealed || got.Unknown {
			t.Errorf("%s: Decode = %+v, %v; want an error", name, got, err)
		}
	}
}

func TestDestroyedKeysAreNoErrors(t *testing.T) {
	m := means{destroyed: map[string]bool{"k1": true}}
	c := codec.New(m, m, m, m)
	for _, e := range []domain.Event{sampleOf(t, "study.added"), batch(5000), batch(600 << 10)} {
		records, err := c.Encode(envelope(), details(), e)
		if err != nil {
			t.Fatal(err)
		}
		all := appended(records, 0)
		got, err := c.Decode(t.Context(), all[len(all)-1], all)
		if err != nil || !got.Sealed || got.Event != nil || got.Request != nil || got.ID != envelope().ID {
			t.Errorf("Decode = %+v, %v; want it sealed", got, err)
		}
	}
}

func TestTheFutureIsNoError(t *testing.T) {
	plain := envelope()
	plain.Key = ""
	good := encodeOne(t, plain, sampleOf(t, "study.added"))
	for name, change := range map[string]func(*domain.Record){
		"an unknown type":    func(r *domain.Record) { r.Type = "rule.fired" },
		"a newer version":    func(r *domain.Record) { r.Version = 2 },
		"bytes of others":    func(r *domain.Record) { r.ContentType, r.Data = domain.External, []byte("anything") },
		"a new content type": func(r *domain.Record) { r.ContentType = 17 },
		"a new frame":        func(r *domain.Record) { r.Data = []byte("\x02anything") },
	} {
		r := good
		change(&r)
		got, err := newCodec().Decode(t.Context(), r, nil)
		if err != nil || !got.Unknown || got.Event != nil || got.Sealed {
			t.Errorf("%s: Decode = %+v, %v; want it unknown", name, got, err)
		}
		if name == "an unknown type" && !reflect.DeepEqual(got.Request, details()) {
			t.Errorf("the request of an unknown type is %+v; want %+v", got.Request, details())
		}
	}
	if _, err := codec.Unmarshal("rule.fired", 1, []byte("{}")); !errors.Is(err, codec.ErrUnknown) {
		t.Errorf("Unmarshal(rule.fired) = %v; want ErrUnknown", err)
	}
	if _, err := codec.Schema("rule.fired", 1); !errors.Is(err, codec.ErrUnknown) {
		t.Errorf("Schema(rule.fired) = %v; want ErrUnknown", err)
	}
}

// stray is an event of no type that the codec knows.
type stray struct{}

func (stray) EventType() string { return "stray.seen" }

// posing is one that says it were a batch.
type posing struct{}

func (posing) EventType() string { return "observation.recorded" }

func TestEventsOfNoTypeAreRefused(t *testing.T) {
	for _, e := range []domain.Event{stray{}, posing{}} {
		if records, err := newCodec().Encode(envelope(), nil, e); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("Encode(%T) = %+v, %v; want it invalid", e, records, err)
		}
	}
}

func TestLargeValuesAreCut(t *testing.T) {
	c := newCodec()
	records, err := c.Encode(envelope(), details(), batch(1200<<10))
	if err != nil || len(records) != 4 {
		t.Fatalf("1.2 MB make %d records, %v; want 3 parts and their end", len(records), err)
	}
	ids := map[domain.ID]bool{}
	for _, r := range records[:3] {
		ids[r.ID] = true
		if r.Type != codec.PartType || r.ContentType != domain.Part || r.Key != "k1" || r.Stream != "some-stream" || r.Causation != envelope().ID || r.ID[6]>>4 != 8 {
			t.Errorf("a part has the envelope %+v", r.Envelope)
		}
		got, err := c.Decode(t.Context(), r, nil)
		if err != nil || got.Event != nil || got.Unknown || got.Sealed {
			t.Errorf("a part alone is %+v, %v", got, err)
		}
	}
	if end := records[3]; len(ids) != 3 || end.ID != envelope().ID || end.Type != "observation.recorded" || end.Version != 2 || end.ContentType != domain.Parts {
		t.Errorf("%d part ids and the end %+v", len(ids), end.Envelope)
	}
	again, err := c.Encode(envelope(), details(), batch(1200<<10))
	if err != nil || !reflect.DeepEqual(again, records) {
		t.Errorf("the same event makes other records the second time, %v", err)
	}
}

// sized is an event whose stored form has exactly size bytes.
func sized(t *testing.T, size int) domain.Event {
	t.Helper()
	e := attachment.Set{Target: "me", Key: "k", Value: json.RawMessage(`""`)}
	_, _, data, err := codec.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	e.Value = json.RawMessage(`"` + strings.Repeat("v", size-len(data)) + `"`)
	return e
}

func TestWhereValuesAreCut(t *testing.T) {
	for size, want := range map[int]int{256 << 10: 1, 256<<10 + 1: 2, 512 << 10: 2, 512<<10 + 1: 3, 1 << 20: 3, 1<<20 + 1: 4} {
		e := sized(t, size)
		records, err := newCodec().Encode(envelope(), nil, e)
		if err != nil || len(records) != want {
			t.Errorf("%d bytes make %d records, %v; want %d", size, len(records), err, want)
		}
		all := appended(records, 0)
		if got, err := newCodec().Decode(t.Context(), all[len(all)-1], all); err != nil || !reflect.DeepEqual(got.Event, e) {
			t.Errorf("%d bytes do not come back: %v", size, err)
		}
	}
}

func TestWrongPartsAreErrors(t *testing.T) {
	c := newCodec()
	records, err := c.Encode(envelope(), details(), batch(1200<<10))
	if err != nil {
		t.Fatal(err)
	}
	other := envelope()
	other.ID = domain.ID{8}
	others, err := c.Encode(other, details(), batch(1200<<10))
	if err != nil {
		t.Fatal(err)
	}
	end := records[3]
	for name, before := range map[string][]domain.Record{
		"no parts":               {},
		"a part missing":         {records[1], records[2]},
		"a gap":                  {records[0], records[1], others[2]},
		"in another order":       {records[1], records[0], records[2]},
		"something between":      {records[0], records[1], records[2], end},
		"all of another event":   others[:3],
		"an event among them":    {records[0], end, records[2]},
		"the first part broken":  {{Envelope: records[0].Envelope, Data: records[1].Data}, records[1], records[2]},
		"a part that is no part": {{Envelope: records[0].Envelope}, records[1], records[2]},
	} {
		all := appended(append(before[:len(before):len(before)], end), 0)
		got, err := c.Decode(t.Context(), all[len(all)-1], all)
		if err == nil || got.Event != nil || got.Sealed || got.Unknown {
			t.Errorf("%s: Decode = event %t, %v; want an error", name, got.Event != nil, err)
		}
	}
	end.Revision = 3
	failing := errors.New("the disk is gone")
	if _, err := c.Decode(t.Context(), end, broken{failing}); !errors.Is(err, failing) {
		t.Errorf("a store that fails: %v; want %v", err, failing)
	}
}

// broken is a store that cannot be read.
type broken struct{ err error }

func (b broken) ReadStream(context.Context, string, uint64, int) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) { yield(domain.Record{}, b.err) }
}

// TestClosingRecordsAreNotBelieved: what the end says of its parts is checked, even if it is sealed well.
func TestClosingRecordsAreNotBelieved(t *testing.T) {
	c := newCodec()
	records, err := c.Encode(envelope(), nil, batch(600<<10))
	if err != nil {
		t.Fatal(err)
	}
	_, _, data, err := codec.Marshal(batch(600 << 10))
	if err != nil {
		t.Fatal(err)
	}
	right := sha256.Sum256(data)
	sum := strings.Repeat("0", 64)
	for _, end := range []string{
		`{"parts":2,"sha256":"` + sum + `","type":"observation.recorded"}`,
		`{"parts":0,"sha256":"` + sum + `","type":"observation.recorded"}`,
		`{"parts":-1,"sha256":"` + sum + `","type":"observation.recorded"}`,
		`{"parts":1000000000,"sha256":"` + sum + `","type":"observation.recorded"}`,
		`{"parts":2,"sha256":"` + sum + `","type":"study.added"}`,
		`{"parts":2,"sha256":"` + hex.EncodeToString(right[:]) + `","type":"study.added"}`,
		`{"parts":1,"sha256":"` + hex.EncodeToString(right[:]) + `","type":"observation.recorded"}`,
		`{"parts":3,"sha256":"` + hex.EncodeToString(right[:]) + `","type":"observation.recorded"}`,
		`{`, ``,
	} {
		r := records[2]
		r.Key, r.Data = "", []byte("\x01\x00"+end)
		all := appended([]domain.Record{records[0], records[1], r}, 0)
		if got, err := c.Decode(t.Context(), all[2], all); err == nil {
			t.Errorf("Decode(%s) = %+v; want an error", end, got)
		}
	}
}

// TestEventsDoNotShareMemory: what was decoded stays as it is while the codec goes on, in many goroutines.
func TestEventsDoNotShareMemory(t *testing.T) {
	c := newCodec()
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			var events []domain.Event
			var kept []domain.Recorded
			for i := range 20 {
				e := samples(1+i%7*5, 100+10*g+i)
				records, err := c.Encode(envelope(), &domain.Request{Address: strconv.Itoa(i)}, e)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := c.Decode(t.Context(), records[0], nil)
				if err != nil {
					t.Error(err)
					return
				}
				events, kept = append(events, e), append(kept, got)
			}
			for i, e := range events {
				if !reflect.DeepEqual(kept[i].Event, e) || kept[i].Request.Address != strconv.Itoa(i) {
					t.Errorf("event %d has changed to %+v", i, kept[i])
				}
			}
		})
	}
	group.Wait()
}

// TestRequestsAsTheirTagsSay holds the codec of requests, written by hand, against encoding/json and the tags.
func TestRequestsAsTheirTagsSay(t *testing.T) {
	s := &spy{}
	c := codec.New(s, s, s, s)
	text := rapid.String()
	rapid.Check(t, func(t *rapid.T) {
		want := domain.Request{
			Address: text.Draw(t, "address"), Agent: text.Draw(t, "agent"), Method: text.Draw(t, "method"), Route: text.Draw(t, "route"),
			Object: text.Draw(t, "object"), Status: rapid.IntRange(-1, 599).Draw(t, "status"), Reason: text.Draw(t, "reason"), Digest: text.Draw(t, "digest"),
		}
		var expected bytes.Buffer
		encoder := json.NewEncoder(&expected)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(want); err != nil {
			t.Fatal(err)
		}
		records, err := c.Encode(envelope(), &want, plan.Done{})
		if err != nil {
			t.Fatal(err)
		}
		length, width := binary.Uvarint(s.plain[1:])
		if got := s.plain[1+width:][:length]; !bytes.Equal(got, bytes.TrimSpace(expected.Bytes())) {
			t.Fatalf("request %+v is written as %s; want %s", want, got, expected.Bytes())
		}
		records[0].Key = ""
		got, err := c.Decode(context.Background(), records[0], nil)
		if err != nil || *got.Request != want {
			t.Fatalf("request %+v comes back as %+v, %v", want, got.Request, err)
		}
	})
	if n := reflect.TypeFor[domain.Request]().NumField(); n != 8 {
		t.Errorf("a request has %d fields; the codec and this test know 8", n)
	}
}

// TestBatchesComeBack draws batches with any series, times and values, in both versions of their stored form.
func TestBatchesComeBack(t *testing.T) {
	items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) observation.Item {
		return observation.Item{
			Time:   rapid.Ptr(rapid.Int64(), true).Draw(t, "time"),
			Series: rapid.OneOf(rapid.SampledFrom([]string{"a", "b", `"],[`}), rapid.String()).Draw(t, "series"),
			Value:  json.RawMessage(rapid.SampledFrom([]string{`0`, `-1.50e+3`, `null`, `""`, `"],[\\\""`, `{}`, `[]`, `{"a":[1,{"b,]":"}"}]}`}).Draw(t, "value")),
		}
	}), 0, 30)
	rapid.Check(t, func(t *rapid.T) {
		want := observation.Recorded{Subject: rapid.String().Draw(t, "subject"), Channel: rapid.String().Draw(t, "channel"), Items: items.Draw(t, "items")}
		if len(want.Items) == 0 {
			want.Items = nil
		}
		typ, version, data, err := codec.Marshal(want)
		if err != nil || !json.Valid(data) {
			t.Fatalf("Marshal = %s, %v", data, err)
		}
		if got, err := codec.Unmarshal(typ, version, data); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is read as %+v, %v; want %+v", data, got, err, want)
		}
		if got, err := codec.Unmarshal(typ, 1, listOf(want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is read as %+v, %v; want %+v", listOf(want), got, err, want)
		}
	})
}

func TestBrokenColumnsAreErrors(t *testing.T) {
	for _, data := range []string{
		``, `{}`, `[]`, `null`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1],"values":[1]`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1],"values":[1}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1],"values":1}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1],"values":[]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1,2],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1],"values":[1,2]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1,2],"values":[,1]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1,2],"values":[1,,]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":[],"values":[]}`,
		`{"subject":"s","channel":"c","series":[],"times":[1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a","b"],"times":[1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a","b"],"which":[2],"times":[1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a","b"],"which":[-1],"times":[1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a","b"],"which":[null],"times":[1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a","b"],"which":[0,1],"times":[1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a","b"],"which":[],"times":[1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":["1"],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1.5],"values":[1]}`,
		`{"subject":"s","channel":"c","series":[1],"times":[1],"values":[1]}`,
		`{"subject":1,"channel":"c","series":["a"],"times":[1],"values":[1]}`,
		`{"channel":"c","subject":"s","series":["a"],"times":[1],"values":[1]}`,
		`{"subject":"s","channel":"c","series":["a"],"times":[1],"values":[1],"more":[]}`,
		"{\"subject\":\"s\",\"channel\":\"c\",\"series\":[\"a\x80\"],\"times\":[1],\"values\":[1]}",
		"{\"subject\":\"s\",\"channel\":\"c\x80\",\"series\":[\"a\"],\"times\":[1],\"values\":[1]}",
		`{"subject":"s","channel":"c","series":["a"],"times":` + strings.Repeat(",", 1<<20) + `],"values":[` + strings.Repeat("1,", 10) + `]}`,
	} {
		if got, err := codec.Unmarshal("observation.recorded", 2, []byte(data)); err == nil {
			t.Errorf("Unmarshal(%.100s) = %+v; want an error", data, got)
		}
	}
}

// FuzzUnmarshal reads arbitrary data as every type and version: no panic, no more items than bytes, and what it reads
// stays the same once it has been written.
func FuzzUnmarshal(f *testing.F) {
	all := codec.Types()
	for i, typ := range all {
		for v := 1; v <= typ.Version; v++ {
			data, err := os.ReadFile(golden(typ.Name, v))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(i, v, bytes.TrimSpace(data))
		}
	}
	f.Fuzz(func(t *testing.T, i, version int, data []byte) {
		typ := all[uint(i)%uint(len(all))]
		first, err := codec.Unmarshal(typ.Name, version, data)
		if err != nil {
			return
		}
		if batch, ok := first.(observation.Recorded); ok && len(batch.Items) > len(data) {
			t.Fatalf("%d items in %d bytes", len(batch.Items), len(data))
		}
		_, _, written, err := codec.Marshal(first)
		if err != nil {
			t.Fatalf("Marshal(%+v) = %v", first, err)
		}
		second, err := codec.Unmarshal(typ.Name, typ.Version, written)
		if err != nil {
			t.Fatalf("what was read from %s and written as %s cannot be read: %v", data, written, err)
		}
		if _, _, again, err := codec.Marshal(second); err != nil || !bytes.Equal(again, written) {
			t.Fatalf("%s is written as %s the second time, %v", written, again, err)
		}
	})
}

// FuzzDecode opens arbitrary frames of every content type: no panic.
func FuzzDecode(f *testing.F) {
	c := newCodec()
	for _, e := range []domain.Event{plan.Done{ID: "p"}, samples(2, 600), batch(300 << 10)} {
		records, err := c.Encode(domain.Envelope{ID: domain.ID{7}, Stream: "some-stream"}, details(), e)
		if err != nil {
			f.Fatal(err)
		}
		for _, r := range records {
			f.Add(r.Type, uint8(r.ContentType), r.Data, r.Data[:len(r.Data)/2])
		}
	}
	f.Fuzz(func(t *testing.T, typ string, content uint8, data, part []byte) {
		env := domain.Envelope{Type: typ, Version: 1, Stream: "s", Revision: 1, ContentType: domain.ContentType(content)}
		if got, err := c.Decode(t.Context(), domain.Record{Envelope: env, Data: data}, stream{{Envelope: domain.Envelope{ContentType: domain.Part}, Data: part}}); err != nil && got.Event != nil {
			t.Fatalf("an event and an error: %+v, %v", got, err)
		}
	})
}
