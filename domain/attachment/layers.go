package attachment

import (
	"crypto/sha256"
	"maps"
)

// place is where a document of an owner is.
type place struct{ target, key string }

type hash = [sha256.Size]byte

// nothing stands for a document that is not there.
var nothing hash

// layers are the hashes of an owner's documents. They never change: set returns others, which share nearly everything
// with them. A state can thus be kept and evolved on, while an owner with thousands of documents is folded without
// copying all of them at each event. A layer hides those before it and is less than half as large as any of them, as in
// a log-structured merge tree: a set costs O(log n) on average.
type layers []map[place]hash

func (l layers) get(p place) hash {
	for i := len(l) - 1; i >= 0; i-- {
		if h, ok := l[i][p]; ok {
			return h
		}
	}
	return nothing
}

func (l layers) set(p place, h hash) layers {
	top := map[place]hash{p: h}
	n := len(l)
	for n > 0 && len(l[n-1]) <= 2*len(top) {
		n--
		merged := maps.Clone(l[n])
		maps.Copy(merged, top)
		top = merged
	}
	if n == 0 {
		maps.DeleteFunc(top, func(_ place, h hash) bool { return h == nothing })
	}
	return append(l[:n:n], top)
}
