package rest

import (
	"errors"
	"fmt"
	"time"

	"strandline/domain"
)

// Errors of the pipeline itself. A dialect words them as it words its own.
var (
	ErrTooLarge    = fmt.Errorf("%w: the request's body is larger than this server takes", domain.ErrInvalid)
	ErrTooSlow     = fmt.Errorf("%w: the request's body did not arrive in time", domain.ErrInvalid)
	ErrBroken      = fmt.Errorf("%w: the request's body ended before it was complete", domain.ErrInvalid)
	ErrPosition    = fmt.Errorf("%w: the position in Strandline-Min-Position has not been reached", domain.ErrRejected)
	ErrUnrecorded  = fmt.Errorf("%w: the request could not be put on the record", domain.ErrUnavailable)
	ErrInternal    = errors.New("the server failed while it handled the request")
	ErrNoSuchRoute = fmt.Errorf("%w: there is no such route", domain.ErrNotFound)
)

// BusyError says that the server has too much to do just now, and when it makes sense to ask again.
type BusyError struct {
	With  string        // what there is too much of
	After time.Duration // when to ask again
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("too many %s at once: ask again in %s", e.With, e.After)
}

// Unwrap makes being busy a kind of being unavailable.
func (e *BusyError) Unwrap() error { return domain.ErrUnavailable }
