package door

import (
	"encoding/binary"
	"fmt"

	"strandline/domain"
)

// What others append is stored in one piece (domain.External): a byte for the format, a byte of flags, the length of the
// metadata, the metadata, the data.
const (
	externalFormat = 1
	externalJSON   = 1 // flag: the data is JSON
)

// external is what others said in an event.
type external struct {
	json           bool
	metadata, data []byte
}

func (e external) pack() []byte {
	b := make([]byte, 0, 2+binary.MaxVarintLen32+len(e.metadata)+len(e.data))
	flags := byte(0)
	if e.json {
		flags = externalJSON
	}
	b = binary.AppendUvarint(append(b, externalFormat, flags), uint64(len(e.metadata)))
	return append(append(b, e.metadata...), e.data...)
}

// unpack reads what pack wrote.
func unpack(r domain.Record) (external, error) {
	if len(r.Data) < 3 || r.Data[0] != externalFormat {
		return external{}, fmt.Errorf("external event at %s: format %d is unknown", r.Position, first(r.Data))
	}
	size, n := binary.Uvarint(r.Data[2:])
	if n <= 0 || size > uint64(len(r.Data)-2-n) {
		return external{}, fmt.Errorf("external event at %s: its metadata is cut off", r.Position)
	}
	rest := r.Data[2+n:]
	return external{r.Data[1]&externalJSON != 0, rest[:size:size], rest[size:]}, nil
}

func first(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	return int(b[0])
}

// ShowExternal is an external event as it was sent.
func ShowExternal(r domain.Record) (Shown, error) {
	e, err := unpack(r)
	return Shown{JSON: e.json, Data: e.data, Metadata: e.metadata}, err
}
