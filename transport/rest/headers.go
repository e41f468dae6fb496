package rest

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"strandline/domain"
)

// Headers that every dialect understands.
const (
	headerAPIKey      = "Strandline-Api-Key"
	headerAPIKeyAlias = "X-Api-Key"
	headerIdempotency = "Idempotency-Key"
	headerReason      = "Strandline-Reason"
	headerMinPosition = "Strandline-Min-Position"
	headerPosition    = "Strandline-Position"
	headerRequest     = "Strandline-Request"
)

// Bounds on what a client may say in headers, in bytes.
const (
	longestAgent       = 256
	longestReason      = 1024
	longestIdempotency = 256
	longestAPIKey      = 256
)

// Values are shared by all answers: net/http only reads them.
var (
	// closing ends the connection after a body in chunks. net/http does not tell whether it had a length as well, which
	// another server before this one may have gone by: what follows could be a request smuggled past it (RFC 9112,
	// section 6.3).
	closing = []string{"close"}

	noStore      = []string{"no-store"}
	noSniff      = []string{"nosniff"}
	deny         = []string{"DENY"}
	noContent    = []string{"default-src 'none'; frame-ancestors 'none'"}
	twoYears     = []string{"max-age=63072000"}
	anyOrigin    = []string{"*"}
	exposed      = []string{"Strandline-Position, Strandline-Request, ETag, Location, Traceresponse, Retry-After, WWW-Authenticate"}
	methods      = []string{"GET, POST, PUT, DELETE, OPTIONS, PATCH"}
	tenMinutes   = []string{"600"}
	jsonContent  = []string{"application/json; charset=utf-8"}
	allowHeaders = []string{strings.Join([]string{
		"authorization", "content-type", "accept", "access-control-allow-origin", "api-key", "x-api-key",
		"idempotency-key", "strandline-api-key", "strandline-reason", "strandline-min-position", "if-match", "if-none-match", "traceparent", "tracestate",
	}, ", ")}
)

// secure sets what every answer carries: nothing is cached, sniffed or framed, and pages of any origin may read it.
// Credentials come in the Authorization header only, so any origin is no danger (contract "LAMP", section 1).
func secure(h http.Header, overTLS bool) {
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["X-Frame-Options"] = deny
	h["Content-Security-Policy"] = noContent
	h["Access-Control-Allow-Origin"] = anyOrigin
	h["Access-Control-Expose-Headers"] = exposed
	if overTLS {
		h["Strict-Transport-Security"] = twoYears
	}
}

// preflight answers OPTIONS, for any path and without a record (decision 10).
func preflight(w http.ResponseWriter) {
	h := w.Header()
	h["Access-Control-Allow-Methods"] = methods
	h["Access-Control-Allow-Headers"] = allowHeaders
	h["Access-Control-Max-Age"] = tenMinutes
	w.WriteHeader(http.StatusNoContent)
}

// understand reads the headers that every dialect understands.
func (c *Call) understand() error {
	h := c.request.Header
	c.Meta.Details.Reason = clip(printable(h.Get(headerReason)), longestReason)
	if err := c.apiKey(h); err != nil {
		return err
	}
	key := h.Get(headerIdempotency)
	if len(key) > longestIdempotency {
		return fmt.Errorf("%w: %s is longer than %d bytes", domain.ErrInvalid, headerIdempotency, longestIdempotency)
	}
	c.Meta.IdempotencyKey = key
	c.digest(nil)
	return c.demanded(h.Get(headerMinPosition))
}

// apiKey notes the id of the client's API key, so that the key itself is nowhere (decision 11): the id under which it was
// issued here, else its keyed hash.
func (c *Call) apiKey(h http.Header) error {
	key := h.Get(headerAPIKey)
	if key == "" {
		key = h.Get(headerAPIKeyAlias)
	}
	switch {
	case key == "":
		return nil
	case len(key) > longestAPIKey:
		return fmt.Errorf("%w: %s is longer than %d bytes", domain.ErrInvalid, headerAPIKey, longestAPIKey)
	}
	if id, ok := c.pipeline.known(key); ok {
		c.Meta.APIKey = id
		return nil
	}
	sum := c.pipeline.keys.Hash("api-key", key)
	c.Meta.APIKey = hex.EncodeToString(sum[:16])
	return nil
}

// demanded reads up to where the client wants to see what happened.
func (c *Call) demanded(text string) (err error) {
	if text != "" {
		c.demand, err = domain.ParsePosition(text)
	}
	return err
}

// Demands meets what the client's headers demand: it waits until everything up to the position that the client has seen
// elsewhere can be read here. It fails where they make no sense, and with ErrPosition. A dialect calls it as soon as it
// knows who is calling and what for, so that a refusal is on the record as theirs, and nobody unknown has others wait.
func (c *Call) Demands() error {
	if c.senseless != nil || !c.Arrival.Before(c.demand) {
		return c.senseless
	}
	ctx, stop := c.Waiting()
	defer stop()
	if err := c.pipeline.directory.Wait(ctx, c.demand); err != nil {
		return fmt.Errorf("%w: %s", ErrPosition, c.demand)
	}
	c.Arrival = c.demand
	return nil
}

// clip cuts s to at most n bytes, at the start of a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// printable is s as it can stand in JSON: bytes that are not UTF-8 are replaced.
func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
