package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/domain"
	"strandline/transport/rest/api"
)

// TestMain holds every answer that any test of this package gets against the OpenAPI document: its status, media type
// and schema. Where all tests ran, every route must have been answered with success at least once.
func TestMain(m *testing.M) {
	contract := newContract()
	http.DefaultTransport = contract
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" {
		contract.missing()
	}
	for _, breach := range contract.breaches {
		fmt.Fprintln(os.Stderr, "FAIL:", breach)
		code = 1
	}
	os.Exit(code)
}

// contract is what the document promises, and a transport that sees whether it is kept.
type contract struct {
	http.RoundTripper
	document map[string]any

	mu       sync.Mutex
	kept     map[string]bool // operations that have been answered with success
	breaches []string
}

func newContract() *contract {
	c := &contract{RoundTripper: http.DefaultTransport, kept: map[string]bool{}}
	if err := json.Unmarshal(api.Documented(), &c.document); err != nil {
		panic(err)
	}
	return c
}

// at goes into the document.
func (c *contract) at(path ...string) any {
	var v any = c.document
	for _, name := range path {
		members, _ := v.(map[string]any)
		v = members[name]
		if ref, ok := member(v, "$ref").(string); ok {
			v = c.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return v
}

func member(v any, name string) any {
	members, _ := v.(map[string]any)
	return members[name]
}

func (c *contract) breach(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breaches = append(c.breaches, fmt.Sprintf(format, args...))
}

func (c *contract) missing() {
	for _, r := range api.Routes() {
		if !c.kept[strings.ToLower(r[0])+" "+r[1]] {
			c.breach("no test asks %s %s with success, so nobody knows whether the document describes its answer", r[0], r[1])
		}
	}
}

// RoundTrip implements http.RoundTripper.
func (c *contract) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.RoundTripper.RoundTrip(r)
	if err != nil || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return answer, err
	}
	asked := fmt.Sprintf("%s %.100s: %d", r.Method, r.URL.RequestURI(), answer.StatusCode)
	media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil && answer.StatusCode != http.StatusNoContent && answer.StatusCode != http.StatusNotModified {
		c.breach("%s: %v", asked, err)
	}
	promised := sync.OnceValue(func() any { return c.promised(r, answer.StatusCode, media, asked) })
	check := func(b []byte) {
		if err := c.valid(promised(), b); err != nil {
			c.breach("%s: %v in %.300s", asked, err, b)
		}
	}
	answer.Body = &checked{ReadCloser: answer.Body, lines: media == "application/x-ndjson", check: check}
	return answer, nil
}

// promised is the schema of an answer, nil if it has none.
func (c *contract) promised(r *http.Request, status int, media, asked string) any {
	path, operation := c.operation(r)
	code := strconv.Itoa(status)
	response := c.at("paths", path, strings.ToLower(r.Method), "responses", code)
	if operation == nil || response == nil && status == http.StatusNotFound {
		response = c.at("components", "responses", "Problem"+code) // which route it was is not known
	}
	if response == nil {
		c.breach("%s: the status is not documented", asked)
		return nil
	}
	if status < 300 {
		c.mu.Lock()
		c.kept[strings.ToLower(r.Method)+" "+path] = true
		c.mu.Unlock()
	}
	shown, ok := member(member(response, "content"), media).(map[string]any)
	if !ok && member(response, "content") != nil {
		c.breach("%s: the media type %s is not documented", asked, media)
	}
	if media == "text/html" {
		return nil
	}
	return shown["schema"]
}

// operation finds the path of the document that a request's is.
func (c *contract) operation(r *http.Request) (string, any) {
	asked := strings.Split(r.URL.EscapedPath(), "/")
	paths, _ := c.document["paths"].(map[string]any)
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(paths))) { // letters before braces
		words := strings.Split(path, "/")
		same := len(words) == len(asked)
		for i := 0; same && i < len(words); i++ {
			same = words[i] == asked[i] || strings.HasPrefix(words[i], "{") && asked[i] != ""
		}
		if operation := c.at("paths", path, strings.ToLower(r.Method)); same && operation != nil {
			return path, operation
		}
	}
	return "", nil
}

// checked is a body that is checked while it is read: as a whole, or line by line.
type checked struct {
	io.ReadCloser
	lines bool
	read  bytes.Buffer
	check func([]byte)
}

func (b *checked) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	for b.lines {
		line, _, whole := bytes.Cut(b.read.Bytes(), []byte("\n"))
		if !whole {
			break
		}
		if len(line) > 0 { // a heartbeat
			b.check(bytes.Clone(line))
		}
		b.read.Next(len(line) + 1)
	}
	if errors.Is(err, io.EOF) && !b.lines {
		b.check(b.read.Bytes())
	}
	return n, err
}

// valid checks a text against a schema.
func (c *contract) valid(schema any, text []byte) error {
	if schema == nil {
		return nil // nothing, or no JSON
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	return c.check(schema, v, "$")
}

// check checks a value. Members that are not documented are errors, though a schema allows them: here nobody is to add
// one without saying so.
func (c *contract) check(schema, v any, at string) error {
	if ref, ok := member(schema, "$ref").(string); ok {
		return c.check(c.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), v, at)
	}
	if any, ok := member(schema, "anyOf").([]any); ok {
		return c.checkAny(any, v, at)
	}
	if words, ok := member(schema, "enum").([]any); ok && !slices.Contains(words, v) {
		return fmt.Errorf("%s is %v, which is none of %v", at, v, words)
	}
	switch kind, _ := member(schema, "type").(string); kind {
	case "object":
		return c.checkObject(schema, v, at)
	case "array":
		return c.checkArray(schema, v, at)
	default:
		return checkPlain(kind, member(schema, "format"), v, at)
	}
}

func (c *contract) checkAny(schemas []any, v any, at string) error {
	var all []error
	for _, s := range schemas {
		err := c.check(s, v, at)
		if err == nil {
			return nil
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

func (c *contract) checkObject(schema, v any, at string) error {
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is %T, want an object", at, v)
	}
	required, _ := member(schema, "required").([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			return fmt.Errorf("%s has no %s", at, name)
		}
	}
	for name, value := range object {
		s := member(member(schema, "properties"), name)
		if s == nil {
			s = member(schema, "additionalProperties")
		}
		if s == nil {
			return fmt.Errorf("%s has %s, which is not documented", at, name)
		}
		if err := c.check(s, value, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func (c *contract) checkArray(schema, v any, at string) error {
	array, ok := v.([]any)
	if !ok {
		return fmt.Errorf("%s is %T, want an array", at, v)
	}
	for i, item := range array {
		if err := c.check(member(schema, "items"), item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func checkPlain(kind string, format, v any, at string) error {
	ok := true
	switch kind {
	case "string":
		text, is := v.(string)
		ok = is && checkFormat(format, text)
	case "null":
		ok = v == nil
	case "boolean":
		_, ok = v.(bool)
	case "number":
		_, ok = v.(float64)
	case "integer":
		n, is := v.(float64)
		ok = is && n == float64(int64(n))
	}
	if !ok {
		return fmt.Errorf("%s is %v, want a %s %v", at, v, kind, format)
	}
	return nil
}

func checkFormat(format any, text string) bool {
	var err error
	switch format {
	case "date-time":
		_, err = time.Parse(time.RFC3339Nano, text)
	case "uuid":
		_, err = domain.ParseID(text)
	case "uri-reference":
		_, err = url.Parse(text)
	}
	return err == nil
}

// TestTheContractBites shows that answers which are not as documented are found.
func TestTheContractBites(t *testing.T) {
	c := newContract()
	problem := c.at("components", "schemas", "Problem")
	good := `{"type":"t","title":"t","status":400,"code":"c","remedy":"r"}`
	if err := c.valid(problem, []byte(good)); err != nil {
		t.Errorf("%s: %v", good, err)
	}
	for _, bad := range []string{
		`{}`, `[]`, `"text"`, `nonsense`,
		strings.Replace(good, `400`, `"400"`, 1), strings.Replace(good, `400`, `4.5`, 1),
		strings.Replace(good, `"code":"c",`, ``, 1), strings.Replace(good, `{`, `{"more":1,`, 1),
	} {
		if c.valid(problem, []byte(bad)) == nil {
			t.Errorf("%s passes as a problem", bad)
		}
	}
}
