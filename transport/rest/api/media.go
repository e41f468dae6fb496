package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"strandline/domain"
	"strandline/domain/rawjson"
	"strandline/transport/rest"
)

// Media types.
const (
	mediaJSON    = "application/json"
	mediaLines   = "application/x-ndjson"
	mediaProblem = "application/problem+json"
)

// Errors of what a body is, and of what its answer should be.
var (
	errMedia      = fmt.Errorf("%w: the body is not JSON", domain.ErrInvalid)
	errAcceptable = fmt.Errorf("%w: the route does not answer in any of the media types that the request accepts", domain.ErrInvalid)
)

// offers are the media types that an operation answers in, the usual one first.
func (o operation) offers() []string {
	offers := []string{mediaJSON}
	if o.media != "" {
		offers[0] = o.media
	}
	if o.lines != nil {
		offers = append(offers, mediaLines)
	}
	return offers
}

// negotiate finds the offer that an Accept header likes best, the first of equals. Without a header it is the first.
func negotiate(accept string, offers []string) (string, error) {
	if accept == "" {
		return offers[0], nil
	}
	best, chosen := 0.0, ""
	for _, offer := range offers {
		if q := quality(accept, offer); q > best {
			best, chosen = q, offer
		}
	}
	if chosen == "" {
		return "", errAcceptable
	}
	return chosen, nil
}

// quality is how much an Accept header likes a media type, from 0 to 1: what its most particular range says (RFC 9110,
// section 12.5.1). A range that makes no sense says nothing.
func quality(accept, media string) float64 {
	particular, q := 0, 0.0
	for text := range strings.SplitSeq(accept, ",") {
		r, parameters, err := mime.ParseMediaType(text)
		if err != nil {
			continue
		}
		if p := matches(r, media); p > particular {
			particular, q = p, weight(parameters["q"])
		}
	}
	return q
}

// matches tells how particular a range is that media is in; 0 if it is not.
func matches(r, media string) int {
	kind, _, _ := strings.Cut(media, "/")
	switch r {
	case media:
		return 3
	case kind + "/*":
		return 2
	case "*/*":
		return 1
	}
	return 0
}

func weight(q string) float64 {
	w, err := strconv.ParseFloat(q, 64)
	if err != nil || !(w >= 0 && w <= 1) {
		return 1
	}
	return w
}

// isJSON tells whether a body of this type can be read as JSON. Clients that do not say are trusted to send JSON.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == mediaJSON || strings.HasSuffix(media, "+json"))
}

// sent reads the body, which is JSON, into a value. Members that the value does not have are refused, and so is what is
// refused of clients everywhere: names that occur twice, what is not UTF-8, what is nested too deep.
func (c *call) sent(into any) error {
	body, err := c.Body()
	if err != nil {
		return err
	}
	if !isJSON(c.Request().Header.Get("Content-Type")) {
		return errMedia
	}
	if len(body) == 0 {
		return fmt.Errorf("%w: the body is missing", domain.ErrInvalid)
	}
	text, err := rawjson.Compact(nil, body)
	if err != nil {
		return err
	}
	if text[0] != '{' { // null would be taken for a value without members
		return fmt.Errorf("%w: the body is something else than an object", domain.ErrInvalid)
	}
	lines := json.NewDecoder(bytes.NewReader(body))
	lines.DisallowUnknownFields()
	if err := lines.Decode(into); err != nil {
		return fmt.Errorf("%w: the body %s", domain.ErrInvalid, bodyError(err))
	}
	return nil
}

// bodyError says what is wrong with a body without repeating what stands in it.
func bodyError(err error) string {
	var kind *json.UnmarshalTypeError
	var moment *time.ParseError
	switch {
	case errors.As(err, &moment), strings.Contains(err.Error(), "Time.UnmarshalJSON"):
		return "has a time that is not written as RFC 3339 has it (2026-05-06T12:00:00Z)"
	case errors.As(err, &kind):
		return fmt.Sprintf("has something else in its member %s than %s", kind.Field, wordOf(kind.Type))
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return "has a member that this route does not know"
	}
	return "is not what this route takes"
}

// wordOf is how people call the JSON that goes into a type.
func wordOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a number"
}

// shows answers with a value as JSON, which shows so many rows.
func shows(v any, rows int) (rest.Answer, error) {
	var body bytes.Buffer
	text := json.NewEncoder(&body)
	text.SetEscapeHTML(false) // what clients sent is shown as they sent it
	if err := text.Encode(v); err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{Status: http.StatusOK, Body: bytes.TrimSuffix(body.Bytes(), []byte("\n")), Rows: rows}, nil
}
