package signin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/transport/rest"
)

// Directory is what signing in needs to know. It is a commands.Directory.
type Directory interface {
	Credential(id string) (account.Credential, bool)
	APIKey(id string) (apikey.Key, bool)
	Wait(ctx context.Context, position domain.Position) error
}

// Checker checks access keys and secrets. It is safe for concurrent use.
type Checker struct {
	directory Directory
	hasher    rest.Hasher
	clock     func() time.Time
	key       [32]byte // of the digests; drawn anew by each process
	known     *memory
	wrong     *memory
	sources   *limiter
	keys      *limiter
	paces     *limiter
	hashing   chan struct{} // holds one token for each hash that may be computed at once
	queued    atomic.Int64
	queue     int64
	patience  time.Duration
	outcome   func(Outcome)
	nobody    phc // what the secret of an unknown access key is checked against
}

// Option changes a default of a Checker.
type Option func(*Checker)

// WithClock sets the clock. The default is time.Now.
func WithClock(now func() time.Time) Option { return func(c *Checker) { c.clock = now } }

// WithMemory sets how many verified and how many failed pairs are remembered, and how long. The default is 65,536 each,
// for five minutes.
func WithMemory(pairs int, ttl time.Duration) Option {
	return func(c *Checker) { c.known, c.wrong = newMemory(pairs, ttl), newMemory(pairs, ttl) }
}

// WithLimits sets how many failures in a row a source and an access key may have, and how often one more. The default
// is 100 and ten a second for a source, 50 and five a second for an access key.
func WithLimits(sources, keys int, everySource, everyKey time.Duration) Option {
	return func(c *Checker) {
		c.sources, c.keys = newLimiter(sources, everySource, 16_384), newLimiter(keys, everyKey, 16_384)
	}
}

// WithPace sets how many failures in a row a source is told of at once, and how often one more. Further ones are told
// of late, by two seconds at most, so that guessing at full rate leaves the server to others. The default is 100 and a
// thousand a second.
func WithPace(burst int, every time.Duration) Option {
	return func(c *Checker) { c.paces = newLimiter(burst, every, 16_384) }
}

// WithQueue sets how many callers may wait for their secret to be hashed, and how long. The default is 256 and 5 s.
func WithQueue(callers int, patience time.Duration) Option {
	return func(c *Checker) { c.queue, c.patience = int64(callers), patience }
}

// New returns a Checker over a directory, whose credentials are named with hasher.
func New(directory Directory, hasher rest.Hasher, options ...Option) *Checker {
	c := &Checker{directory: directory, hasher: hasher, clock: time.Now, queue: 256, patience: 5 * time.Second, outcome: func(Outcome) {}}
	WithMemory(65_536, 5*time.Minute)(c)
	WithPace(100, time.Millisecond)(c)
	WithLimits(100, 50, 100*time.Millisecond, 200*time.Millisecond)(c)
	for _, o := range options {
		o(c)
	}
	_, _ = rand.Read(c.key[:]) // never fails (crypto/rand)
	c.hashing = make(chan struct{}, hashesAtOnce())
	c.nobody = phc{memoryKiB, passes, lanes, make([]byte, saltBytes), make([]byte, sumBytes)}
	return c
}

// hashesAtOnce is at most two, and at most half of the processors, so that guessing leaves the other half to others.
func hashesAtOnce() int { return min(2, max(1, runtime.GOMAXPROCS(0)/2)) }

// Check finds out who has the access key and the secret, as of the position at least: pass the store's head as of the
// request's arrival, so that a credential changed before it counts. Address is where the request comes from. It fails
// with ErrUnknown, or with *rest.BusyError if this caller has to come back later.
func (c *Checker) Check(ctx context.Context, at domain.Position, address, accessKey, secret string) (commands.Principal, error) {
	if err := c.upToDate(ctx, at); err != nil {
		return commands.Principal{}, err
	}
	p, err := c.find(ctx, address, accessKey, secret)
	c.outcome(outcomeOf(err))
	if err != nil {
		c.pace(ctx, rest.Source(address))
	}
	return p, err
}

// upToDate waits a bounded time until the directory knows all that happened up to a position.
func (c *Checker) upToDate(ctx context.Context, at domain.Position) error {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	return c.directory.Wait(ctx, at)
}

// pace holds back who fails too often.
func (c *Checker) pace(ctx context.Context, from string) {
	now := c.clock()
	c.paces.fail(from, now)
	wait := min(c.paces.wait(from, now), 2*time.Second)
	if wait == 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// find is Check, without waiting.
func (c *Checker) find(ctx context.Context, address, accessKey, secret string) (commands.Principal, error) {
	id := CredentialID(c.hasher, accessKey)
	holder, ok := c.directory.Credential(id)
	held := bond{holder.ID, holder.Revision}
	d := c.digest(accessKey, secret)
	now := c.clock()
	if _, known := c.wrong.recall(d, held, now); known {
		return commands.Principal{}, ErrUnknown
	}
	if right, known := c.known.recall(d, held, now); known && right {
		return principal(holder), nil
	}
	if err := c.hash(ctx, holder, ok, d, rest.Source(address), id, secret); err != nil {
		return commands.Principal{}, err
	}
	return principal(holder), nil
}

func principal(holder account.Credential) commands.Principal {
	return commands.Principal{Credential: holder.ID, Origin: holder.Origin, Root: holder.Origin == ""}
}

// digest is what a pair is remembered by. The length keeps ("a", "b:c") apart from ("a:b", "c").
func (c *Checker) digest(accessKey, secret string) (d digest) {
	h := hmac.New(sha256.New, c.key[:])
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(accessKey)))
	h.Write(length[:])
	h.Write([]byte(accessKey))
	h.Write([]byte(secret))
	h.Sum(d[:0])
	return d
}

// hash does the expensive check, in its turn, and remembers what came of it.
func (c *Checker) hash(ctx context.Context, holder account.Credential, ok bool, d digest, from, id, secret string) error {
	if err := c.limited(from, id); err != nil {
		return err
	}
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	held := bond{holder.ID, holder.Revision}
	if right, known := c.known.recall(d, held, c.clock()); known && right { // another request was faster
		return nil
	}
	if err := c.limited(from, id); err != nil { // others may have failed while this one waited
		return err
	}
	right := c.against(holder, ok).matches(secret) && ok
	now := c.clock()
	if right {
		c.known.remember(d, held, true, now)
		return nil
	}
	c.wrong.remember(d, held, false, now)
	c.sources.fail(from, now)
	c.keys.fail(id, now)
	return ErrUnknown
}

// against is the hash to check against; where there is none, one that nothing matches and that costs the same.
func (c *Checker) against(holder account.Credential, ok bool) phc {
	if !ok {
		return c.nobody
	}
	h, err := parse(holder.SecretHash)
	if err != nil {
		return c.nobody
	}
	return h
}

func (c *Checker) limited(from, id string) error {
	now := c.clock()
	if wait := max(c.sources.wait(from, now), c.keys.wait(id, now)); wait > 0 {
		return &rest.BusyError{With: "failed sign-ins", After: wait}
	}
	return nil
}

// enter waits until one more hash may be computed.
func (c *Checker) enter(ctx context.Context) error {
	busy := &rest.BusyError{With: "sign-ins", After: time.Second}
	if c.queued.Add(1) > c.queue {
		c.queued.Add(-1)
		return busy
	}
	defer c.queued.Add(-1)
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	select {
	case c.hashing <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return busy
}

func (c *Checker) leave() { <-c.hashing }

// Hash is Hash in its turn, for credentials that are made or changed through the API.
func (c *Checker) Hash(ctx context.Context, secret string) (string, error) {
	if err := c.enter(ctx); err != nil {
		return "", err
	}
	defer c.leave()
	return Hash(secret), nil
}
