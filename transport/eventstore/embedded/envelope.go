package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"strandline/domain"
)

// Fields of an envelope. The numbers are stored: a field keeps its number for ever, and a new one gets the next.
const (
	tagRevision    = 1
	tagTime        = 2
	tagStream      = 3
	tagID          = 4
	tagType        = 5
	tagVersion     = 6
	tagContentType = 7
	tagActor       = 8
	tagCredential  = 9
	tagAPIKey      = 10
	tagDialect     = 11
	tagCommandID   = 12
	tagCommand     = 13
	tagCorrelation = 14
	tagCausation   = 15
	tagSubject     = 16
	tagKey         = 17
	tagLast        = tagKey // the last one that this version knows
)

// Revision and time come first and have a fixed width, so that the committer can fill them in.
const (
	revisionAt  = 2
	timeAt      = 12
	envelopeMin = 20
	tick        = 100 * time.Nanosecond // the resolution of stored times
)

var errEnvelope = errors.New("the envelope is not well formed")

// appendEnvelope appends the canonical encoding of e in stream to dst: the fields in the order of their numbers, none of
// them empty, and after them the unknown ones. Revision and time are left zero.
func appendEnvelope(dst []byte, stream string, e *domain.Envelope) []byte {
	dst = append(dst, tagRevision, 8, 0, 0, 0, 0, 0, 0, 0, 0, tagTime, 8, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = appendText(dst, tagStream, stream)
	dst = appendID(dst, tagID, e.ID)
	dst = appendText(dst, tagType, e.Type)
	dst = appendNumber(dst, tagVersion, uint64(e.Version))
	dst = appendNumber(dst, tagContentType, uint64(e.ContentType))
	dst = appendText(dst, tagActor, e.Actor)
	dst = appendText(dst, tagCredential, e.Credential)
	dst = appendText(dst, tagAPIKey, e.APIKey)
	dst = appendText(dst, tagDialect, e.Dialect)
	dst = appendID(dst, tagCommandID, e.CommandID)
	dst = appendText(dst, tagCommand, e.Command)
	dst = appendID(dst, tagCorrelation, e.Correlation)
	dst = appendID(dst, tagCausation, e.Causation)
	dst = appendText(dst, tagSubject, e.Subject)
	dst = appendText(dst, tagKey, e.Key)
	return append(dst, e.Extra...)
}

func appendText(dst []byte, tag byte, text string) []byte {
	if text == "" {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, tag), uint64(len(text)))
	return append(dst, text...)
}

func appendID(dst []byte, tag byte, id domain.ID) []byte {
	if id.IsZero() {
		return dst
	}
	return append(append(dst, tag, byte(len(id))), id[:]...)
}

func appendNumber(dst []byte, tag byte, n uint64) []byte {
	if n == 0 {
		return dst
	}
	at := len(dst) + 1
	dst = binary.AppendUvarint(append(dst, tag, 0), n)
	dst[at] = byte(len(dst) - at - 1)
	return dst
}

// complete fills in what only the committer knows.
func complete(envelope []byte, revision uint64, ticks int64) {
	binary.LittleEndian.PutUint64(envelope[revisionAt:], revision)
	binary.LittleEndian.PutUint64(envelope[timeAt:], uint64(ticks))
}

// ticksOf is a time as it is stored: steps of 100 ns since 1970.
func ticksOf(t time.Time) int64 {
	return t.Unix()*int64(time.Second/tick) + int64(t.Nanosecond())/int64(tick)
}

func timeOf(ticks int64) time.Time {
	perSecond := int64(time.Second / tick)
	return time.Unix(ticks/perSecond, ticks%perSecond*int64(tick)).UTC()
}

// field reads the field that begins at byte at and says where the next one does.
func field(b []byte, at int) (tag uint64, from, to int, ok bool) {
	tag, n := binary.Uvarint(b[at:])
	if n <= 0 {
		return 0, 0, 0, false
	}
	at += n
	size, n := binary.Uvarint(b[at:])
	if n <= 0 || size > uint64(len(b)-at-n) {
		return 0, 0, 0, false
	}
	return tag, at + n, at + n + int(size), true
}

// decodeEnvelope reads an envelope. The texts of the result share one copy of b.
func decodeEnvelope(b []byte) (domain.Envelope, error) {
	var e domain.Envelope
	if !fixedPart(b) {
		return e, errEnvelope
	}
	text := string(b)
	last := uint64(0)
	for at := 0; at < len(b); {
		tag, from, to, ok := field(b, at)
		switch {
		case !ok || tag <= last:
			return e, errEnvelope
		case tag > tagLast:
			e.Extra = b[at:len(b):len(b)]
			return e, checkExtra(e.Extra)
		case !setField(&e, tag, b[from:to], text[from:to]):
			return e, fmt.Errorf("%w: field %d", errEnvelope, tag)
		}
		at, last = to, tag
	}
	return e, nil
}

func fixedPart(b []byte) bool {
	return len(b) >= envelopeMin && b[0] == tagRevision && b[1] == 8 && b[10] == tagTime && b[11] == 8
}

func setField(e *domain.Envelope, tag uint64, value []byte, text string) bool {
	switch tag {
	case tagRevision:
		e.Revision = binary.LittleEndian.Uint64(value)
	case tagTime:
		e.Time = timeOf(int64(binary.LittleEndian.Uint64(value)))
	case tagStream:
		e.Stream = text
	case tagID:
		return setID(&e.ID, value)
	case tagType:
		e.Type = text
	case tagVersion:
		n, ok := number(value)
		e.Version = int(n)
		return ok
	case tagContentType:
		n, ok := number(value)
		e.ContentType = domain.ContentType(n)
		return ok && n <= 255
	case tagActor:
		e.Actor = text
	case tagCredential:
		e.Credential = text
	case tagAPIKey:
		e.APIKey = text
	case tagDialect:
		e.Dialect = text
	case tagCommandID:
		return setID(&e.CommandID, value)
	case tagCommand:
		e.Command = text
	case tagCorrelation:
		return setID(&e.Correlation, value)
	case tagCausation:
		return setID(&e.Causation, value)
	case tagSubject:
		e.Subject = text
	case tagKey:
		e.Key = text
	}
	return true
}

func setID(id *domain.ID, value []byte) bool {
	return copy(id[:], value) == len(value) && len(value) == len(id)
}

func number(value []byte) (uint64, bool) {
	n, size := binary.Uvarint(value)
	return n, size > 0 && size == len(value)
}

// checkExtra refuses unknown fields that could not be read back.
func checkExtra(extra []byte) error {
	last := uint64(tagLast)
	for at := 0; at < len(extra); {
		tag, _, to, ok := field(extra, at)
		if !ok || tag <= last {
			return fmt.Errorf("%w: its unknown fields", errEnvelope)
		}
		at, last = to, tag
	}
	return nil
}

// identity is what the index needs of an envelope.
type identity struct {
	stream   []byte
	id       domain.ID
	revision uint64
	ticks    int64
}

// identify reads the identity without the rest.
func identify(b []byte) (identity, bool) {
	if !fixedPart(b) {
		return identity{}, false
	}
	known := identity{
		revision: binary.LittleEndian.Uint64(b[revisionAt:]),
		ticks:    int64(binary.LittleEndian.Uint64(b[timeAt:])),
	}
	tag, from, to, ok := field(b, envelopeMin)
	if !ok || tag != tagStream {
		return identity{}, false
	}
	known.stream = b[from:to]
	tag, from, to, ok = field(b, to)
	return known, ok && tag == tagID && setID(&known.id, b[from:to])
}
