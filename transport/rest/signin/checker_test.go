package signin_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// directory is a signin.Directory in a map, and the hasher that names its credentials.
type directory struct {
	mu          sync.Mutex
	credentials map[string]account.Credential
	apiKeys     map[string]apikey.Key
}

func (d *directory) Credential(id string) (account.Credential, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.credentials[id]
	return c, ok
}

func (d *directory) APIKey(id string) (apikey.Key, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.apiKeys[id]
	return k, ok
}

func (d *directory) Wait(context.Context, domain.Position) error { return nil }
func (d *directory) Hash(purpose, text string) [32]byte {
	return sha256.Sum256([]byte(purpose + "\x00" + text))
}

func (d *directory) set(accessKey, origin, secretHash string, revision uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := signin.CredentialID(d, accessKey)
	d.credentials[id] = account.Credential{ID: id, Origin: origin, AccessKey: accessKey, SecretHash: secretHash, Revision: revision}
}

func (d *directory) remove(accessKey string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.credentials, signin.CredentialID(d, accessKey))
}

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type world struct {
	*testing.T
	*directory
	*signin.Checker
	clock *clock
}

func newWorld(t *testing.T, options ...signin.Option) *world {
	w := &world{T: t, directory: &directory{credentials: map[string]account.Credential{}}, clock: &clock{now: time.Unix(1e9, 0)}}
	w.Checker = signin.New(w.directory, w.directory, append([]signin.Option{signin.WithClock(w.clock.time)}, options...)...)
	return w
}

func (w *world) check(accessKey, secret string) (commands.Principal, error) {
	return w.Check(w.Context(), domain.Position{}, "192.0.2.1", accessKey, secret)
}

// cheapest is less than any hash takes.
const cheapest = 5 * time.Millisecond

// expect checks a pair and what comes of it; fast tells that it must have been remembered. It is then asked for a few
// times, since the machine may have other work just once.
func (w *world) expect(what, accessKey, secret string, fast bool, err error) {
	w.Helper()
	took := time.Hour
	for attempt := 0; attempt == 0 || fast && attempt < 5 && took > cheapest; attempt++ {
		start := time.Now()
		p, got := w.check(accessKey, secret)
		took = min(took, time.Since(start))
		if !errors.Is(got, err) {
			w.Errorf("%s: Check(%s, %s) = %+v, %v; want %v", what, accessKey, secret, p, got, err)
		}
	}
	if fast && took > cheapest {
		w.Errorf("%s took %v, want it remembered", what, took)
	}
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	first, second := signin.Hash("first"), signin.Hash("second")
	w.set("p", "U0000000001", first, 0)

	w.expect("first time", "p", "first", false, nil)
	w.expect("second time", "p", "first", true, nil)
	w.expect("wrong secret", "p", "second", false, signin.ErrUnknown)
	w.expect("wrong secret again", "p", "second", true, signin.ErrUnknown)
	w.expect("unknown key", "q", "first", false, signin.ErrUnknown)

	w.set("p", "U0000000001", second, 1)
	w.expect("old secret after a change", "p", "first", false, signin.ErrUnknown)
	w.expect("new secret after a change", "p", "second", false, nil)

	w.remove("p")
	w.expect("deleted", "p", "second", false, signin.ErrUnknown)
	w.set("p", "U0000000002", second, 3)
	w.expect("the key of another", "p", "second", false, nil)
	if p, err := w.check("p", "second"); err != nil || p.Origin != "U0000000002" || p.Root || p.Anonymous {
		t.Errorf("principal %+v, %v", p, err)
	}
	w.clock.pass(time.Hour)
	w.expect("after the memory has expired", "p", "second", false, nil)
}

func TestRootPrincipal(t *testing.T) {
	w := newWorld(t)
	w.set("admin", "", signin.Hash("s"), 0)
	p, err := w.check("admin", "s")
	if err != nil || !p.Root || p.Credential != signin.CredentialID(w.directory, "admin") {
		t.Errorf("Check = %+v, %v", p, err)
	}
}

// TestUnknownCostsTheSame compares what a wrong secret and an unknown access key cost. They take turns, and the best
// round of each counts, because the machine has other work too.
func TestUnknownCostsTheSame(t *testing.T) {
	w := newWorld(t)
	w.set("p", "U0000000001", signin.Hash("s"), 0)
	wrong, unknown := time.Hour, time.Hour
	for round := 0; round < 4 || round < 20 && (wrong > 2*unknown || unknown > 2*wrong); round++ {
		wrong = min(wrong, w.failure("p", round))
		unknown = min(unknown, w.failure("nobody", round))
	}
	t.Logf("a wrong secret takes %v, an unknown access key %v", wrong, unknown)
	if wrong > 2*unknown || unknown > 2*wrong {
		t.Errorf("a wrong secret takes %v, an unknown access key %v", wrong, unknown)
	}
}

// failure is how long a check takes that fails.
func (w *world) failure(accessKey string, round int) time.Duration {
	start := time.Now()
	w.expect(accessKey, accessKey, fmt.Sprint("wrong ", round), false, signin.ErrUnknown)
	return time.Since(start)
}

// TestLimits lets failures run into the limit of a source, while one who is known signs in from there.
func TestLimits(t *testing.T) {
	w := newWorld(t, signin.WithLimit(3, time.Second))
	w.set("p", "U0000000001", signin.Hash("s"), 0)
	w.expect("before", "p", "s", false, nil)
	for i := range 3 {
		w.expect("a guess", fmt.Sprint("k", i), "x", false, signin.ErrUnknown)
	}
	var busy *rest.BusyError
	if _, err := w.check("k4", "x"); !errors.As(err, &busy) || busy.After <= 0 || busy.After > time.Second {
		t.Errorf("a guess too many: %v, want *rest.BusyError", err)
	}
	w.expect("who is known", "p", "s", true, nil)
	w.expect("a guess that is known to be wrong", "k1", "x", true, signin.ErrUnknown)
	w.clock.pass(time.Second)
	w.expect("a guess after a second", "k5", "x", false, signin.ErrUnknown)
}

// TestQueue has more callers than may wait.
func TestQueue(t *testing.T) {
	w := newWorld(t, signin.WithQueue(2, time.Minute))
	var all sync.WaitGroup
	var mu sync.Mutex
	turned := 0
	for i := range 30 {
		all.Go(func() {
			var busy *rest.BusyError
			if _, err := w.check(fmt.Sprint("k", i), "x"); errors.As(err, &busy) {
				mu.Lock()
				turned++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if turned == 0 || turned == 30 {
		t.Errorf("%d of 30 turned away, want some", turned)
	}
}

// TestGuessing measures how much slower a known caller becomes while others guess as fast as they can (decision 22).
// Alone and beside them take turns, and the best round of each counts, since the machine has other work too.
func TestGuessing(t *testing.T) {
	w := newWorld(t)
	w.set("p", "U0000000001", signin.Hash("s"), 0)
	w.expect("before", "p", "s", false, nil)
	alone, beside := time.Hour, time.Hour
	for round := 0; round < 4 || !slowed && round < 20 && beside > 2*alone; round++ {
		alone = min(alone, w.known(2000))
		stop := w.guess(round)
		beside = min(beside, w.known(2000))
		stop()
	}
	t.Logf("a known caller takes %v alone, %v beside four guessers", alone, beside)
	if beside > 2*alone+time.Microsecond && !slowed {
		t.Errorf("a known caller takes %v beside guessers, %v alone", beside, alone)
	}
}

// known is how long one of many checks of a known caller takes.
func (w *world) known(checks int) time.Duration {
	start := time.Now()
	for range checks {
		if _, err := w.check("p", "s"); err != nil {
			w.Fatal(err)
		}
	}
	return time.Since(start) / time.Duration(checks)
}

// guess lets four sources guess, until the returned function is called.
func (w *world) guess(round int) func() {
	ctx, stop := context.WithCancel(w.Context())
	var guessers sync.WaitGroup
	for g := range 4 {
		guessers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, _ = w.Check(ctx, domain.Position{}, fmt.Sprintf("192.0.2.%d", g), fmt.Sprintf("k%d-%d-%d", round, g, i), "x")
				time.Sleep(100 * time.Microsecond) // what HTTP costs a guesser at least
			}
		})
	}
	return func() { stop(); guessers.Wait() }
}

func TestHash(t *testing.T) {
	a, b := signin.Hash("s"), signin.Hash("s")
	if a == b || !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("Hash = %q, %q; want two salts and the cost of 19 MiB, 2, 1", a, b)
	}
}

// TestBrokenHash makes sure that a hash which cannot be read lets nobody in.
func TestBrokenHash(t *testing.T) {
	good := signin.Hash("s")
	for _, broken := range []string{
		"", "s", "$argon2id$", good[:len(good)-40], strings.Replace(good, "argon2id", "argon2i", 1),
		strings.Replace(good, "m=19456", "m=99999999", 1), strings.Replace(good, "t=2", "t=0", 1), good + "$",
	} {
		w := newWorld(t)
		w.set("p", "U0000000001", broken, 0)
		w.expect(broken, "p", "s", false, signin.ErrUnknown)
	}
}

func BenchmarkKnown(b *testing.B) {
	d := &directory{credentials: map[string]account.Credential{}}
	d.set("p", "U0000000001", signin.Hash("s"), 0)
	c := signin.New(d, d)
	for b.Loop() {
		if _, err := c.Check(b.Context(), domain.Position{}, "192.0.2.1", "p", "s"); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzHash looks for stored hashes that take the server down.
func FuzzHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=-1,t=0,p=999$$")
	f.Fuzz(func(t *testing.T, text string) {
		memory, passes, err := signin.Cost(text)
		if err == nil && (memory > 256*1024 || passes > 16 || passes == 0) {
			t.Errorf("%q costs %d KiB, %d passes", text, memory, passes)
		}
	})
}

// TestOutcomes has an observer told of every attempt, and how it ended.
func TestOutcomes(t *testing.T) {
	var told []signin.Outcome
	w := newWorld(t, signin.WithObserver(func(o signin.Outcome) { told = append(told, o) }), signin.WithLimit(1, time.Hour))
	w.set("key", "U1", signin.Hash("secret"), 1)
	for n, secret := range []string{"secret", "wrong", "wronger"} {
		_ = w.from(fmt.Sprint("192.0.2.", min(n, 1)), "key", secret)
	}
	if want := []signin.Outcome{signin.Accepted, signin.Refused, signin.Held}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
