package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// How patiently a busy server is asked again.
const (
	mostAgain   = 4
	longestWait = 10 * time.Second
)

// patience is how often a busy server has been asked again.
type patience int

// again tells how long to wait before asking again; false if the answer will not change, or enough has been waited.
func (p *patience) again(answer *http.Response) (time.Duration, bool) {
	busy := answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusTooManyRequests
	if !busy || int(*p) == mostAgain {
		return 0, false
	}
	wait := time.Second << *p
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		wait = time.Duration(seconds) * time.Second
	}
	*p++
	return wait, wait <= longestWait
}

// wait waits, and says so.
func (c *client) wait(ctx context.Context, d time.Duration) error {
	if c.notes != nil {
		fmt.Fprintf(c.notes, "the server is busy: asking again in %s\n", d)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unreachable says why there was no answer, and what to do about it.
func (c *client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // without the address, which is named below
	}
	return fmt.Errorf("no answer from %s: %w; %s", c.base, err, remedyFor(err))
}

// remedyFor is what helps against a connection that failed.
func remedyFor(err error) string {
	var unknown x509.UnknownAuthorityError
	var names x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var lookup *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return "trust the server's own authority with --ca DIR/tls/ca.pem"
	case errors.As(err, &names):
		return "use a name or address that the certificate is for"
	case errors.As(err, &invalid):
		return "renew the server's certificate, and check the clocks"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "this port speaks plain HTTP: write http:// in --url"
	case errors.As(err, &lookup):
		return "check the name in --url"
	}
	return "is the server running there? See 'strandline serve --help', and --url"
}

// problem is how the native API and, in its second half, the LAMP dialect say that they refuse.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
	Error  string `json:"error"`
}

// refusal is the error that an answer stands for.
func (c *client) refusal(answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var p problem
	if err == nil {
		// A body that is not JSON has nothing more to tell than the status.
		_ = json.Unmarshal(body, &p)
	}
	text := "the server answered " + visible(answer.Status)
	for _, more := range []string{p.Error, p.Title, p.Detail, p.Remedy} {
		if more != "" {
			text += "; " + strings.TrimSuffix(visible(more), ".")
		}
	}
	if hint := c.hint(answer, body); hint != "" {
		text += "; " + hint
	}
	return exitWith(exitRefused, errors.New(text))
}

// hint is what the server cannot know of what helps.
func (c *client) hint(answer *http.Response, body []byte) string {
	switch {
	case answer.StatusCode == http.StatusBadRequest && strings.Contains(string(body), "HTTPS server"):
		return "this port speaks HTTPS: write https:// in --url, with --ca DIR/tls/ca.pem if the certificate is the server's own"
	case answer.StatusCode < 400:
		return "it points to " + visible(answer.Header.Get("Location")) + ", where no secret is sent unasked: give that address as --url if you trust it"
	case answer.StatusCode == http.StatusUnauthorized:
		return "see --credential-file, or STRANDLINE_ACCESS_KEY and STRANDLINE_SECRET_KEY"
	case answer.StatusCode == http.StatusServiceUnavailable, answer.StatusCode == http.StatusTooManyRequests:
		return afterwards(answer.Header.Get("Retry-After"))
	}
	return ""
}

// afterwards says when to ask again, if the server did.
func afterwards(retry string) string {
	if seconds, err := strconv.Atoi(retry); err == nil && seconds > 0 {
		return fmt.Sprintf("ask again in %s", time.Duration(seconds)*time.Second)
	}
	return ""
}
