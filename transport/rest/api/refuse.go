package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"strandline/domain"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// problem is how an error is worded: a code that never changes, a sentence, and what to do about it (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy"`
}

// problems are the known errors, the most particular first.
var problems = []struct {
	err error
	problem
}{
	{rest.ErrNoSuchRoute, problem{404, "no-such-route", "There is no such route.", "", "Routes begin with /strandline/v1/events or /strandline/v1/projections."}},
	{signin.ErrMissing, problem{401, "credentials-missing", "The request names nobody.", "", "Send an access key and its secret as HTTP Basic."}},
	{signin.ErrUnknown, problem{401, "credentials-unknown", "The access key is unknown or its secret is wrong.", "", "Check both; after a change, use the new secret."}},
	{rest.ErrTooLarge, problem{413, "body-too-large", "The body is larger than this server takes.", "", "Send less at a time."}},
	{rest.ErrTooSlow, problem{408, "body-too-slow", "The body did not arrive in time.", "", "Send it again over a better connection."}},
	{rest.ErrPosition, problem{412, "position-not-reached", "The position asked for has not been reached.", "", "Ask again, or check that the position is from this server."}},
	{context.DeadlineExceeded, problem{503, "busy", "It took too long.", "", "Ask again later."}},
	{domain.ErrInvalid, problem{400, "invalid", "The request makes no sense.", "", "Correct what the detail names."}},
	{domain.ErrForbidden, problem{403, "forbidden", "This caller may not do this.", "", "Ask root for the role that it needs."}},
	{domain.ErrNotFound, problem{404, "not-found", "There is no such thing.", "", "Check the name."}},
	{domain.ErrRejected, problem{409, "rejected", "It cannot be done as things stand.", "", "See the detail."}},
	{domain.ErrUnavailable, problem{503, "unavailable", "It cannot be done now.", "", "Ask again later."}},
}

// Refuse implements rest.Dialect.
func (d *Door) Refuse(_ *rest.Call, err error) rest.Answer {
	p := worded(err)
	body, err2 := json.Marshal(p)
	if err2 != nil {
		body = []byte(`{"status":500,"code":"internal"}`)
	}
	answer := rest.Answer{Status: p.Status, Code: p.Code, Body: body, Headers: []string{"Content-Type", "application/problem+json"}}
	switch p.Status {
	case http.StatusUnauthorized:
		answer.Headers = append(answer.Headers, "WWW-Authenticate", `Basic realm="Strandline" charset="UTF-8"`)
	case http.StatusServiceUnavailable:
		answer.Headers = append(answer.Headers, rest.RetryAfter(err)...)
	}
	return answer
}

// worded finds the words for an error. Details are told where the caller can do something with them: they are what the
// caller said, in our words.
func worded(err error) problem {
	for _, known := range problems {
		if !errors.Is(err, known.err) {
			continue
		}
		p := known.problem
		if p.Status == http.StatusBadRequest || p.Status == http.StatusConflict {
			p.Detail = err.Error()
		}
		return p
	}
	return problem{500, "internal", "The server failed while it handled the request.", "", "Ask again; the server's log says more."}
}
