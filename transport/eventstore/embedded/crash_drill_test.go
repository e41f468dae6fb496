package embedded_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files/faultfs"
)

// TestCrashPoints lets the power go at every call that a store makes to the file system, from its founding on, and then
// again and again in the later life of many stores; also while they recover. After each crash, whatever the disk was left
// with, the store opens and holds what the ledger says.
func TestCrashPoints(t *testing.T) {
	var y tally
	y.everyCall(t)
	for seed := uint64(1); y.points < scale(2200, 20_000); seed++ {
		y.manyLives(t, seed)
	}
	y.report(t)
}

// everyCall crashes a young store at its first call, its second, and so on, until its work is done before the crash.
func (y *tally) everyCall(t *testing.T) {
	for at, done := 1, false; !done; at++ {
		chain := chain{t: t, y: y, rng: rand.New(rand.NewPCG(uint64(at), 3)), sys: faultfs.New(uint64(at)), ledger: newLedger()}
		done = !chain.armed(at, 3, 20)
		chain.recovered()
	}
}

// manyLives crashes one store again and again. Every crash finds a longer log: full segments, runs, merged runs.
func (y *tally) manyLives(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 4))
	chain := chain{t: t, y: y, rng: rng, sys: faultfs.New(seed), ledger: newLedger()}
	for range 20 {
		at := 1 + rng.IntN(60)
		if rng.IntN(4) == 0 {
			at = 1 + rng.IntN(8) // while it recovers
		}
		chain.armed(at, 4, 8)
		chain.recovered()
	}
}

// chain is a store that lives, loses power, and lives again.
type chain struct {
	t      *testing.T
	y      *tally
	rng    *rand.Rand
	sys    *faultfs.FS
	ledger *ledger
	life   uint32
}

// armed is a life that ends at a call. It is false if all was done before that call came.
func (c *chain) armed(at, writers, appends int) bool {
	c.life++
	c.sys.CrashAt(at)
	err := c.live(writers, appends)
	if !c.sys.Crashed() {
		if err != nil {
			c.y.violation(c.t, "life %d failed without a crash: %v", c.life, err)
		}
		c.sys.Crash()
		return false
	}
	op, name := c.sys.CrashedAt()
	c.y.point(op + " " + path.Ext(strings.TrimSuffix(name, ".new")))
	return true
}

// live opens, works, sometimes is quiet for a while, sometimes makes a backup, and closes.
func (c *chain) live(writers, appends int) error {
	store, err := embedded.Open(c.sys, small())
	if err != nil {
		return err
	}
	if err := c.ledger.work(context.Background(), store, c.life, writers, appends); err != nil {
		c.expectStopped(store, err)
		return errors.Join(err, store.Close())
	}
	if c.rng.IntN(30) == 0 {
		time.Sleep(70 * time.Millisecond) // a watermark is written
	}
	return store.Close()
}

// expectStopped: once a write has failed, nothing is accepted any more. Without power reads fail as well, and an append
// that has to read before it can be decided fails with that.
func (c *chain) expectStopped(store *embedded.Store, cause error) {
	if !stopped(cause) {
		c.y.violation(c.t, "append failed with %v; want that the store has stopped", cause)
	}
	_, err := store.Append(context.Background(), "late-1", domain.Any, appendKey{life: 1 << 31}.records())
	if !stopped(err) {
		c.y.violation(c.t, "append after the failure = %v; want that the store has stopped", err)
	}
}

func stopped(err error) bool {
	return errors.Is(err, domain.ErrStoreFailed) || errors.Is(err, faultfs.ErrCrashed)
}

// recovered brings the power back, compares the store with the ledger, sends again what was not acknowledged and
// compares again. Then the store is closed or loses power once more.
func (c *chain) recovered() {
	c.t.Helper()
	seed := c.rng.Uint64()
	c.sys = c.sys.Restart(seed)
	store, err := c.y.open(c.sys, small())
	if err != nil {
		c.y.violation(c.t, "life %d: open after a crash: %v", c.life, err)
		c.t.FailNow()
	}
	if err := c.ledger.check(c.t.Context(), store); err != nil {
		c.y.violation(c.t, "life %d, after a crash: %v", c.life, err)
	}
	if err := c.ledger.retry(c.t.Context(), store); err != nil {
		c.y.violation(c.t, "life %d: %v", c.life, err)
	}
	if err := c.ledger.checkNew(c.t.Context(), store); err != nil {
		c.y.violation(c.t, "life %d, after sending again: %v", c.life, err)
	}
	if c.rng.IntN(2) == 0 {
		c.sys.Crash()
	}
	if err := store.Close(); err != nil && !c.sys.Crashed() {
		c.y.violation(c.t, "life %d: close: %v", c.life, err)
	}
	if c.sys.Crashed() {
		c.sys = c.sys.Restart(seed + 1)
	}
}
