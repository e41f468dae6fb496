package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"strandline/domain"
)

// schema is a JSON Schema (draft 2020-12, which is that of OpenAPI 3.1), no more of it than the document uses.
type schema struct {
	Ref         string     `json:"$ref,omitempty"`
	Type        string     `json:"type,omitempty"`
	Format      string     `json:"format,omitempty"`
	Description string     `json:"description,omitempty"`
	Enum        []string   `json:"enum,omitempty"`
	Minimum     *int       `json:"minimum,omitempty"`
	Maximum     *int       `json:"maximum,omitempty"`
	Default     any        `json:"default,omitempty"`
	Items       *schema    `json:"items,omitempty"`
	Members     properties `json:"properties,omitempty"`
	Required    []string   `json:"required,omitempty"`
	Others      *schema    `json:"additionalProperties,omitempty"`
	AnyOf       []*schema  `json:"anyOf,omitempty"`
}

// property is a member of an object.
type property struct {
	Name   string
	Schema *schema
}

// properties are an object's members, in the order in which they are answered.
type properties []property

// MarshalJSON keeps the order.
func (p properties) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	for i, member := range p {
		value, err := json.Marshal(member.Schema)
		if err != nil {
			return nil, err
		}
		text.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&text, "%q:%s", member.Name, value)
	}
	return append(text.Bytes(), '}'), nil
}

// schemaPath is where the document has the schemas of named types.
const schemaPath = "#/components/schemas/"

// schemas collects the schemas of named types, which are referred to.
type schemas map[string]*schema

// either is a value of the type of one of these.
type either []any

// of is the schema of a value's type, as encoding/json writes it. A member may say more in its tags: about (a sentence)
// and enum (words with commas between them).
func (all schemas) of(v any) *schema {
	switch v := v.(type) {
	case nil:
		return &schema{}
	case either:
		any := &schema{}
		for _, one := range v {
			any.AnyOf = append(any.AnyOf, all.of(one))
		}
		return any
	}
	return all.ofType(reflect.TypeOf(v))
}

// known are the types that have a form of their own.
var formats = map[reflect.Type]schema{
	reflect.TypeFor[time.Time]():       {Type: "string", Format: "date-time", Description: "RFC 3339, UTC"},
	reflect.TypeFor[domain.ID]():       {Type: "string", Format: "uuid"},
	reflect.TypeFor[domain.Position](): {Type: "string", Description: "a place in the log, to be given back as it is"},
	reflect.TypeFor[json.RawMessage](): {},
}

func (all schemas) ofType(t reflect.Type) *schema {
	if s, ok := formats[t]; ok {
		return &s
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return &schema{Type: "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return all.ofType(t.Elem())
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &schema{Type: "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &schema{Type: "integer", Minimum: new(int)}
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Slice, reflect.Array:
		return &schema{Type: "array", Items: all.ofType(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", Others: all.ofType(t.Elem())}
	case reflect.Struct:
		return all.ofStruct(t)
	}
	return &schema{} // any value
}

// ofStruct refers to the schema of a type that has a name, and spells that of others out.
func (all schemas) ofStruct(t reflect.Type) *schema {
	if t.Name() == "" {
		return all.object(t)
	}
	name := exported(t.Name())
	if all[name] == nil {
		all[name] = &schema{} // ends the recursion of a type that holds itself
		*all[name] = *all.object(t)
	}
	return &schema{Ref: schemaPath + name}
}

func exported(name string) string {
	return string(unicode.ToUpper(rune(name[0]))) + name[1:]
}

func (all schemas) object(t reflect.Type) *schema {
	o := &schema{Type: "object"}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			inner := all.object(f.Type)
			o.Members, o.Required = append(o.Members, inner.Members...), append(o.Required, inner.Required...)
			continue
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		o.Members = append(o.Members, property{name, all.member(f)})
		if !strings.Contains(options, "omit") {
			o.Required = append(o.Required, name)
		}
	}
	return o
}

func (all schemas) member(f reflect.StructField) *schema {
	s := all.ofType(f.Type)
	if f.Type.Kind() == reflect.Pointer && !strings.Contains(f.Tag.Get("json"), "omit") {
		s = &schema{AnyOf: []*schema{s, {Type: "null"}}}
	}
	if about := f.Tag.Get("about"); about != "" {
		s.Description = about
	}
	if words := f.Tag.Get("enum"); words != "" {
		s.Enum = strings.Split(words, ",")
	}
	return s
}

// schema is that of a parameter's values.
func (p parameter) schema() *schema {
	one := 1
	switch p.kind {
	case "string":
		return &schema{Type: "string"}
	case "list", "texts":
		return &schema{Type: "array", Items: &schema{Type: "string"}}
	case "integer":
		return &schema{Type: "integer", Minimum: &one}
	case "revision":
		return &schema{Type: "integer", Minimum: new(int)}
	case "boolean":
		return &schema{Type: "boolean", Default: false}
	case "position":
		return &schema{Type: "string"}
	case "time":
		return &schema{AnyOf: []*schema{{Type: "string", Format: "date-time"}, {Type: "string", Format: "date"}, {Type: "integer"}}}
	case "uuid":
		return &schema{Type: "string", Format: "uuid"}
	}
	return &schema{Type: "string", Enum: strings.Split(p.kind, "|")}
}

// names of the schemas, sorted.
func (all schemas) names() []string {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
