package keys

import (
	"crypto/cipher"
	"sync"
	"sync/atomic"
)

// cachedKeys is how many keys stay ready for use, at about 1 KiB each.
const cachedKeys = 4096

// cache keeps keys ready for use and forgets those not used lately (second chance).
type cache struct {
	mu    sync.RWMutex
	slots map[uint64]*slot
	ring  []*slot
	hand  int
}

type slot struct {
	id   uint64
	aead cipher.AEAD
	used atomic.Bool
}

func (c *cache) get(id uint64) cipher.AEAD {
	c.mu.RLock()
	defer c.mu.RUnlock()
	slot, ok := c.slots[id]
	if !ok {
		return nil
	}
	if !slot.used.Load() {
		slot.used.Store(true)
	}
	return slot.aead
}

func (c *cache) put(id uint64, aead cipher.AEAD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.slots[id]; ok {
		return
	}
	fresh := &slot{id: id, aead: aead}
	c.slots[id] = fresh
	if len(c.ring) < cachedKeys {
		c.ring = append(c.ring, fresh)
		return
	}
	for c.ring[c.hand].used.Swap(false) {
		c.hand = (c.hand + 1) % len(c.ring)
	}
	if old := c.ring[c.hand]; c.slots[old.id] == old {
		delete(c.slots, old.id)
	}
	c.ring[c.hand] = fresh
	c.hand = (c.hand + 1) % len(c.ring)
}

// drop forgets a key. Its place in the ring is taken by the next one.
func (c *cache) drop(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slot, ok := c.slots[id]; ok {
		slot.aead = nil
		slot.used.Store(false)
		delete(c.slots, id)
	}
}
