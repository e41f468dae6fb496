package signin

import (
	"bufio"
	"container/list"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"strandline/domain"
	"strandline/transport/rest"
)

// Bounds on memory.
const (
	mostAcquainted = 65_536 // access keys whose sources are remembered
	mostSourcesOf  = 16     // sources of each
)

// trace is the keyed hash of a source as one credential's, so that what is kept says nothing to others.
type trace [8]byte

// acquaintances are the sources that credentials have been used from, the latest of each.
type acquaintances struct {
	hasher rest.Hasher

	mu      sync.Mutex
	of      map[string]*list.Element // by the credential's id
	used    list.List                // of *acquaintance, the last used in front
	changed bool
}

type acquaintance struct {
	id     string
	traces []trace // the latest first
}

func newAcquaintances(hasher rest.Hasher) *acquaintances {
	return &acquaintances{hasher: hasher, of: map[string]*list.Element{}}
}

func (k *acquaintances) trace(id, from string) (t trace) {
	sum := k.hasher.Hash("sign-in-source", id+" "+from)
	copy(t[:], sum[:])
	return t
}

// has tells whether a credential has been used from a source.
func (k *acquaintances) has(id, from string) bool {
	t := k.trace(id, from)
	k.mu.Lock()
	defer k.mu.Unlock()
	place, ok := k.of[id]
	return ok && slices.Contains(place.Value.(*acquaintance).traces, t)
}

// add remembers that a credential has been used from a source.
func (k *acquaintances) add(id, from string) {
	t := k.trace(id, from)
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.acquaintance(id)
	if i := slices.Index(a.traces, t); i >= 0 {
		a.traces = slices.Delete(a.traces, i, i+1)
	}
	a.traces = slices.Insert(a.traces[:min(len(a.traces), mostSourcesOf-1)], 0, t)
	k.changed = true
}

func (k *acquaintances) acquaintance(id string) *acquaintance {
	if place, ok := k.of[id]; ok {
		k.used.MoveToFront(place)
		return place.Value.(*acquaintance)
	}
	a := &acquaintance{id: id}
	k.of[id] = k.used.PushFront(a)
	if k.used.Len() > mostAcquainted {
		oldest := k.used.Back()
		delete(k.of, oldest.Value.(*acquaintance).id)
		k.used.Remove(oldest)
	}
	return a
}

// Changed tells whether there is anything that SaveAcquaintances has not written yet.
func (c *Checker) Changed() bool {
	c.acquainted.mu.Lock()
	defer c.acquainted.mu.Unlock()
	return c.acquainted.changed
}

// SaveAcquaintances writes from where credentials have been used with success: a line for each, its id and keyed hashes
// of the sources. Whoever starts a Checker with them hears owners from there at once, attack or not. Without them
// nothing is lost but that.
func (c *Checker) SaveAcquaintances(w io.Writer) error {
	k := c.acquainted
	k.mu.Lock()
	defer k.mu.Unlock()
	buffered := bufio.NewWriter(w)
	for place := k.used.Back(); place != nil; place = place.Prev() {
		a := place.Value.(*acquaintance)
		fmt.Fprint(buffered, a.id)
		for _, t := range a.traces {
			fmt.Fprintf(buffered, " %x", t[:])
		}
		fmt.Fprintln(buffered)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("save where credentials have been used from: %w", err)
	}
	k.changed = false
	return nil
}

// LoadAcquaintances reads what SaveAcquaintances has written. Lines up to one that makes no sense count.
func (c *Checker) LoadAcquaintances(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		id, traces, err := parseAcquaintance(lines.Text())
		if err != nil {
			return err
		}
		c.acquainted.mu.Lock()
		c.acquainted.acquaintance(id).traces = traces
		c.acquainted.mu.Unlock()
	}
	return lines.Err()
}

func parseAcquaintance(line string) (id string, traces []trace, err error) {
	words := strings.Fields(line)
	if len(words) < 2 || len(words) > 1+mostSourcesOf {
		return "", nil, fmt.Errorf("%w: a line of %d words is none of acquaintances", domain.ErrInvalid, len(words))
	}
	for _, word := range words[1:] {
		raw, err := hex.DecodeString(word)
		if err != nil || len(raw) != len(trace{}) {
			return "", nil, fmt.Errorf("%w: %d characters are no hash of a source", domain.ErrInvalid, len(word))
		}
		traces = append(traces, trace(raw))
	}
	return words[0], traces, nil
}
