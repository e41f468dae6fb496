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
	right  bool
	until  time.Time
}

// memory holds a bounded number of verdicts. What has not been used for longest is forgotten first.
type memory struct {
	mu    sync.Mutex
	most  int
	ttl   time.Duration
	known map[digest]*list.Element
	used  list.List // of verdict, the last used in front
}

func newMemory(most int, ttl time.Duration) *memory {
	return &memory{most: most, ttl: ttl, known: make(map[digest]*list.Element)}
}

// recall finds the verdict about d as of the bond b. What is known as of another bond is forgotten.
func (m *memory) recall(d digest, b bond, now time.Time) (right, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	place, ok := m.known[d]
	if !ok {
		return false, false
	}
	v := place.Value.(verdict)
	if v.bond != b || now.After(v.until) {
		m.forget(place)
		return false, false
	}
	m.used.MoveToFront(place)
	return v.right, true
}

// remember keeps a verdict.
func (m *memory) remember(d digest, b bond, right bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if place, ok := m.known[d]; ok {
		m.forget(place)
	}
	m.known[d] = m.used.PushFront(verdict{d, b, right, now.Add(m.ttl)})
	if m.used.Len() > m.most {
		m.forget(m.used.Back())
	}
}

func (m *memory) forget(place *list.Element) {
	delete(m.known, place.Value.(verdict).digest)
	m.used.Remove(place)
}
