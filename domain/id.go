package domain

import (
	"encoding/hex"
	"fmt"
)

// ID identifies an event, a command or a request: the 16 bytes of a UUID, version 7 when drawn, version 8 when derived
// from a client's idempotency key (RFC 9562). The zero ID is none.
type ID [16]byte

// IsZero tells whether id is none.
func (id ID) IsZero() bool { return id == ID{} }

// String is the UUID in its usual form, or empty for none.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	text := make([]byte, 36)
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text)
}

// ParseID reads a UUID in its usual form; empty is none. Anything else is ErrInvalid.
func ParseID(s string) (ID, error) {
	var id ID
	if s == "" {
		return id, nil
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("%w: %q is not a UUID", ErrInvalid, s)
	}
	if _, err := hex.Decode(id[:], []byte(s[0:8]+s[9:13]+s[14:18]+s[19:23]+s[24:36])); err != nil {
		return ID{}, fmt.Errorf("%w: %q is not a UUID", ErrInvalid, s)
	}
	return id, nil
}

// MarshalText is String as bytes.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}
