package domain

import (
	"errors"
	"fmt"
)

// The kinds of error. A rule's error wraps one of them; a dialect maps each to its own status, in one place.
var (
	ErrInvalid     = errors.New("invalid")     // the request makes no sense, whoever sends it and whenever
	ErrForbidden   = errors.New("forbidden")   // this caller may not do this
	ErrNotFound    = errors.New("not found")   // there is no such thing, or the caller cannot see it
	ErrRejected    = errors.New("rejected")    // a rule forbids it as things stand
	ErrUnavailable = errors.New("unavailable") // it cannot be done now; the same request may succeed later
)

// Errors of event stores.
var (
	ErrNoStream       = fmt.Errorf("%w: no such stream", ErrNotFound)
	ErrAppendTooLarge = fmt.Errorf("%w: append is larger than the store takes", ErrInvalid)
	ErrStoreFailed    = fmt.Errorf("%w: the event store has stopped after a failed write", ErrUnavailable)
	ErrDamaged        = fmt.Errorf("%w: stored events are damaged", ErrUnavailable)
)

// WrongRevisionError says that a stream did not end where its writer believed.
type WrongRevisionError struct {
	Stream   string
	Expected Expected
	Current  Expected // Exactly(n), or NoStream
}

func (e *WrongRevisionError) Error() string {
	return fmt.Sprintf("append to %s: expected %s, but it is at %s", e.Stream, e.Expected, e.Current)
}

// Unwrap makes a wrong revision a rejection.
func (e *WrongRevisionError) Unwrap() error { return ErrRejected }
