package signin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
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
	directory  Directory
	hasher     rest.Hasher
	clock      func() time.Time
	key        [32]byte // of the digests; drawn anew by each process
	known      *memory
	wrong      *memory
	tokens     *memory // that are no API key's: of their own, because they cost a guesser nothing
	sources    *limiter
	paces      *limiter
	guesses    *guesses
	acquainted *acquaintances
	turns      turns
	outcome    func(Outcome)
	nobody     string // what the secret of an unknown access key is checked against
}

// Option changes a default of a Checker.
type Option func(*Checker)

// WithClock sets the clock. The default is time.Now.
func WithClock(now func() time.Time) Option { return func(c *Checker) { c.clock = now } }

// WithMemory sets how many verified and how many failed pairs are remembered, and after what time a verified one is
// hashed again. The default is 65,536 each, and five minutes.
func WithMemory(pairs int, ttl time.Duration) Option {
	return func(c *Checker) {
		c.known, c.wrong, c.tokens = newMemory(pairs, ttl), newMemory(pairs, ttl), newMemory(pairs/4, ttl)
	}
}

// WithLimit sets how many failures in a row a source may have, and how often one more. The default is 100 and ten a
// second. What an access key may have is in guess.go.
func WithLimit(burst int, every time.Duration) Option {
	return func(c *Checker) { c.sources = newLimiter(burst, every, 16_384) }
}

// WithPace sets how many failures in a row a source is told of at once, and how often one more. Further ones are told
// of late, by two seconds at most, so that guessing at full rate leaves the server to others. The default is 100 and a
// thousand a second.
func WithPace(burst int, every time.Duration) Option {
	return func(c *Checker) { c.paces = newLimiter(burst, every, 16_384) }
}

// WithQueue sets how many callers may wait for their secret to be hashed, and how long. The default is 256 and 5 s.
func WithQueue(callers int, patience time.Duration) Option {
	return func(c *Checker) { c.turns.most, c.turns.patience = callers, patience }
}

// New returns a Checker over a directory, whose credentials are named with hasher.
func New(directory Directory, hasher rest.Hasher, options ...Option) *Checker {
	c := &Checker{directory: directory, hasher: hasher, clock: time.Now, outcome: func(Outcome) {}}
	c.acquainted = newAcquaintances(hasher)
	c.guesses = newGuesses(c.acquainted)
	WithQueue(256, 5*time.Second)(c)
	WithMemory(65_536, 5*time.Minute)(c)
	WithPace(100, time.Millisecond)(c)
	WithLimit(100, 100*time.Millisecond)(c)
	c.nobody = phc{memoryKiB, passes, lanes, make([]byte, saltBytes), make([]byte, sumBytes)}.String()
	for _, o := range options {
		o(c)
	}
	_, _ = rand.Read(c.key[:]) // never fails (crypto/rand)
	c.turns.free = hashesAtOnce()
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
	if c.wrong.recall(d, held, now) != forgotten { // what is wrong stays so until the credential changes
		return commands.Principal{}, ErrUnknown
	}
	a := attempt{id: id, held: ok, from: rest.Source(address), digest: d}
	known := c.known.recall(d, held, now)
	if known != rememberedNow {
		if err := c.hash(ctx, holder, a, known == rememberedOnce, secret); err != nil {
			return commands.Principal{}, err
		}
	}
	if c.known.movedTo(d, a.from) {
		c.acquainted.add(id, a.from)
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

// hash does the expensive check, in its turn, and remembers what came of it. A pair that was right before, as of the
// same revision, is nobody's guess: only the verdict has grown old.
func (c *Checker) hash(ctx context.Context, holder account.Credential, a attempt, before bool, secret string) error {
	expected := before || c.acquainted.has(a.id, a.from)
	if err := c.limited(a, before, expected); err != nil {
		return err
	}
	if err := c.turns.enter(ctx, expected); err != nil {
		return err
	}
	defer c.turns.leave()
	held := bond{holder.ID, holder.Revision}
	if c.known.recall(a.digest, held, c.clock()) == rememberedNow { // another request was faster
		return nil
	}
	paid, err := c.pay(a, before)
	if err != nil { // others may have failed while this one waited
		return err
	}
	right := c.against(holder, a.held).matches(secret) && a.held
	now := c.clock()
	if right {
		c.guesses.back(a, paid)
		c.known.remember(a.digest, held, now)
		return nil
	}
	c.wrong.remember(a.digest, held, now)
	c.sources.fail(a.from, now)
	return ErrUnknown
}

// limited tells those to come back later who have failed too often, before they take a place in the queue.
func (c *Checker) limited(a attempt, before, expected bool) error {
	if before {
		return nil
	}
	now := c.clock()
	wait := c.guesses.wait(a, now)
	if !expected {
		wait = max(wait, c.sources.wait(a.from, now))
	}
	return heldBack(wait)
}

func (c *Checker) pay(a attempt, before bool) (coin, error) {
	if before {
		return coin{}, nil
	}
	paid, wait := c.guesses.pay(a, c.clock())
	return paid, heldBack(wait)
}

// longestHold bounds what clients are told to wait, so that they do not give up for the day.
const longestHold = time.Minute

func heldBack(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return &rest.BusyError{With: "failed sign-ins", After: min(wait, longestHold)}
}

// against is the hash to check against; where there is none, one that nothing matches and that costs the same.
func (c *Checker) against(holder account.Credential, held bool) phc {
	stored := c.nobody
	if held {
		stored = holder.SecretHash
	}
	h, err := parse(stored)
	if err != nil {
		h, _ = parse(c.nobody) // which is well formed
	}
	return h
}

// Hash is Hash in its turn, for credentials that are made or changed through the API.
func (c *Checker) Hash(ctx context.Context, secret string) (string, error) {
	if err := c.turns.enter(ctx, true); err != nil {
		return "", err
	}
	defer c.turns.leave()
	return Hash(secret), nil
}
