package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"strandline/commands"
	"strandline/domain"
)

// Store is the event store on a server. It implements commands.EventStore.
type Store struct {
	*supervisor
	maxAppend int
	heads     heads

	mu   sync.Mutex
	seen domain.Position // the greatest that an append has returned
}

// Option changes a default of a Store.
type Option func(*Store)

// WithMaxAppend sets the greatest size of one append, bytes of data and metadata, as the server has it. The default is
// 1 MiB, as that of servers is.
func WithMaxAppend(bytes int) Option { return func(s *Store) { s.maxAppend = bytes } }

// Open returns a Store at a connection string, such as esdb://user:pass@host:2113?tls=true (contract "EventStoreDB",
// section 2). It does not wait for the server: whoever asks the store does.
func Open(connection string, options ...Option) (*Store, error) {
	settings, err := parsed(connection)
	if err != nil {
		return nil, err
	}
	s := &Store{supervisor: newSupervisor(settings), maxAppend: 1 << 20}
	for _, o := range options {
		o(s)
	}
	return s, nil
}

// Close lets the server go. Calls under way end with an error.
func (s *Store) Close() error {
	s.stop()
	return nil
}

// Find implements commands.EventStore. The server has no index of ids, so the stream is read from its end.
func (s *Store) Find(ctx context.Context, stream string, id domain.ID) (domain.Record, error) {
	for r, err := range s.ReadStream(ctx, stream, lastRevision, 0, commands.Backwards) {
		if errors.Is(err, domain.ErrNoStream) {
			break
		}
		if err != nil || r.ID == id {
			return r, err
		}
	}
	return domain.Record{}, fmt.Errorf("%w: event %s in %s", domain.ErrNotFound, id, stream)
}

// lastRevision is beyond the end of every stream.
const lastRevision = 1<<63 - 1

// isSystem tells the server's own events, which are nobody's business here.
func isSystem(stream string) bool { return strings.HasPrefix(stream, "$") }

// translated turns an error of the client into one of the port's.
func translated(ctx context.Context, stream string, err error) error {
	var e *esdb.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isKind(err):
		return err
	case status.Code(cause(err)) == codes.DeadlineExceeded: // the server's clock was faster
		return context.DeadlineExceeded
	case errors.As(err, &e):
		switch e.Code() {
		case esdb.ErrorCodeResourceNotFound:
			return fmt.Errorf("%w: %s", domain.ErrNoStream, stream)
		case esdb.ErrorCodeStreamDeleted:
			return fmt.Errorf("%w: %s has been tombstoned", domain.ErrNoStream, stream)
		case esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnauthenticated:
			return fmt.Errorf("%w: EventStoreDB refuses the credentials in the connection string, which need read and write access: %w", domain.ErrUnavailable, err)
		}
	}
	return fmt.Errorf("%w: EventStoreDB: %w", domain.ErrUnavailable, err)
}

// cause is what the client has wrapped.
func cause(err error) error {
	var e *esdb.Error
	if errors.As(err, &e) && e.Err() != nil {
		return e.Err()
	}
	return err
}

func isKind(err error) bool {
	for _, kind := range []error{domain.ErrInvalid, domain.ErrNotFound, domain.ErrRejected, domain.ErrUnavailable} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }
