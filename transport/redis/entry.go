package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"

	"strandline/domain"
)

// Stream is the name of the stream in Redis.
const Stream = "strandline:events"

// largestEntry bounds the payload of an entry, bytes. Larger batches go without.
const largestEntry = 1 << 20

// Keys of an entry's metadata.
const (
	keyFirst      = "first"
	keyLast       = "last"
	keyPrev       = "prev"
	keyCount      = "count"
	keyTypes      = "types"
	keyGeneration = "generation" // of the store: another one begins its positions anew
)

var wire redisstream.DefaultMarshallerUnmarshaller

// entry is a batch of records on its way through Redis.
type entry struct {
	prev, last domain.Position
	records    []domain.Record // nil if they are to be read from the store
	generation string
}

// id is how the entry is called in Redis.
func id(p domain.Position) string {
	return strconv.FormatUint(p.Commit, 10) + "-" + strconv.FormatUint(p.Prepare, 10)
}

// position reads an id of Redis.
func position(id string) (p domain.Position, err error) {
	commit, prepare, ok := strings.Cut(id, "-")
	if !ok {
		return p, fmt.Errorf("%w: %q is no id of an entry", domain.ErrInvalid, id)
	}
	p.Commit, err = strconv.ParseUint(commit, 10, 64)
	if err == nil {
		p.Prepare, err = strconv.ParseUint(prepare, 10, 64)
	}
	return p, err
}

// values is the entry as Redis keeps it.
func (e entry) values() (map[string]any, error) {
	var payload []byte
	for _, r := range e.records {
		if payload = appendRecord(payload, r); len(payload) > largestEntry {
			payload = nil
			break
		}
	}
	m := message.NewMessage(e.records[0].ID.String(), payload)
	m.Metadata = message.Metadata{
		keyFirst: e.records[0].Position.String(), keyLast: e.last.String(), keyPrev: e.prev.String(),
		keyCount: strconv.Itoa(len(e.records)), keyTypes: types(e.records), keyGeneration: e.generation,
	}
	return wire.Marshal(Stream, m)
}

func types(records []domain.Record) string {
	var names []string
	for _, r := range records {
		if !slices.Contains(names, r.Type) {
			names = append(names, r.Type)
		}
	}
	return strings.Join(names, ",")
}

// read reads an entry. What is not one of a relay's, or damaged, is an error: it says nothing about the log, so whoever
// meets it goes on with the next.
func read(values map[string]any) (e entry, err error) {
	m, err := unmarshalled(values)
	if err != nil {
		return e, err
	}
	return readMessage(m)
}

// readMessage reads an entry that has been unmarshalled.
func readMessage(m *message.Message) (e entry, err error) {
	if e.prev, err = domain.ParsePosition(m.Metadata.Get(keyPrev)); err != nil {
		return e, err
	}
	if e.last, err = domain.ParsePosition(m.Metadata.Get(keyLast)); err != nil {
		return e, err
	}
	e.generation = m.Metadata.Get(keyGeneration)
	if len(m.Payload) == 0 {
		return e, nil
	}
	if e.records, err = readRecords(m.Payload); err != nil {
		return e, err
	}
	if len(e.records) == 0 || e.records[len(e.records)-1].Position != e.last || !e.prev.Before(e.records[0].Position) {
		return e, fmt.Errorf("%w: the entry does not hold what it says", errEntry)
	}
	return e, nil
}

// Records are the records that a message of Stream brings, still sealed. What was too large to come along is read from the
// store.
func Records(ctx context.Context, store Store, m *message.Message) ([]domain.Record, error) {
	e, err := readMessage(m)
	if err != nil || e.records != nil {
		return e.records, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all []domain.Record
	for batch, err := range store.Follow(ctx, e.prev) {
		if err != nil {
			return nil, err
		}
		for _, r := range batch {
			if e.last.Before(r.Position) {
				return all, nil
			}
			all = append(all, r)
		}
		if len(all) > 0 && all[len(all)-1].Position == e.last {
			return all, nil
		}
	}
	return nil, ctx.Err()
}

var errEntry = errors.New("not an entry of a relay")

// unmarshalled reads a message. The library panics at values that are not texts.
func unmarshalled(values map[string]any) (m *message.Message, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", errEntry, v)
		}
	}()
	return wire.Unmarshal(values)
}

// appendRecord writes a record: numbers as uvarints, texts and bytes with their lengths before them.
func appendRecord(b []byte, r domain.Record) []byte {
	for _, n := range []uint64{r.Position.Commit, r.Position.Prepare, r.Revision, uint64(r.Time.UnixNano()), uint64(r.Version), uint64(r.ContentType)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, id := range [][16]byte{r.ID, r.CommandID, r.Correlation, r.Causation} {
		b = append(b, id[:]...)
	}
	for _, text := range []string{r.Type, r.Stream, r.Actor, r.Credential, r.APIKey, r.Dialect, r.Command, r.Subject, r.Key} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = append(binary.AppendUvarint(b, uint64(len(r.Extra))), r.Extra...)
	return append(binary.AppendUvarint(b, uint64(len(r.Data))), r.Data...)
}

// readRecords reads what appendRecord wrote.
func readRecords(b []byte) (all []domain.Record, err error) {
	from := reader{rest: b, text: string(b)}
	for len(from.rest) > 0 && !from.short {
		var r domain.Record
		r.Position.Commit, r.Position.Prepare = from.number(), from.number()
		r.Revision, r.Time = from.number(), time.Unix(0, int64(from.number())).UTC()
		r.Version, r.ContentType = int(from.number()), domain.ContentType(from.number())
		for _, id := range []*domain.ID{&r.ID, &r.CommandID, &r.Correlation, &r.Causation} {
			copy(id[:], from.take(16))
		}
		for _, text := range []*string{&r.Type, &r.Stream, &r.Actor, &r.Credential, &r.APIKey, &r.Dialect, &r.Command, &r.Subject, &r.Key} {
			*text = from.string()
		}
		if extra := from.bytes(); len(extra) > 0 {
			r.Extra = extra
		}
		r.Data = from.bytes()
		all = append(all, r)
	}
	if from.short {
		return nil, fmt.Errorf("%w: the entry is cut off", errEntry)
	}
	return all, nil
}

// reader takes an entry's payload apart. The texts of all records share one copy.
type reader struct {
	rest  []byte
	text  string
	short bool // there was less than there should be
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.short = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) bytes() []byte { return r.take(r.number()) }

func (r *reader) string() string {
	n := r.number()
	at := len(r.text) - len(r.rest)
	if r.take(n) == nil {
		return ""
	}
	return r.text[at : at+int(n)]
}
