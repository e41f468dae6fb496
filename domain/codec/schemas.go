package codec

import (
	"embed"
	"encoding/json"
	"fmt"
)

// schemas has a JSON Schema for each type and version, earlier versions too.
//
//go:embed schemas
var schemas embed.FS

// Schema is the JSON Schema (draft 2020-12) of a version of a type, also of one that is no longer written. ErrUnknown if
// there is none.
func Schema(typ string, version int) (json.RawMessage, error) {
	schema, err := schemas.ReadFile(fmt.Sprintf("schemas/%s.v%d.json", typ, version))
	if err != nil {
		return nil, fmt.Errorf("%w: %q, version %d", ErrUnknown, typ, version)
	}
	return schema, nil
}
