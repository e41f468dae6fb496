package embedded

import "sync"

// head is where a stream ends.
type head struct{ revision, position uint64 }

// heads remembers the ends of the streams used last, and for certain of those that are not yet durable. It is cut into
// shards, each with a young and an old half: between two groups, a young half that is full becomes the old one, and what
// nobody has used since is forgotten.
type heads struct {
	shards [headShards]headShard
	added  int // since the last trim; only the committer uses it
}

const (
	headShards = 64
	headHalf   = 256 // entries of half a shard; 32,768 in all, about 4 MiB
)

type headShard struct {
	mu         sync.Mutex
	young, old map[string]head
}

func newHeads() *heads {
	h := &heads{}
	for i := range h.shards {
		h.shards[i].young = map[string]head{}
	}
	return h
}

func (h *heads) shard(hash uint64) *headShard { return &h.shards[hash%headShards] }

func (h *heads) get(stream string, hash uint64) (head, bool) {
	s := h.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.young[stream]
	if ok {
		return found, true
	}
	if found, ok = s.old[stream]; ok {
		s.young[stream] = found
	}
	return found, ok
}

func (h *heads) set(stream string, hash uint64, end head) {
	s := h.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.young[stream] = end
}

// trim forgets what has not been used for long, once enough has been set since it last did. Everything must be durable.
func (h *heads) trim(added int) {
	if h.added += added; h.added < headShards*headHalf/8 {
		return
	}
	h.added = 0
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		if len(s.young) >= headHalf {
			s.young, s.old = make(map[string]head, headHalf), s.young
		}
		s.mu.Unlock()
	}
}
