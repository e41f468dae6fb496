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

// Marshal writes an event in the current schema of its type. What clients sent is taken to be compacted JSON.
func Marshal(e domain.Event) (typ string, version int, data []byte, err error) {
	t, err := appendEvent(&data, e)
	if err != nil {
		return "", 0, nil, err
	}
	return t.Name, t.Version, data, nil
}

// appendEvent writes e to data, in place of what is there, and returns its type.
func appendEvent(data *[]byte, e domain.Event) (*Type, error) {
	t, known := types[e.EventType()]
	if !known {
		return nil, fmt.Errorf("%w: there is no event type %q", domain.ErrInvalid, e.EventType())
	}
	written, err := t.encode((*data)[:0], e)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t.Name, err)
	}
	*data = written
	return t, nil
}

// typeOf finds the type that can read a version of it. One of the future is ErrUnknown.
func typeOf(name string, version int) (*Type, error) {
	t, known := types[name]
	if !known || version > t.Version {
		return nil, fmt.Errorf("%w: %q, version %d", ErrUnknown, name, version)
	}
	if version < 1 {
		return nil, fmt.Errorf("%s has no version %d", name, version)
	}
	return t, nil
}

// Unmarshal reads what Marshal wrote, now or in an earlier version. The event keeps slices of data where it can: data
// must not be changed afterwards. A type or version of the future is ErrUnknown; any other error means that data is not
// what any version ever wrote.
func Unmarshal(typ string, version int, data []byte) (domain.Event, error) {
	t, err := typeOf(typ, version)
	if err != nil {
		return nil, err
	}
	for v := version; v < t.Version; v++ {
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
