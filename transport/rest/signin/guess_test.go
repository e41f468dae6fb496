package signin_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"strandline/domain"
	"strandline/transport/rest"
	"strandline/transport/rest/signin"
)

// from checks a pair from an address.
func (w *world) from(address, accessKey, secret string) error {
	_, err := w.Check(w.Context(), domain.Position{}, address, accessKey, secret)
	return err
}

// attack is guessing at one access key from a thousand addresses, each secret another one, evenly over time.
type attack struct {
	*world
	key       string
	pause     time.Duration // from one guess to the next
	guesses   int
	evaluated int
}

// guess makes n guesses. Those that are not held back have been hashed, because no secret comes twice.
func (a *attack) guess(n int) {
	a.Helper()
	var busy *rest.BusyError
	for range n {
		a.guesses++
		err := a.from(fmt.Sprintf("198.51.%d.%d", a.guesses%1000/250, a.guesses%250), a.key, fmt.Sprint("guess ", a.guesses))
		switch {
		case errors.Is(err, signin.ErrUnknown):
			a.evaluated++
		case !errors.As(err, &busy) || busy.After <= 0 || busy.After > time.Minute:
			a.Fatalf("guess %d: %v, want it refused or held back for a minute at most", a.guesses, err)
		}
		a.clock.pass(a.pause)
	}
}

// getsIn tries as a client does that comes back when it is told to, while the attack goes on, and returns how long it took.
func (a *attack) getsIn(address, secret string) time.Duration {
	a.Helper()
	begin := a.clock.time()
	for a.clock.time().Sub(begin) < time.Hour {
		err := a.from(address, a.key, secret)
		if err == nil {
			return a.clock.time().Sub(begin)
		}
		var busy *rest.BusyError
		if !errors.As(err, &busy) {
			a.Fatalf("the owner: %v", err)
		}
		for again := a.clock.time().Add(busy.After); a.clock.time().Before(again); {
			a.guess(1)
		}
	}
	return time.Hour
}

// TestHundredThousandGuesses guesses a hundred thousand times in a day, from a thousand addresses, at one account. The
// owner gets in at any time: at once from where she has been before, and from elsewhere in seconds.
func TestHundredThousandGuesses(t *testing.T) {
	guesses := 100_000
	if slowed {
		guesses /= 10
	}
	w := newWorld(t, signin.Cheaply())
	w.set("owner", "U0000000001", signin.Cheap("right"), 0)
	w.expect("the owner before", "owner", "right", false, nil) // from 192.0.2.1
	a := &attack{world: w, key: "owner", pause: 24 * time.Hour / time.Duration(guesses)}
	var known, stranger time.Duration
	for hour := range 24 { // her verdict grows old a dozen times between two of these
		a.guess(guesses / 25)
		known = max(known, a.getsIn("192.0.2.1", "right"))
		if hour == 12 {
			stranger = a.getsIn("203.0.113.7", "right") // a new telephone; the verdict is remembered
		}
	}
	a.guess(max(0, guesses-a.guesses))
	t.Logf("%d guesses from 1,000 addresses in a day: %d evaluated; the owner waits %s where she is known, %s elsewhere", a.guesses, a.evaluated, known, stranger)
	if a.evaluated >= 100 || known > 0 || stranger > 0 {
		t.Error("want fewer than 100, and no waiting for the owner")
	}
}

// TestGuessingAfterARestart is the same where the process knows nothing but from where the owner has been: she is heard at
// once from there, and in seconds from anywhere else, although the strangers' purse is as empty as the attack can make it.
func TestGuessingAfterARestart(t *testing.T) {
	before := newWorld(t, signin.Cheaply())
	before.set("owner", "U0000000001", signin.Cheap("right"), 0)
	before.expect("the owner before", "owner", "right", false, nil)
	var kept bytes.Buffer
	if err := before.SaveAcquaintances(&kept); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		address string
		most    time.Duration
	}{
		"from where she has been": {"192.0.2.1", 0},
		"from where she has not":  {"203.0.113.7", 10 * time.Second},
	} {
		w := newWorld(t, signin.Cheaply())
		w.set("owner", "U0000000001", signin.Cheap("right"), 0)
		if err := w.LoadAcquaintances(bytes.NewReader(kept.Bytes())); err != nil {
			t.Fatal(err)
		}
		a := &attack{world: w, key: "owner", pause: 100 * time.Millisecond}
		a.guess(5_000)
		took := a.getsIn(tt.address, "right")
		t.Logf("the owner %s gets in after %s; %d of %d guesses evaluated", name, took, a.evaluated, a.guesses)
		if took > tt.most || a.evaluated >= 100 {
			t.Errorf("the owner %s gets in after %s, want at most %s", name, took, tt.most)
		}
	}
}

// TestGuessingFromTheOwnersAddress empties the purse of acquaintances: it is not endless either, and strangers' patience
// still leads in.
func TestGuessingFromTheOwnersAddress(t *testing.T) {
	w := newWorld(t, signin.Cheaply())
	w.set("owner", "U0000000001", signin.Cheap("right"), 0)
	w.expect("the owner before", "owner", "right", false, nil)
	evaluated := 0
	for n := range 2000 {
		if errors.Is(w.from("192.0.2.1", "owner", fmt.Sprint("guess ", n)), signin.ErrUnknown) {
			evaluated++
		}
		w.clock.pass(time.Second)
	}
	if evaluated == 0 || evaluated > 50 {
		t.Errorf("%d guesses evaluated, want some, of both purses", evaluated)
	}
	w.expect("the owner", "owner", "right", false, nil)
	w.clock.pass(time.Hour)
	w.expect("the owner, when the verdict is old", "owner", "right", false, nil)
}

// TestOldSecretCostsOnce: a device that keeps trying a secret which has been changed spends one coin, not all of them.
func TestOldSecretCostsOnce(t *testing.T) {
	w := newWorld(t, signin.Cheaply())
	w.set("owner", "U0000000001", signin.Cheap("new"), 7)
	for range 500 {
		w.expect("a device with the old secret", "owner", "old", false, signin.ErrUnknown)
		w.clock.pass(10 * time.Minute)
	}
	w.expect("the owner", "owner", "new", false, nil)
}

// TestNobodyIsGuessedAtTheSame guesses at an access key that nobody has, and is told the same.
func TestNobodyIsGuessedAtTheSame(t *testing.T) {
	w := newWorld(t, signin.Cheaply())
	w.set("owner", "U0000000001", signin.Cheap("right"), 0)
	said := map[string][]string{}
	for n := range 3000 {
		for _, key := range []string{"owner", "nobody"} {
			said[key] = append(said[key], fmt.Sprint(w.from(fmt.Sprintf("198.51.100.%d", n%100), key, fmt.Sprint(n/200))))
		}
		w.clock.pass(time.Second)
	}
	for n := range said["owner"] {
		if said["owner"][n] != said["nobody"][n] {
			t.Fatalf("guess %d: %q at somebody, %q at nobody", n, said["owner"][n], said["nobody"][n])
		}
	}
}

// TestGuessingAtOthersFillsNoPurse guesses at so many access keys of nobody that those are forgotten.
func TestGuessingAtOthersFillsNoPurse(t *testing.T) {
	w := newWorld(t, signin.Cheaply())
	w.set("owner", "U0000000001", signin.Cheap("right"), 0)
	a := &attack{world: w, key: "owner", pause: time.Millisecond}
	a.guess(1000)
	before := a.evaluated
	w.Forget()
	if a.guess(1000); a.evaluated != before {
		t.Errorf("%d more guesses evaluated after many at others", a.evaluated-before)
	}
}

// TestClockPutBack puts the clock back after failures: nobody waits longer for it than an empty purse takes.
func TestClockPutBack(t *testing.T) {
	for _, back := range []time.Duration{time.Hour, 10 * 365 * 24 * time.Hour} {
		w := newWorld(t, signin.Cheaply(), signin.WithLimit(2, time.Second))
		w.set("owner", "U0000000001", signin.Cheap("right"), 0)
		w.expect("the owner before", "owner", "right", false, nil)
		a := &attack{world: w, key: "owner", pause: time.Second}
		a.guess(2000)
		w.clock.pass(-back)
		if took := a.getsIn("192.0.2.1", "right"); took > 0 {
			t.Errorf("%s back: the owner waits %s", back, took)
		}
		for n := range 2 {
			_ = w.from("203.0.113.9", fmt.Sprint("somebody", n), "x")
		}
		w.clock.pass(-back)
		_ = w.from("203.0.113.9", "somebody", "x") // now the server notices
		w.clock.pass(30 * time.Second)
		if err := w.from("203.0.113.9", "somebody else", "x"); !errors.Is(err, signin.ErrUnknown) {
			t.Errorf("%s back, and half a minute later: %v, want the source's limit to be over", back, err)
		}
	}
}

// TestAcquaintances holds what is kept to be read back, and to say nothing of addresses.
func TestAcquaintances(t *testing.T) {
	w := newWorld(t, signin.Cheaply())
	w.set("owner", "U0000000001", signin.Cheap("right"), 0)
	for n := range 40 { // more than are remembered
		if err := w.from(fmt.Sprintf("192.0.2.%d", n), "owner", "right"); err != nil {
			t.Fatal(err)
		}
	}
	var kept, again bytes.Buffer
	if !w.Changed() || w.SaveAcquaintances(&kept) != nil || w.Changed() {
		t.Error("want a change, and none once it is saved")
	}
	if len(kept.String()) > 400 || bytes.Contains(kept.Bytes(), []byte("192.0")) {
		t.Errorf("kept %q", kept.String())
	}
	other := newWorld(t, signin.Cheaply())
	if err := other.LoadAcquaintances(bytes.NewReader(kept.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := other.SaveAcquaintances(&again); err != nil || again.String() != kept.String() {
		t.Errorf("read back as %q, %v; want %q", again.String(), err, kept.String())
	}
	for _, broken := range []string{"x", "x y", "x 00", "x " + kept.String()[:0] + "zzzzzzzzzzzzzzzz", "\x00"} {
		if err := other.LoadAcquaintances(bytes.NewReader([]byte(broken))); err == nil {
			t.Errorf("%q was read", broken)
		}
	}
}
