package faultfs

import (
	"maps"
	"slices"
)

const (
	pageSize   = 4096
	sectorSize = 512 // what a disk writes whole
)

// node is a file or a folder, whatever its names.
type node struct {
	id    int
	dir   bool
	now   []byte         // what a process sees
	disk  []byte         // what the disk holds; pages may have been written beyond size
	size  int64          // the durable size
	dirty map[int64]bool // the pages of now that the disk does not hold
	lock  *file          // who has it alone
	share map[*file]bool // who share it
}

func (n *node) write(p []byte, off int64) {
	if end := off + int64(len(p)); end > int64(len(n.now)) {
		n.now = grow(n.now, end)
	}
	copy(n.now[off:], p)
	n.touch(off, off+int64(len(p)))
}

// touch marks the pages of [from, to) as dirty.
func (n *node) touch(from, to int64) {
	for page := from / pageSize; page*pageSize < to; page++ {
		n.dirty[page] = true
	}
}

func (n *node) resize(size int64) {
	before := int64(len(n.now))
	if size < before {
		n.now = n.now[:size:size] // so that growing again brings zeros
		n.touch(size, before)
		return
	}
	n.now = grow(n.now, size)
}

// grow returns b with zeros up to size.
func grow(b []byte, size int64) []byte {
	if int64(len(b)) >= size {
		return b
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// flush brings the first sectors of a page to the disk. The size there stays.
func (n *node) flush(page int64, sectors int) {
	from := page * pageSize
	to := from + int64(sectors)*sectorSize
	n.disk = grow(n.disk, to)
	clear(n.disk[from:to])
	if from < int64(len(n.now)) {
		copy(n.disk[from:to], n.now[from:])
	}
	if sectors == pageSize/sectorSize {
		delete(n.dirty, page)
	}
}

// flushAll brings everything to the disk.
func (n *node) flushAll() {
	for page := range n.dirty {
		n.flush(page, pageSize/sectorSize)
	}
	n.size = int64(len(n.now))
	if int64(len(n.disk)) > n.size {
		n.disk = n.disk[:n.size:n.size]
	}
}

// flushSome is a sync that failed: some of it reaches the disk, and all pages count as clean.
func (n *node) flushSome(c chance) {
	for _, page := range slices.Sorted(maps.Keys(n.dirty)) {
		n.flush(page, c.sectors())
	}
	clear(n.dirty)
	n.size = c.size(n.size, int64(len(n.now)))
}

// onDisk is a copy of the file as the disk holds it after a loss of power, its pages clean.
func (n *node) onDisk(keep func(page int64) (sectors int), c chance) *node {
	if n.dir {
		return &node{dir: true}
	}
	after := &node{id: n.id, now: n.now, disk: slices.Clone(n.disk), dirty: map[int64]bool{}}
	for _, page := range slices.Sorted(maps.Keys(n.dirty)) {
		after.flush(page, keep(page))
	}
	after.size = c.size(n.size, int64(len(n.now)))
	after.disk = grow(after.disk, after.size)[:after.size:after.size]
	after.now = slices.Clone(after.disk)
	return after
}
