package embedded

import (
	"hash/crc32"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"strandline/domain"
)

func drawEnvelope(t *rapid.T) domain.Envelope {
	text := func(name string) string { return rapid.String().Draw(t, name) }
	id := func(name string) (id domain.ID) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, name))
		return id
	}
	e := domain.Envelope{
		ID: id("id"), Type: text("type"), Version: rapid.IntRange(0, 1<<31-1).Draw(t, "version"),
		Stream: "s" + text("stream"), Revision: rapid.Uint64().Draw(t, "revision"),
		Time:  timeOf(rapid.Int64Range(-1e17, 1e18).Draw(t, "time")),
		Actor: text("actor"), Credential: text("credential"), APIKey: text("api key"), Dialect: text("dialect"),
		CommandID: id("command id"), Command: text("command"), Correlation: id("correlation"), Causation: id("causation"),
		Subject: text("subject"), Key: text("key"), ContentType: domain.ContentType(rapid.Uint8().Draw(t, "content type")),
	}
	e.ID[0] |= 1
	if rapid.Bool().Draw(t, "newer") {
		e.Extra = []byte{18, 0, 200, 1, 2, 'h', 'i'}
	}
	return e
}

func encodeEnvelope(e domain.Envelope) []byte {
	b := appendEnvelope(nil, e.Stream, &e)
	complete(b, e.Revision, ticksOf(e.Time))
	return b
}

// TestEnvelopeRoundTrip: what is encoded comes back, and what has come back is encoded to the same bytes.
func TestEnvelopeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEnvelope(t)
		b := encodeEnvelope(want)
		if len(b) > envelopeSize(want.Stream, &want) {
			t.Fatalf("the envelope has %d bytes; want at most %d", len(b), envelopeSize(want.Stream, &want))
		}
		got, err := decodeEnvelope(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("decode = %+v, %v; want %+v", got, err, want)
		}
		if again := encodeEnvelope(got); string(again) != string(b) {
			t.Fatalf("encoded again: %x; want %x", again, b)
		}
		known, ok := identify(b)
		if !ok || string(known.stream) != want.Stream || known.id != want.ID || known.revision != want.Revision || timeOf(known.ticks) != want.Time {
			t.Fatalf("identify = %+v, %v", known, ok)
		}
	})
}

// TestTicks: times keep 100 ns, before 1970 too.
func TestTicks(t *testing.T) {
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(-1, 999_999_900), time.Date(2262, 4, 12, 0, 0, 0, 100, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := timeOf(ticksOf(at)); !got.Equal(at) {
			t.Errorf("%v comes back as %v", at, got)
		}
	}
}

// FuzzRecord gives bytes as they may be on a bad disk to all that reads them. The checksum is made right, so that what is
// behind it is reached.
func FuzzRecord(f *testing.F) {
	var r request
	r.encode("thing-1", 1, domain.Any, []domain.Record{{Envelope: domain.Envelope{ID: domain.ID{1}, Type: "t", Extra: []byte{99, 1, 0}}, Data: []byte("data")}})
	f.Add(r.bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= recordHeader {
			if at := record(b).dataAt(); at > recordHeader && at <= len(b) {
				little := recordChecksum(crc32.Checksum(b[at:], castagnoli), b[:at])
				b[0], b[1], b[2], b[3] = byte(little), byte(little>>8), byte(little>>16), byte(little>>24)
			}
			if raw, err := cutRecord(b, record(b).position()); err == nil {
				raw.decode()
				identify(raw.envelope())
			}
		}
		decodeEnvelope(b)
		readGroup(b, domain.ID{})
		readSegmentStart(b, domain.ID{})
	})
}
