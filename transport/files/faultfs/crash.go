package faultfs

import (
	"maps"
	"math/rand/v2"
	"path"
	"slices"
)

// chance is how likely what was not synced has reached the disk: in some crashes all, in some nothing, in most a part.
type chance struct {
	rng  *rand.Rand
	kept float64
}

func (f *FS) chance() chance { return newChance(f.rng) }

func newChance(rng *rand.Rand) chance {
	switch rng.IntN(4) {
	case 0:
		return chance{rng, 0}
	case 1:
		return chance{rng, 1}
	}
	return chance{rng, rng.Float64()}
}

func (c chance) keeps() bool { return c.rng.Float64() < c.kept }

// sectors draws how much of a page is kept: all of it, nothing, or now and then its first sectors.
func (c chance) sectors() int {
	const all = pageSize / sectorSize
	if c.rng.IntN(8) == 0 {
		return c.rng.IntN(all)
	}
	if c.keeps() {
		return all
	}
	return 0
}

// size draws a file's size: the durable one, the newest, or one on the way.
func (c chance) size(durable, newest int64) int64 {
	if durable == newest {
		return durable
	}
	if c.kept > 0 && c.kept < 1 && c.rng.IntN(8) == 0 {
		low, high := min(durable, newest), max(durable, newest)
		return low + c.rng.Int64N(high-low)
	}
	if c.keeps() {
		return newest
	}
	return durable
}

// Restart returns the file system as it is found when the power comes back: what was durable, and by the chances of seed
// some of what was not. The power of f goes if it is on. It can be called often, with other seeds, for other outcomes.
func (f *FS) Restart(seed uint64) *FS {
	after := New(seed)
	c := newChance(after.rng)
	f.restart(after, c, func(string, int64) int { return c.sectors() })
	return after
}

// RestartWith is Restart, but all names and sizes are kept, and keep says how many of the 8 sectors of each page that was
// not synced have reached the disk.
func (f *FS) RestartWith(keep func(name string, page int64) (sectors int)) *FS {
	after := New(1)
	f.restart(after, chance{after.rng, 1}, keep)
	return after
}

func (f *FS) restart(after *FS, c chance, keep func(name string, page int64) int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	names := maps.Clone(f.disk)
	for _, change := range f.pending {
		if !c.keeps() {
			continue
		}
		for _, e := range change {
			set(names, e)
		}
	}
	f.fill(after, names, c, keep)
}

// fill gives after the files that can be reached by names.
func (f *FS) fill(after *FS, names map[string]*node, c chance, keep func(name string, page int64) int) {
	copies := map[*node]*node{} // a file with two names stays one file
	after.nodes = f.nodes
	for _, p := range slices.Sorted(maps.Keys(names)) {
		if p != "." && !after.isDir(path.Dir(p)) {
			continue // the folder it was in is lost
		}
		n := names[p]
		if copies[n] == nil {
			copies[n] = n.onDisk(func(page int64) int { return keep(p, page) }, c)
		}
		after.tree[p] = copies[n]
		after.disk[p] = copies[n]
	}
}
