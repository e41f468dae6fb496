package commands

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/codec"
)

// Bus carries commands from the doors to the event store. It is safe for concurrent use.
type Bus struct {
	store     EventStore
	codec     *codec.Codec
	keys      Keys
	directory Directory
	policy    *policy.Policy
	lines     *lines
	lanes     *lanes
	clock     func() time.Time
	random    io.Reader
	node      string
	retries   int
	observer  Observer // nil for none
}

// Option changes a default of a Bus.
type Option func(*Bus)

// WithRetries sets how often a command is decided again when its stream has moved on. The default is 3.
func WithRetries(n int) Option { return func(b *Bus) { b.retries = n } }

// WithClock sets the clock. The default is time.Now.
func WithClock(now func() time.Time) Option { return func(b *Bus) { b.clock = now } }

// WithRandom sets the source of ids, which must be safe for concurrent use. The default is crypto/rand.
func WithRandom(r io.Reader) Option { return func(b *Bus) { b.random = r } }

// WithNode names this process in the streams of access events. The default is "node".
func WithNode(name string) Option { return func(b *Bus) { b.node = name } }

// Observer is told that a command begins. What the command does is done with the context that it returns, and the
// function with it is told how the command ended.
type Observer func(ctx context.Context, command string) (context.Context, func(error))

// WithObserver sets who is told of commands. The default is nobody.
func WithObserver(o Observer) Option { return func(b *Bus) { b.observer = o } }

// New returns a Bus over a store, sealing with codec, naming with keys, authorising by directory.
func New(store EventStore, codec *codec.Codec, keys Keys, directory Directory, options ...Option) (*Bus, error) {
	rules, err := policy.New(directory)
	if err != nil {
		return nil, err
	}
	b := &Bus{store: store, codec: codec, keys: keys, directory: directory, policy: rules,
		lines: newLines(), lanes: newLanes(), clock: time.Now, random: rand.Reader, node: "node", retries: 3}
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
	Remember       bool           // with Record: that nothing changed is to be found again under the IdempotencyKey
	Digest         [32]byte       // SHA-256 of method, path with query, and body; needed with an IdempotencyKey only

	// Expected are the positions of the event that changed last what the command is about, as the caller has seen it:
	// one of them, or the command is refused with ErrChanged. None is any. It holds at the append itself, and is for Do.
	Expected []domain.Position
}

// ErrChanged refuses a command because what it is about is not as the caller has seen it.
var ErrChanged = fmt.Errorf("%w: it has been changed since it was read", domain.ErrRejected)

// Receipt says what a command did.
type Receipt struct {
	Position domain.Position   // of the last event, zero if there was none
	Events   []domain.Position // of all events, those of a plan's steps included
	Changed  bool              // there were events
	Repeated bool              // they had been recorded before, under the same idempotency key
}

// add puts what was appended into the receipt.
func (r *Receipt) add(w written) {
	r.Changed = true
	r.Repeated = r.Repeated || w.repeated
	r.Events = append(r.Events, w.events...)
	r.Position = r.Events[len(r.Events)-1]
}

// Do decides a command and records what it causes, durably. A command with nothing to do is a Receipt that is not
// Changed. Errors are those of the command's decider, *IdempotencyMismatchError, and those of the store. With an
// idempotency key, one request may give each stream one command.
func (b *Bus) Do(ctx context.Context, permit Permit, meta Meta, cmd domain.Command) (Receipt, error) {
	if err := permit.covers(cmd); err != nil {
		return Receipt{}, err
	}
	meta.Principal = permit.principal
	j, err := b.newJob(meta, cmd)
	if err != nil {
		return Receipt{}, err
	}
	return b.observed(ctx, cmd, func(ctx context.Context) (Receipt, error) { return b.do(ctx, j, cmd) })
}

// observed makes attempts at a command while the observer looks on.
func (b *Bus) observed(ctx context.Context, cmd domain.Command, attempt func(context.Context) (Receipt, error)) (Receipt, error) {
	if b.observer == nil {
		return b.retry(ctx, attempt)
	}
	ctx, ended := b.observer(ctx, cmd.CommandName())
	receipt, err := b.retry(ctx, attempt)
	ended(err)
	return receipt, err
}

// retry makes an attempt again as long as it finds that its stream has moved on.
func (b *Bus) retry(ctx context.Context, attempt func(context.Context) (Receipt, error)) (Receipt, error) {
	for n := 0; ; n++ {
		receipt, err := attempt(ctx)
		var moved *domain.WrongRevisionError
		if !errors.As(err, &moved) {
			return receipt, err
		}
		if n == b.retries {
			return Receipt{}, fmt.Errorf("%w: others wrote to %s at the same time, %d times over: %v", domain.ErrUnavailable, moved.Stream, n+1, err)
		}
	}
}

// do makes one attempt at a command.
func (b *Bus) do(ctx context.Context, j *job, cmd domain.Command) (Receipt, error) {
	d, err := deciderOf(cmd.Stream())
	if err != nil {
		return Receipt{}, err
	}
	if d.blind {
		return b.doBlind(ctx, j, d, cmd)
	}
	l, err := b.lines.enter(ctx, cmd.Stream())
	if err != nil {
		return Receipt{}, err
	}
	defer b.lines.leave(l)
	if receipt, repeated, err := b.repeated(ctx, j); repeated || err != nil {
		return receipt, err
	}
	if err := b.load(ctx, d, l); err != nil {
		return Receipt{}, err
	}
	if len(j.expected) > 0 && !slices.Contains(j.expected, l.changed) {
		return Receipt{}, ErrChanged
	}
	events, err := d.decide(l.state, cmd)
	if err != nil || len(events) == 0 {
		return Receipt{}, err
	}
	return b.appendTo(ctx, j, d, l, events)
}

// doBlind decides and appends without a look at the stream: nothing in it could matter.
func (b *Bus) doBlind(ctx context.Context, j *job, d decider, cmd domain.Command) (Receipt, error) {
	if receipt, repeated, err := b.repeated(ctx, j); repeated || err != nil {
		return receipt, err
	}
	events, err := d.decide(d.zero(), cmd)
	if err != nil || len(events) == 0 {
		return Receipt{}, err
	}
	w, err := b.append(ctx, j, domain.Any, events)
	if err != nil {
		return Receipt{}, err
	}
	if w.repeated { // by a request with the same key that came at the same time
		receipt, _, err := b.repeated(ctx, j)
		return receipt, err
	}
	var receipt Receipt
	receipt.add(w)
	return receipt, nil
}

// appendTo appends events to the stream of l and brings its state up to date.
func (b *Bus) appendTo(ctx context.Context, j *job, d decider, l *line, events []domain.Event) (Receipt, error) {
	w, err := b.append(ctx, j, l.expected, events)
	if err != nil {
		l.forget() // the append may have happened all the same
		return Receipt{}, err
	}
	if w.repeated && j.key != "" { // by a request with the same key that came to another process at the same time
		l.forget()
		receipt, _, err := b.repeated(ctx, j)
		return receipt, err
	}
	for _, e := range events {
		d.evolve(l.state, e)
	}
	l.moved(w.revision, w.size)
	l.changed = w.events[len(w.events)-1]
	var receipt Receipt
	receipt.add(w)
	return receipt, nil
}
