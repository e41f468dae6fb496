package commands

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
)

// Codec turns events into records. Its implementation is domain/codec.
type Codec interface {
	Encode(env domain.Envelope, request *domain.Request, e domain.Event) ([]domain.Record, error)
}

// Bus carries commands from the doors to the event store.
type Bus struct {
	store     EventStore
	codec     Codec
	keys      Keys
	directory Directory
	policy    *policy.Policy
	clock     func() time.Time
	random    io.Reader
	node      string
	retries   int
}

// Option changes a default of a Bus.
type Option func(*Bus)

// WithRetries sets how often a command is decided again when its stream has moved on. The default is 3.
func WithRetries(n int) Option { return func(b *Bus) { b.retries = n } }

// WithClock sets the clock. The default is time.Now.
func WithClock(now func() time.Time) Option { return func(b *Bus) { b.clock = now } }

// WithRandom sets the source of ids. The default is crypto/rand.
func WithRandom(r io.Reader) Option { return func(b *Bus) { b.random = r } }

// WithNode names this process in the streams of access events. The default is "node".
func WithNode(name string) Option { return func(b *Bus) { b.node = name } }

// New returns a Bus over a store, sealing with codec, naming with keys, authorising by directory.
func New(store EventStore, codec Codec, keys Keys, directory Directory, options ...Option) (*Bus, error) {
	rules, err := policy.New(directory)
	if err != nil {
		return nil, err
	}
	b := &Bus{store: store, codec: codec, keys: keys, directory: directory, policy: rules,
		clock: time.Now, random: rand.Reader, node: "node", retries: 3}
	for _, o := range options {
		o(b)
	}
	return b, nil
}

// Meta is what is known of a request beyond its command.
type Meta struct {
	Principal                     // of Record; Do takes it from the permit
	Request        domain.ID      // the request's own id, the correlation of all that it leads to
	Details        domain.Request // goes into the first event, sealed. Object is the id after "me" has been resolved
	Dialect        string         // "lamp", "api", …
	APIKey         string         // id of the client's API key, empty if none
	IdempotencyKey string         // as the client sent it, empty if it sent none
	Digest         [32]byte       // SHA-256 of method, path with query, and body; needed with an IdempotencyKey only
}

// Receipt says what a command did.
type Receipt struct {
	Position domain.Position   // of the last event, zero if there was none
	Events   []domain.Position // of all events, those of a plan's steps included
	Changed  bool              // there were events
	Repeated bool              // they had been recorded before, under the same idempotency key
}

// Do decides a command and records what it causes, durably. A command with nothing to do is a Receipt that is not
// Changed; the caller then records the request with Record. Errors are those of the command's decider,
// *IdempotencyMismatchError, and those of the store.
func (b *Bus) Do(ctx context.Context, permit Permit, meta Meta, cmd domain.Command) (Receipt, error) {
	return Receipt{}, errors.ErrUnsupported
}

// DoPlan decides commands that belong together and records all or none: nothing of it is visible before everything is
// on disk, and after a crash Resume finishes it. The plan stands in the stream of first; each later command must cause
// one event in a stream that nobody has written.
func (b *Bus) DoPlan(ctx context.Context, permit Permit, meta Meta, first domain.Command, then ...domain.Command) (Receipt, error) {
	return Receipt{}, errors.ErrUnsupported
}

// Resume finishes the plans that a crash has left open. Call it once at start, when the directory is at the head.
func (b *Bus) Resume(ctx context.Context) error { return errors.ErrUnsupported }

// Record puts a request on the record that left no other event: one that was only reading, one that was refused, and
// one whose command had nothing to do. It returns once the event is on disk. A request is recorded once: the event's id
// is the request's, except for access.Ended.
func (b *Bus) Record(ctx context.Context, meta Meta, e domain.Event) (domain.Position, error) {
	return domain.Position{}, errors.ErrUnsupported
}

// IDs is the source from which the objects of one request draw their ids: random bytes, or with an idempotency key
// always the same ones, so that a repeated creation names the same objects.
func (b *Bus) IDs(meta Meta) io.Reader { return b.random }

// IdempotencyMismatchError says that an idempotency key came again with another request.
type IdempotencyMismatchError struct{ Key string }

func (e *IdempotencyMismatchError) Error() string {
	return "idempotency key has been used for another request; draw a fresh key for each request"
}

// Unwrap makes a mismatch an invalid request.
func (e *IdempotencyMismatchError) Unwrap() error { return domain.ErrInvalid }
