package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// problem is how an error is worded: a code that never changes, a sentence, and what to do about it (RFC 9457).
type problem struct {
	Type     string `json:"type" about:"where the code is explained, on this server"`
	Title    string `json:"title" about:"what is wrong, the same for all problems of the code"`
	Status   int    `json:"status" about:"the HTTP status"`
	Detail   string `json:"detail,omitempty" about:"what is wrong with this request"`
	Code     string `json:"code" about:"never changes its meaning: programs go by it"`
	Remedy   string `json:"remedy" about:"what to do about it"`
	Instance string `json:"instance,omitempty" about:"the request, by the id that the audit records have"`
}

// docsPath is where people read what this package can do. Each code has an anchor of its name there.
const docsPath = "/strandline/docs"

// known is an error with its words. The most particular come first.
type known struct {
	err                 error
	status              int
	code, title, remedy string
	detailed            bool // the error's own words help the caller, but for what they quote of the caller's
}

var problems = []known{
	{rest.ErrNoSuchRoute, 404, "no-such-route", "There is no such route.", "See " + docsPath + " for the routes that there are.", false},
	{errMethod, 405, "method-not-allowed", "The route is not there for this method.", "Use one of the methods in the header Allow.", true},
	{errAcceptable, 406, "not-acceptable", "The route does not answer in a media type that the request accepts.", "Accept application/json, or leave the header Accept out.", false},
	{errMedia, 415, "unsupported-media-type", "The body is not of a media type that the route takes.", "Send JSON, with the header Content-Type: application/json.", false},
	{signin.ErrMissing, 401, "credentials-missing", "The request names nobody.", "Send an access key and its secret as HTTP Basic, or an API key as Bearer.", false},
	{signin.ErrToken, 401, "token-unknown", "The bearer token is no API key that signs in now.", "Check that the key is whole, neither revoked nor expired; issue another if it is.", false},
	{signin.ErrUnknown, 401, "credentials-unknown", "The access key is unknown or its secret is wrong.", "Check both; after a change, use the new secret.", false},
	{rest.ErrTooLarge, 413, "body-too-large", "The body is larger than this server takes.", "Send less at a time.", false},
	{rest.ErrTooSlow, 408, "body-too-slow", "The body did not arrive in time.", "Send it again over a better connection.", false},
	{rest.ErrPosition, 412, "position-not-reached", "The position asked for has not been reached.", "Ask again, or check that the position is from this server.", false},
	{commands.ErrChanged, 412, "changed", "It is not any more as If-Match says.", "Read it again, and decide anew.", false},
	{errIdempotency, 422, "idempotency-key-in-use", "The idempotency key has been used for another request.", "Draw a fresh key for each request.", false},
	{context.DeadlineExceeded, 503, "busy", "It took too long.", "Ask again later.", false},
	{domain.ErrInvalid, 400, "invalid", "The request makes no sense.", "Correct what the detail names.", true},
	{domain.ErrForbidden, 403, "forbidden", "This caller may not do this.", "Ask root for the role that it needs.", false},
	{domain.ErrNotFound, 404, "not-found", "There is no such thing, or this caller may not know of it.", "Check the name, and with whose credential it is asked for.", false},
	{domain.ErrRejected, 409, "rejected", "It cannot be done as things stand.", "See the detail.", true},
	{domain.ErrUnavailable, 503, "unavailable", "It cannot be done now.", "Ask again later.", false},
	{nil, 500, "internal", "The server failed while it handled the request.", "Ask again; the server's log says more.", false},
}

// Refuse implements rest.Dialect.
func (d *Door) Refuse(c *rest.Call, err error) rest.Answer {
	p := worded(err)
	p.Instance = "urn:uuid:" + c.Meta.Request.String()
	body, err2 := json.Marshal(p)
	if err2 != nil {
		body = []byte(`{"status":500,"code":"internal"}`)
	}
	answer := rest.Answer{Status: p.Status, Code: p.Code, Body: body, Headers: []string{"Content-Type", mediaProblem}}
	var method *methodError
	switch {
	case errors.As(err, &method):
		answer.Headers = append(answer.Headers, "Allow", strings.Join(method.allow, ", "))
	case p.Status == http.StatusUnauthorized:
		answer.Headers = append(answer.Headers, "WWW-Authenticate", `Basic realm="Strandline", charset="UTF-8", Bearer`)
	case p.Status == http.StatusServiceUnavailable:
		answer.Headers = append(answer.Headers, rest.RetryAfter(err)...)
	}
	return answer
}

// errIdempotency stands for all errors of its type.
var errIdempotency = errors.New("the idempotency key has been used")

// worded finds the words for an error. What is unknown to the table is the server's own failure.
func worded(err error) problem {
	var mismatch *commands.IdempotencyMismatchError
	if errors.As(err, &mismatch) {
		err = errIdempotency
	}
	i := slices.IndexFunc(problems, func(k known) bool { return k.err == nil || errors.Is(err, k.err) })
	k := problems[i]
	p := problem{Type: docsPath + "#" + k.code, Title: k.title, Status: k.status, Code: k.code, Remedy: k.remedy}
	if k.detailed {
		_, detail, _ := strings.Cut(err.Error(), ": ")
		p.Detail = rest.Discreet(detail)
	}
	return p
}
