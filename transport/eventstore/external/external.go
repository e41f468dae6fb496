// Package external is how events of others are kept in a store: what they sent, with the metadata that they sent beside
// it, in one piece (domain.External). Nothing of it is opened, sealed or changed.
package external

import (
	"encoding/binary"
	"fmt"

	"strandline/domain"
)

// The piece: a byte for the format, a byte of flags, the length of the metadata, the metadata, the data.
const (
	format   = 1
	flagJSON = 1 // the data is JSON
)

// Event is what others said in an event.
type Event struct {
	JSON     bool // the data is JSON, else bytes
	Metadata []byte
	Data     []byte
}

// Pack is the data of the record that keeps e.
func (e Event) Pack() []byte {
	b := make([]byte, 0, 2+binary.MaxVarintLen32+len(e.Metadata)+len(e.Data))
	flags := byte(0)
	if e.JSON {
		flags = flagJSON
	}
	b = binary.AppendUvarint(append(b, format, flags), uint64(len(e.Metadata)))
	return append(append(b, e.Metadata...), e.Data...)
}

// Unpack reads what Pack wrote. It fails for records that are not external.
func Unpack(r domain.Record) (Event, error) {
	if r.ContentType != domain.External || len(r.Data) < 3 || r.Data[0] != format {
		return Event{}, fmt.Errorf("%w: the event at %s is not one of others", domain.ErrInvalid, r.Position)
	}
	size, n := binary.Uvarint(r.Data[2:])
	if n <= 0 || size > uint64(len(r.Data)-2-n) {
		return Event{}, fmt.Errorf("%w: the metadata of the event at %s is cut off", domain.ErrInvalid, r.Position)
	}
	rest := r.Data[2+n:]
	return Event{r.Data[1]&flagJSON != 0, rest[:size:size], rest[size:]}, nil
}
