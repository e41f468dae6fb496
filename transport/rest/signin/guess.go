package signin

import (
	"container/list"
	"sync"
	"time"
)

// What may be found out by trying secrets against one access key. However many try from however many addresses, fewer
// than a hundred wrong secrets a day are hashed: those of strangers and those of acquaintances come to 99 at most.
const (
	strangersBurst = 40 // wrong secrets at once, from sources that this access key has never been used from
	strangersADay  = 20 // and how many more a day

	acquaintedBurst = 20 // the same from sources that it has been used from
	acquaintedADay  = 19

	unhurried  = 20 // so many of the strangers' burst need no patience…
	unhurriedA = 10 // …and so many of those from any one source
)

// Patience is how long a stranger has to stand by one secret, once the access key is under attack. It doubles with each
// further secret from the same source.
const (
	leastPatience = 2 * time.Second
	mostPatience  = 10 * time.Minute
)

// Bounds on memory.
const (
	mostUnknown  = 16_384 // access keys of nobody
	mostVisitors = 65_536 // pairs of access key and source
)

// guesses slows guessing down for each access key and source, so that whoever has the secret still gets in.
//
// What is hashed is paid for where it turns out wrong, from one of two purses of the access key: that of its
// acquaintances, the sources that it has been used from with success, and that of strangers. So strangers can empty
// their own purse only: from where the owner has been before, the owner is heard at once.
//
// The first half of the strangers' purse is spent freely. The rest is for the patient: a secret is hashed only if the same
// source has asked for the same one before, long enough ago. The owner asks again with the same secret, as a client told
// to come back does, and gets in seconds later; who tries one secret after the other never gets there. Should an
// attacker be as patient from as many sources, strangers share what comes in by the day, and the owner had better come
// from a source that is known. An access key of nobody is treated the same, so that nothing is learnt from it.
type guesses struct {
	mu       sync.Mutex
	known    *acquaintances
	real     map[string]*purses       // of access keys that somebody has, as far as they are not full
	unknown  map[string]*list.Element // of *purses of others; the one that was spent from longest ago goes first
	spent    list.List
	visitors map[visit]*list.Element // of *visitor; who came longest ago goes first
	came     list.List
}

// attempt is a pair of access key and secret that somebody asks about.
type attempt struct {
	id     string // of the credential
	held   bool   // somebody has it
	from   string // source
	digest digest
}

// purses are what one access key has for wrong secrets.
type purses struct {
	id                    string
	strangers, acquainted purse
}

// purse fills by one each interval, and is kept as the time at which it will be full.
type purse struct{ full time.Time }

const (
	strangersEvery  = 24 * time.Hour / strangersADay
	acquaintedEvery = 24 * time.Hour / acquaintedADay
)

// wait is how long it takes until the purse is no emptier than burst-1 coins from full. A clock that was put back does
// not make it wait longer than an empty purse would.
func (p *purse) wait(now time.Time, burst, size int, every time.Duration) time.Duration {
	if most := now.Add(time.Duration(size) * every); p.full.After(most) {
		p.full = most
	}
	return max(0, max(0, p.full.Sub(now))-time.Duration(burst-1)*every)
}

func (p *purse) spend(now time.Time, every time.Duration) {
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(every)
}

type visit struct{ id, from string }

// visitor is a source that has asked about an access key, and has not been right yet.
type visitor struct {
	visit
	hashed  int       // secrets that needed no patience
	digest  digest    // the last secret that was not hashed
	since   time.Time // when it was asked about first
	secrets int       // how many such there have been
}

func newGuesses(known *acquaintances) *guesses {
	return &guesses{known: known, real: map[string]*purses{}, unknown: map[string]*list.Element{}, visitors: map[visit]*list.Element{}}
}

// coin pays for a hash. It is given back if the secret is right.
type coin struct {
	purse *purse
	every time.Duration
	freed *visitor // who needed no patience for it, or nil
}

// wait is how long an attempt has to wait before it may be hashed: zero if it may now. Attempts that wait are remembered,
// since patience counts.
func (g *guesses) wait(a attempt, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, wait := g.purse(a, now)
	return wait
}

// pay pays for the hash of an attempt, unless it has to wait.
func (g *guesses) pay(a attempt, now time.Time) (coin, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	paid, wait := g.purse(a, now)
	if wait > 0 {
		return coin{}, wait
	}
	paid.purse.spend(now, paid.every)
	if paid.freed != nil {
		paid.freed.hashed++
	}
	return paid, 0
}

// back gives back what was paid for a secret that was right. Its source is an acquaintance from now on.
func (g *guesses) back(a attempt, paid coin) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if paid.purse != nil {
		paid.purse.full = paid.purse.full.Add(-paid.every)
	}
	if place, ok := g.visitors[visit{a.id, a.from}]; ok {
		g.forget(place)
	}
	g.known.add(a.id, a.from)
}

// purse finds out which purse an attempt may be paid from, and how long it has to wait for that.
func (g *guesses) purse(a attempt, now time.Time) (coin, time.Duration) {
	p := g.purses(a, now)
	if g.known.has(a.id, a.from) && p.acquainted.wait(now, acquaintedBurst, acquaintedBurst, acquaintedEvery) == 0 {
		return coin{&p.acquainted, acquaintedEvery, nil}, 0
	}
	v := g.visitor(a)
	if v.hashed < unhurriedA && p.strangers.wait(now, unhurried, strangersBurst, strangersEvery) == 0 {
		return coin{&p.strangers, strangersEvery, v}, 0
	}
	wait := max(v.patience(a.digest, now), p.strangers.wait(now, strangersBurst, strangersBurst, strangersEvery))
	return coin{&p.strangers, strangersEvery, nil}, wait
}

// patience is how much longer a visitor has to stand by a secret.
func (v *visitor) patience(d digest, now time.Time) time.Duration {
	if v.secrets == 0 || v.digest != d || now.Before(v.since) {
		v.digest, v.since = d, now
		v.secrets++
	}
	needed := mostPatience
	if doublings := v.secrets - 1; doublings < 9 { // 2 s << 9 is beyond ten minutes
		needed = min(mostPatience, leastPatience<<doublings)
	}
	return max(0, needed-now.Sub(v.since))
}

// visitor finds the visitor that makes an attempt.
func (g *guesses) visitor(a attempt) *visitor {
	at := visit{a.id, a.from}
	if place, ok := g.visitors[at]; ok {
		g.came.MoveToFront(place)
		return place.Value.(*visitor)
	}
	v := &visitor{visit: at}
	g.visitors[at] = g.came.PushFront(v)
	if g.came.Len() > mostVisitors {
		g.forget(g.came.Back())
	}
	return v
}

func (g *guesses) forget(place *list.Element) {
	delete(g.visitors, place.Value.(*visitor).visit)
	g.came.Remove(place)
}

// purses finds the purses of an access key. Those of real ones are never forgotten while anything is missing in them, so
// that nobody can have them filled by guessing at other access keys.
func (g *guesses) purses(a attempt, now time.Time) *purses {
	if a.held {
		return g.realPurses(a.id, now)
	}
	if place, ok := g.unknown[a.id]; ok {
		g.spent.MoveToFront(place)
		return place.Value.(*purses)
	}
	p := &purses{id: a.id}
	g.unknown[a.id] = g.spent.PushFront(p)
	if g.spent.Len() > mostUnknown {
		oldest := g.spent.Back()
		delete(g.unknown, oldest.Value.(*purses).id)
		g.spent.Remove(oldest)
	}
	return p
}

func (g *guesses) realPurses(id string, now time.Time) *purses {
	if p, ok := g.real[id]; ok {
		return p
	}
	if len(g.real) >= mostUnknown {
		for id, p := range g.real {
			if !p.strangers.full.After(now) && !p.acquainted.full.After(now) {
				delete(g.real, id)
			}
		}
	}
	p := &purses{id: id}
	g.real[id] = p
	return p
}
