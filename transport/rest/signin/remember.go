package signin

import (
	"container/list"
	"sync"
	"time"
)

// digest is the keyed digest of an access key with a secret.
type digest [32]byte

// bond says as of which state of the directory something was found out: the zero bond is "no such credential".
type bond struct {
	credential string
	revision   uint64
}

// verdict is what was found out about a digest, and how long that may be used.
type verdict struct {
	digest digest
	bond   bond
	until  time.Time
	from   string // the source it was used from last
}

// remembered says what a memory knows of a digest.
type remembered int

const (
	forgotten      remembered = iota
	rememberedOnce            // too long ago to be relied on
	rememberedNow
)

// memory holds a bounded number of digests of which the same is true. What has not been used for longest is forgotten
// first.
type memory struct {
	mu    sync.Mutex
	most  int
	ttl   time.Duration
	known map[digest]*list.Element
	used  list.List // of *verdict, the last used in front
}

func newMemory(most int, ttl time.Duration) *memory {
	return &memory{most: most, ttl: ttl, known: make(map[digest]*list.Element)}
}

// recall says what is known about d as of the bond b. What is known as of another bond is forgotten.
func (m *memory) recall(d digest, b bond, now time.Time) remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	place, ok := m.known[d]
	if !ok {
		return forgotten
	}
	v := place.Value.(*verdict)
	if v.bond != b {
		m.forget(place)
		return forgotten
	}
	m.used.MoveToFront(place)
	if now.After(v.until) {
		return rememberedOnce
	}
	return rememberedNow
}

// remember keeps a verdict.
func (m *memory) remember(d digest, b bond, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := &verdict{digest: d, bond: b, until: now.Add(m.ttl)}
	if place, ok := m.known[d]; ok {
		v.from = place.Value.(*verdict).from
		m.forget(place)
	}
	m.known[d] = m.used.PushFront(v)
	if m.used.Len() > m.most {
		m.forget(m.used.Back())
	}
}

// movedTo tells whether d is used from another source than before, and takes note of the source.
func (m *memory) movedTo(d digest, from string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	place, ok := m.known[d]
	if !ok || place.Value.(*verdict).from == from {
		return false
	}
	place.Value.(*verdict).from = from
	return true
}

func (m *memory) forget(place *list.Element) {
	delete(m.known, place.Value.(*verdict).digest)
	m.used.Remove(place)
}
