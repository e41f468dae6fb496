package door

import (
	"encoding/binary"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"strandline/domain"
)

// Keys of the metadata that travels beside an event.
const (
	keyType        = "type"
	keyContentType = "content-type"
	keyCreated     = "created" // steps of 100 ns since 1970
	jsonContent    = "application/json"
	bytesContent   = "application/octet-stream"
)

// idOf reads an id in either of the protocol's two forms; the zero ID if there is none.
func idOf(u *shared.UUID) (id domain.ID, err error) {
	if text, ok := u.GetValue().(*shared.UUID_String_); ok {
		return domain.ParseID(text.String_)
	}
	if s := u.GetStructured(); s != nil {
		binary.BigEndian.PutUint64(id[:], uint64(s.MostSignificantBits))
		binary.BigEndian.PutUint64(id[8:], uint64(s.LeastSignificantBits))
	}
	return id, nil
}

// uuid writes an id, as text if the client asked for that.
func uuid(id domain.ID, text bool) *shared.UUID {
	if text {
		return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
	}
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// recorded writes an event as a caller gets to see it.
func recorded(r domain.Record, s Shown, textIDs bool) *streams.ReadResp_ReadEvent_RecordedEvent {
	content := bytesContent
	if s.JSON {
		content = jsonContent
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               uuid(r.ID, textIDs),
		StreamIdentifier: identifier(r.Stream),
		StreamRevision:   r.Revision,
		CommitPosition:   r.Position.Commit,
		PreparePosition:  r.Position.Prepare,
		Metadata: map[string]string{
			keyType: r.Type, keyContentType: content,
			keyCreated: strconv.FormatInt(r.Time.UnixNano()/100, 10),
		},
		CustomMetadata: s.Metadata,
		Data:           s.Data,
	}
}

// proposed is an event as a client sends it: in an append and in a batch alike.
type proposed interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}
