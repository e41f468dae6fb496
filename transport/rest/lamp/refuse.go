package lamp

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// refusal is an error that has a code of its own in the contract.
type refusal struct {
	code string
	kind error
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %v", r.code, r.kind) }
func (r *refusal) Unwrap() error { return r.kind }

// Refusals with codes of the contract, section 1.
var (
	errSubstitution  = &refusal{"400.context-substitution-failed", domain.ErrInvalid}
	errBadCredential = &refusal{"400.malformed-credential-object", domain.ErrInvalid}
	errNoCredential  = &refusal{"404.no-such-credentials", domain.ErrNotFound}
	errNoObject      = &refusal{"404.resource-not-found", domain.ErrNotFound}
	errNoTag         = &refusal{"404.object-not-found", domain.ErrNotFound}
	errNoIndex       = &refusal{"404.specified-index-not-found", domain.ErrNotFound}
	errUnimplemented = &refusal{"503.unimplemented", domain.ErrRejected}
)

// codes are the codes of errors that are not refusals, the most particular first: those of the contract, then those of
// the pipeline, then the five kinds.
var codes = []struct {
	err  error
	code string
}{
	{signin.ErrMissing, "401.missing-credentials"},
	{signin.ErrToken, "401.invalid-token"},
	{signin.ErrUnknown, "403.no-such-credentials"},
	{account.ErrInUse, "403.access-key-already-in-use"},
	{account.ErrNone, "404.no-such-credentials"},
	{rest.ErrTooLarge, "413.payload-too-large"},
	{domain.ErrAppendTooLarge, "413.payload-too-large"},
	{rest.ErrTooSlow, "408.request-timeout"},
	{rest.ErrPosition, "412.position-not-reached"},
	{context.DeadlineExceeded, "503.service-unavailable"},
	{context.Canceled, "503.service-unavailable"},
	{domain.ErrInvalid, "400.bad-request"},
	{domain.ErrForbidden, "403.security-context-out-of-scope"},
	{domain.ErrNotFound, "404.resource-not-found"},
	{domain.ErrRejected, "409.conflict"},
	{domain.ErrUnavailable, "503.service-unavailable"},
}

// code is the contract's word for an error.
func code(err error) string {
	var own *refusal
	if errors.As(err, &own) {
		return own.code
	}
	var mismatch *commands.IdempotencyMismatchError
	if errors.As(err, &mismatch) {
		return "422.idempotency-key-in-use"
	}
	for _, known := range codes {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return "500.internal-error"
}

// status is the number that a code starts with.
func status(code string) int {
	if n, err := strconv.Atoi(code[:min(3, len(code))]); err == nil {
		return n
	}
	return 500
}

// Refuse implements rest.Dialect.
func (d *Door) Refuse(_ *rest.Call, err error) rest.Answer {
	if errors.Is(err, rest.ErrNoSuchRoute) {
		const code = "404.api-endpoint-unimplemented"
		return rest.Answer{Status: 404, Code: code, Body: []byte(`{"message":"` + code + `"}`)}
	}
	code := code(err)
	answer := rest.Answer{Status: status(code), Code: code, Body: []byte(`{"error":"` + code + `"}`)}
	switch answer.Status {
	case 401:
		answer.Headers = []string{"WWW-Authenticate", challenge(err)}
	case 408, 413:
		answer.Headers = []string{"Connection", "close"} // the rest of the body is not waited for
	case 503:
		answer.Headers = rest.RetryAfter(err)
	}
	return answer
}

// challenge says how to sign in: in the words of the contract, section 1, or as RFC 6750 has it for those who tried.
func challenge(err error) string {
	if errors.Is(err, signin.ErrToken) {
		return `Bearer realm="LAMP", error="invalid_token"`
	}
	return `Basic realm="LAMP" charset="UTF-8"`
}
