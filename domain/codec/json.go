package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"strandline/domain"
)

// ErrUnknown says that a type or version is newer than this program. What it names is kept and skipped.
var ErrUnknown = errors.New("unknown type of event")

// Marshal writes an event in the current schema of its type.
func Marshal(e domain.Event) (typ string, version int, data []byte, err error) {
	typ = e.EventType()
	t, known := types[typ]
	if !known {
		return "", 0, nil, fmt.Errorf("%w: there is no event type %q", domain.ErrInvalid, typ)
	}
	data, err = t.encode(nil, e)
	if err != nil {
		return "", 0, nil, fmt.Errorf("encode %s: %w", typ, err)
	}
	return typ, t.Version, data, nil
}

// Unmarshal reads what Marshal wrote, now or in an earlier version. The event keeps slices of data where it can: data
// must not be changed afterwards. A type or version of the future is ErrUnknown; any other error means that data is not
// what any version ever wrote.
func Unmarshal(typ string, version int, data []byte) (domain.Event, error) {
	t, known := types[typ]
	if !known || version > t.Version {
		return nil, fmt.Errorf("%w: %q, version %d", ErrUnknown, typ, version)
	}
	if version < 1 {
		return nil, fmt.Errorf("decode %s: there is no version %d", typ, version)
	}
	for v := version; v < t.Version; v++ {
		var err error
		if data, err = t.upcasters[v-1](data); err != nil {
			return nil, fmt.Errorf("rewrite %s from version %d: %w", typ, v, err)
		}
	}
	e, err := t.decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", typ, err)
	}
	if e.EventType() != typ {
		return nil, fmt.Errorf("decode %s: the data is of a %s", typ, e.EventType())
	}
	return e, nil
}

// encodeJSON appends e to dst as encoding/json writes it, but leaves what clients sent as it is: no HTML escapes.
func encodeJSON(dst []byte, e domain.Event) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func decodeJSON[E domain.Event](data []byte) (domain.Event, error) {
	var e E
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	return e, nil
}
