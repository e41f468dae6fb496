package door

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"strandline/domain"
)

// ErrStreamDeleted says that a stream has been tombstoned: its name is gone for ever. It is said as well of a stream that
// has been deleted, to those who append only if it exists.
var ErrStreamDeleted = errors.Join(domain.ErrRejected, errors.New("the stream has been deleted"))

// Trailers tell clients more than a status can: the kind of exception, and what it is about.
const (
	trailerException = "exception"
	trailerStream    = "stream-name"
	trailerGroup     = "group-name"
	trailerMost      = "maximum-append-size"
	trailerExpected  = "expected-version"
	trailerActual    = "actual-version"
)

// sizeError says how large an append may be.
type sizeError struct{ most int }

func (e *sizeError) Error() string { return fmt.Sprintf("an append has at most %d bytes", e.most) }

// Unwrap makes it one of the port's errors.
func (e *sizeError) Unwrap() error { return domain.ErrAppendTooLarge }

// groupError says which group failed.
type groupError struct {
	error
	group string
}

// Unwrap returns what failed.
func (e *groupError) Unwrap() error { return e.error }

// ofGroup says of an error which group it is about.
func ofGroup(group string, err error) error {
	if err == nil {
		return nil
	}
	return &groupError{err, group}
}

// failure words an error as the original does: a status, and a trailer that clients look at.
func failure(ctx context.Context, stream string, err error) error {
	var large *sizeError
	var wrong *domain.WrongRevisionError
	var group *groupError
	if errors.As(err, &group) {
		trail(ctx, trailerGroup, group.group)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, ErrStreamDeleted):
		trail(ctx, trailerException, "stream-deleted", trailerStream, stream)
		return status.Error(codes.FailedPrecondition, "the stream has been deleted: use another name, or expect no stream unless it is tombstoned")
	case errors.Is(err, errNoGroup):
		trail(ctx, trailerException, "persistent-subscription-does-not-exist", trailerStream, stream)
		return status.Error(codes.NotFound, "there is no such group: create it first")
	case errors.Is(err, errGroupExists):
		trail(ctx, trailerException, "persistent-subscription-exists", trailerStream, stream)
		return status.Error(codes.AlreadyExists, "there is a group of that name: update it, or use another name")
	case errors.Is(err, errGroupFull):
		trail(ctx, trailerException, "maximum-subscribers-reached", trailerStream, stream)
		return status.Error(codes.FailedPrecondition, "the group has as many consumers as it may have: end one, or update the group")
	case errors.Is(err, errGroupDropped):
		trail(ctx, trailerException, "persistent-subscription-dropped", trailerStream, stream)
		return status.Error(codes.Canceled, "the group has been changed, removed or restarted: connect again")
	case errors.As(err, &large):
		trail(ctx, trailerException, "maximum-append-size-exceeded", trailerMost, strconv.Itoa(large.most))
		return status.Errorf(codes.InvalidArgument, "the append is larger than %d bytes: append fewer events at a time", large.most)
	case errors.As(err, &wrong):
		trail(ctx, trailerException, "wrong-expected-version", trailerStream, stream, trailerExpected, strconv.FormatInt(int64(wrong.Expected), 10))
		if wrong.Current != domain.NoStream {
			trail(ctx, trailerActual, strconv.FormatInt(int64(wrong.Current), 10))
		}
		return status.Error(codes.FailedPrecondition, wrong.Error())
	case errors.Is(err, errUnauthenticated):
		return status.Error(codes.Unauthenticated, "the call names nobody, or its secret is wrong: send an access key and its secret as Basic")
	case errors.Is(err, domain.ErrForbidden):
		trail(ctx, trailerException, "access-denied")
		return status.Error(codes.PermissionDenied, err.Error())
	case errors.Is(err, domain.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, domain.ErrNotFound):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, domain.ErrRejected):
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return status.Error(codes.Unavailable, "the store cannot do that now: ask again later")
}

// errUnauthenticated says that nobody is known to be calling.
var errUnauthenticated = errors.New("unauthenticated")

// trail sets trailers; names and values in turn. What cannot stand in a trailer is percent-encoded.
func trail(ctx context.Context, pairs ...string) {
	for i := range pairs {
		if strings.ContainsFunc(pairs[i], func(r rune) bool { return r < ' ' || r > '~' }) {
			pairs[i] = url.PathEscape(pairs[i])
		}
	}
	_ = grpc.SetTrailer(ctx, metadata.Pairs(pairs...)) // fails outside a call only
}

// unauthenticated marks an error of coming in.
func unauthenticated(err error) error { return errors.Join(errUnauthenticated, err) }
