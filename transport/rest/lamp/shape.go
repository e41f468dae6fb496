package lamp

import (
	"fmt"

	"strandline/domain"
	"strandline/domain/rawjson"
	"strandline/domain/registry"
)

// shape is what one kind of object looks like on the wire, besides its id.
type shape struct {
	kind   registry.Kind
	fields []field
}

// field is one attribute of an object.
type field struct {
	name     string
	fits     func(raw []byte) bool // null is looked at by itself
	fallback string                // shown where the attribute is not there; empty: the field is left out
	nullable bool                  // null is a value; else it is as if the field were not there
	fixed    bool                  // never changes after creation
	heavy    bool                  // left out of lists: always, or with ignore_binary
	always   bool                  // of heavy: left out of lists in any case
}

// The shapes, contract sections 5.1 to 5.6. Fields that are not named are accepted and dropped.
var (
	researchers = &shape{registry.Researcher, []field{
		{name: "name", fits: isString, fallback: `""`},
	}}
	studies = &shape{registry.Study, []field{
		{name: "name", fits: isString, fallback: `""`},
		{name: "isMessagingEnabled", fits: isBool},
	}}
	participants = &shape{registry.Participant, nil}
	activities   = &shape{registry.Activity, []field{
		{name: "spec", fits: isString, fallback: `"__broken_link__"`, fixed: true},
		{name: "name", fits: isString, fallback: `""`},
		{name: "settings", fits: isAnything, fallback: `{}`, nullable: true, heavy: true},
		{name: "schedule", fits: isSchedule, fallback: `[]`},
		{name: "category", fits: isArray, fallback: `null`, nullable: true},
	}}
	sensors = &shape{registry.Sensor, []field{
		{name: "spec", fits: isString, fallback: `"__broken_link__"`},
		{name: "name", fits: isString, fallback: `""`},
		{name: "settings", fits: isAnything, fallback: `{}`, nullable: true, heavy: true},
	}}
	activitySpecs = &shape{registry.ActivitySpec, []field{
		{name: "description", fits: isString, fallback: `null`, nullable: true},
		{name: "executable", fits: isString, fallback: `null`, nullable: true, heavy: true, always: true},
		{name: "static_data", fits: isComposite, fallback: `{}`},
		{name: "temporal_slices", fits: isComposite, fallback: `{}`},
		{name: "settings", fits: isComposite, fallback: `{}`},
		{name: "category", fits: isArray, fallback: `null`, nullable: true},
	}}
	sensorSpecs = &shape{registry.SensorSpec, []field{
		{name: "settings_schema", fits: isComposite, fallback: `{}`},
	}}
)

func isString(raw []byte) bool    { return raw[0] == '"' }
func isBool(raw []byte) bool      { return raw[0] == 't' || raw[0] == 'f' }
func isArray(raw []byte) bool     { return raw[0] == '[' }
func isComposite(raw []byte) bool { return raw[0] == '{' || raw[0] == '[' }
func isAnything([]byte) bool      { return true }
func isNull(raw []byte) bool      { return raw[0] == 'n' }

// isSchedule tells whether raw is an array of objects.
func isSchedule(raw []byte) bool {
	if !isArray(raw) {
		return false
	}
	for entry := range rawjson.Elements(raw) {
		if entry[0] != '{' {
			return false
		}
	}
	return true
}

// attributes reads the fields of a compacted body. Changing tells whether the object exists already: then fields that
// never change are ignored, and null puts a field that cannot be null back to its default.
func (s *shape) attributes(body []byte, changing bool) (registry.Attributes, error) {
	if body[0] != '{' {
		return nil, fmt.Errorf("%w: a %s is a JSON object", domain.ErrInvalid, s.kind)
	}
	attributes := registry.Attributes{}
	for name, raw := range rawjson.Members(body) {
		f := s.field(name)
		switch {
		case f == nil || changing && f.fixed:
		case isNull(raw) && f.nullable, !isNull(raw) && f.fits(raw):
			attributes[name] = raw
		case !isNull(raw):
			return nil, fmt.Errorf("%w: %s of a %s has the wrong type", domain.ErrInvalid, name, s.kind)
		case changing && f.fallback != "":
			attributes[name] = []byte(f.fallback)
		}
	}
	return attributes, nil
}

func (s *shape) field(name string) *field {
	for i := range s.fields {
		if s.fields[i].name == name {
			return &s.fields[i]
		}
	}
	return nil
}

// detail is how much of an object is shown.
type detail int

const (
	whole  detail = iota
	listed        // in a list
	light         // in a list that leaves binaries out
)

// append appends the object with an id to dst; body has its attributes by name.
func (s *shape) append(dst []byte, id string, body []byte, d detail) []byte {
	dst = append(dst, `{"id":`...)
	dst = rawjson.AppendString(dst, id)
	dst = s.appendFields(dst, body, d)
	return append(dst, '}')
}

// appendFields appends the fields, each after a comma.
func (s *shape) appendFields(dst, body []byte, d detail) []byte {
	values := make([][]byte, len(s.fields))
	for name, raw := range rawjson.Members(body) {
		for i := range s.fields {
			if s.fields[i].name == name {
				values[i] = raw
			}
		}
	}
	for i := range s.fields {
		dst = s.fields[i].append(dst, values[i], d)
	}
	return dst
}

func (f *field) append(dst, value []byte, d detail) []byte {
	if f.heavy && (d == light || d == listed && f.always) {
		return dst
	}
	if value == nil {
		if f.fallback == "" {
			return dst
		}
		value = []byte(f.fallback)
	}
	dst = append(dst, ',', '"')
	dst = append(dst, f.name...)
	dst = append(dst, '"', ':')
	return append(dst, value...)
}
