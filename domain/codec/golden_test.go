package codec_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/codec"
	"strandline/domain/registry"
)

var update = flag.Bool("update", false, "write the golden files of types that have none")

// golden is the name of the file that holds a sample as it is stored.
func golden(typ string, version int) string {
	return filepath.Join("testdata", fmt.Sprintf("%s.v%d.json", typ, version))
}

// TestGoldenFiles holds every type, in every version that was ever stored, to its golden file.
func TestGoldenFiles(t *testing.T) {
	for _, typ := range codec.Types() {
		name, version, data, err := codec.Marshal(typ.Sample)
		if err != nil || name != typ.Name || version != typ.Version {
			t.Fatalf("Marshal(sample of %s, version %d) = %s, %d, %v", typ.Name, typ.Version, name, version, err)
		}
		file := golden(name, version)
		if _, err := os.Stat(file); *update && err != nil {
			if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for v := 1; v <= version; v++ {
			stored := read(t, golden(name, v))
			got, err := codec.Unmarshal(name, v, stored)
			if err != nil || !reflect.DeepEqual(got, typ.Sample) {
				t.Errorf("%s, version %d, is read as %+v, %v; want %+v", name, v, got, err, typ.Sample)
			}
			if v == version && !bytes.Equal(data, stored) {
				t.Errorf("%s is written as %s; want %s", name, data, stored)
			}
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(data, []byte("\n"))
}

// TestNoFileIsLeftOver finds golden files and schemas that no type refers to.
func TestNoFileIsLeftOver(t *testing.T) {
	known := map[string]bool{}
	for _, typ := range codec.Types() {
		for v := 1; v <= typ.Version; v++ {
			known[fmt.Sprintf("%s.v%d.json", typ.Name, v)] = true
		}
	}
	for _, folder := range []string{"testdata", "schemas"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil || len(files) != len(known) {
			t.Errorf("%s has %d files, %v; want %d", folder, len(files), err, len(known))
		}
		for _, file := range files {
			if !known[filepath.Base(file)] {
				t.Errorf("%s belongs to no type", file)
			}
		}
	}
}

// TestSchemas: a schema takes its golden file, knows every member of it and no other, and refuses it with a member less
// than required, a member more, or a member of another type.
func TestSchemas(t *testing.T) {
	for _, typ := range codec.Types() {
		for v := 1; v <= typ.Version; v++ {
			name := fmt.Sprintf("%s version %d", typ.Name, v)
			raw, err := codec.Schema(typ.Name, v)
			if err != nil {
				t.Fatal(err)
			}
			if v == typ.Version && !bytes.Equal(raw, typ.Schema) {
				t.Errorf("%s: Types gives another schema", name)
			}
			schema, sample := parse(t, raw).(map[string]any), parse(t, read(t, golden(typ.Name, v))).(map[string]any)
			if schema["$schema"] != "https://json-schema.org/draft/2020-12/schema" || schema["$id"] != fmt.Sprintf("urn:strandline:event:%s:%d", typ.Name, v) {
				t.Errorf("%s: the schema calls itself %v, in %v", name, schema["$id"], schema["$schema"])
			}
			if err := validate(schema, sample, name); err != nil {
				t.Error(err)
			}
			allShown(t, schema, sample, name)
			refusesMutants(t, schema, sample, name)
		}
	}
}

// allShown holds the sample to have every member that the schema describes.
func allShown(t *testing.T, schema, sample map[string]any, path string) {
	t.Helper()
	members, _ := schema["properties"].(map[string]any)
	for name, member := range members {
		value, shown := sample[name]
		if !shown {
			t.Errorf("%s: the sample has no %s", path, name)
		}
		if inner, ok := value.(map[string]any); ok {
			allShown(t, member.(map[string]any), inner, path+"."+name)
		}
		if member.(map[string]any)["description"] == nil {
			t.Errorf("%s: %s has no description", path, name)
		}
	}
}

func refusesMutants(t *testing.T, schema, sample map[string]any, name string) {
	t.Helper()
	mutate := func(what string, change func(map[string]any)) {
		mutant := make(map[string]any)
		for k, v := range sample {
			mutant[k] = v
		}
		change(mutant)
		if validate(schema, mutant, name) == nil {
			t.Errorf("%s is taken %s", name, what)
		}
	}
	mutate("with a member more", func(m map[string]any) { m["unheard of"] = 1.0 })
	for _, required := range schema["required"].([]any) {
		mutate("without "+required.(string), func(m map[string]any) { delete(m, required.(string)) })
	}
	for member := range sample {
		if member == "value" { // of an attachment: anything
			continue
		}
		mutate("with another "+member, func(m map[string]any) { m[member] = -0.5 })
	}
}

func parse(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}

// validate is as much of JSON Schema as our schemas use; any other keyword is an error.
func validate(schema map[string]any, v any, path string) error {
	for keyword, arg := range schema {
		ok := true
		switch keyword {
		case "$schema", "$id", "$comment", "title", "description", "required":
		case "type":
			ok = hasType(arg, v)
		case "const":
			ok = v == arg
		case "enum":
			ok = oneOf(arg.([]any), v)
		case "pattern":
			s, is := v.(string)
			ok = !is || regexp.MustCompile(arg.(string)).MatchString(s)
		case "minLength":
			s, is := v.(string)
			ok = !is || len([]rune(s)) >= int(arg.(float64))
		case "maxLength":
			s, is := v.(string)
			ok = !is || len([]rune(s)) <= int(arg.(float64))
		case "minimum":
			n, is := v.(float64)
			ok = !is || n >= arg.(float64)
		case "maximum":
			n, is := v.(float64)
			ok = !is || n <= arg.(float64)
		case "minItems":
			list, is := v.([]any)
			ok = !is || len(list) >= int(arg.(float64))
		case "items":
			list, _ := v.([]any)
			for i, item := range list {
				if err := validate(arg.(map[string]any), item, path+"["+strconv.Itoa(i)+"]"); err != nil {
					return err
				}
			}
		case "properties", "additionalProperties":
			if err := validateMembers(schema, v, path); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: the schema uses %s, which this test does not know", path, keyword)
		}
		if !ok {
			return fmt.Errorf("%s = %v: not allowed by %s = %v", path, v, keyword, arg)
		}
	}
	return nil
}

func validateMembers(schema map[string]any, v any, path string) error {
	members, is := v.(map[string]any)
	if !is {
		return nil
	}
	known, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, there := members[name.(string)]; !there {
			return fmt.Errorf("%s: %s is missing", path, name)
		}
	}
	for name, value := range members {
		member, ok := known[name].(map[string]any)
		if !ok && schema["additionalProperties"] == false {
			return fmt.Errorf("%s: %s is not allowed", path, name)
		}
		if err := validate(member, value, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func hasType(arg, v any) bool {
	if all, ok := arg.([]any); ok {
		for _, one := range all {
			if hasType(one, v) {
				return true
			}
		}
		return false
	}
	switch v := v.(type) {
	case nil:
		return arg == "null"
	case bool:
		return arg == "boolean"
	case string:
		return arg == "string"
	case float64:
		return arg == "number" || arg == "integer" && v == float64(int64(v))
	case []any:
		return arg == "array"
	case map[string]any:
		return arg == "object"
	}
	return false
}

func oneOf(all []any, v any) bool {
	for _, one := range all {
		if one == v {
			return true
		}
	}
	return false
}

// TestSamplesAreDecided: what the samples of the registry say could have been decided, attributes and all.
func TestSamplesAreDecided(t *testing.T) {
	parents := map[registry.Kind]registry.Kind{
		registry.Study: registry.Researcher, registry.Participant: registry.Study, registry.Activity: registry.Study, registry.Sensor: registry.Study,
	}
	for _, typ := range codec.Types() {
		e, ok := typ.Sample.(registry.Added)
		if !ok {
			continue
		}
		c := registry.Add{Key: e.ID, Kind: e.Kind, ID: e.ID, Parent: e.Parent, ParentKind: parents[e.Kind], Attributes: e.Attributes, Plan: e.Plan}
		got, err := registry.Decide(registry.State{}, c)
		if err != nil || !reflect.DeepEqual(got, []domain.Event{e}) {
			t.Errorf("Decide(%+v) = %+v, %v; want %+v", c, got, err, e)
		}
	}
}

// spy takes down what it is asked to seal.
type spy struct {
	means
	plain, ad []byte
}

func (s *spy) Seal(dst []byte, key string, plain, ad []byte) ([]byte, error) {
	s.plain, s.ad = bytes.Clone(plain), bytes.Clone(ad)
	return append(dst, plain...), nil
}

// TestPlaintext holds what is sealed, and what it is bound to, to the layout that the package describes.
func TestPlaintext(t *testing.T) {
	s := &spy{}
	c := codec.New(s, s, s, s)
	env := domain.Envelope{ID: domain.ID{0: 1, 15: 2}, Stream: "s-1", Key: "k"}
	sample := sampleOf(t, "plan.done")
	if _, err := c.Encode(env, &domain.Request{Method: "PUT", Status: 200}, sample); err != nil {
		t.Fatal(err)
	}
	_, _, data, err := codec.Marshal(sample)
	if err != nil {
		t.Fatal(err)
	}
	request := `{"method":"PUT","status":200}`
	if want := "\x01" + string(rune(len(request))) + request + string(data); string(s.plain) != want {
		t.Errorf("the plaintext is %q; want %q", s.plain, want)
	}
	if got, want := hex.EncodeToString(s.ad), "03732d31"+"09"+hex.EncodeToString([]byte("plan.done"))+"10"+"01"+strings.Repeat("00", 14)+"02"+"0101"; got != want {
		t.Errorf("the associated data is %s; want %s", got, want)
	}
	if _, err := c.Encode(env, nil, sample); err != nil || string(s.plain) != "\x01\x00"+string(data) {
		t.Errorf("without a request the plaintext is %q, %v; want %q", s.plain, err, "\x01\x00"+string(data))
	}
}

func sampleOf(t *testing.T, typ string) domain.Event {
	t.Helper()
	for _, known := range codec.Types() {
		if known.Name == typ {
			return known.Sample
		}
	}
	t.Fatalf("there is no type %s", typ)
	return nil
}
