package faultfs

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"

	"strandline/transport/files"
)

// ErrCrashed is the answer of every call after the loss of power, and of the call during which it came.
var ErrCrashed = errors.New("faultfs: the power is off")

// Op is a kind of call.
type Op uint8

// The kinds of call. Create is an Open that makes a file.
const (
	Open Op = iota
	Create
	ReadFile
	List
	MkdirAll
	Rename
	Link
	Remove
	SyncDir
	ReadAt
	WriteAt
	Sync
	Truncate
	Allocate
	Size
	Map
	Lock
	ops // how many there are
)

// String is the call's name.
func (op Op) String() string {
	return [ops]string{"Open", "Create", "ReadFile", "List", "MkdirAll", "Rename", "Link", "Remove", "SyncDir", "ReadAt", "WriteAt",
		"Sync", "Truncate", "Allocate", "Size", "Map", "Lock"}[op]
}

// Changes tells whether calls of this kind change what a disk holds, so that a crash at one is a case of its own.
func (op Op) Changes() bool {
	switch op {
	case Create, MkdirAll, Rename, Link, Remove, SyncDir, WriteAt, Sync, Truncate, Allocate:
		return true
	}
	return false
}

// Fault is an error to be met once, or from then on.
type Fault struct {
	Ops    []Op   // the kinds of call that it hits
	Name   string // only calls on files or folders whose path contains this
	At     int    // the first call hit, counted from 1 among those that fit
	Stays  bool   // all later ones are hit as well
	Err    error  // for instance syscall.ENOSPC
	passed int
	met    int
}

// FS is the file system. Make one with New.
type FS struct {
	mu      sync.Mutex
	rng     *rand.Rand
	tree    map[string]*node // what a process sees: path → file or folder
	disk    map[string]*node // the names that are durable
	pending []change         // changes of names that are not, oldest first
	nodes   int              // made so far, for their order
	faults  []*Fault
	hold    func(name string)
	counts  [ops]int
	changes int
	crashAt int
	dead    bool

	crashOp, crashName string
}

var _ files.System = (*FS)(nil)

// change is one call's change of names, kept or lost as a whole.
type change []entry

// entry gives a path to a node, or takes the path away if there is none.
type entry struct {
	path string
	node *node
}

// New returns an empty file system whose chances are drawn from seed.
func New(seed uint64) *FS {
	root := &node{dir: true}
	return &FS{
		rng:  rand.New(rand.NewPCG(seed, 2)),
		tree: map[string]*node{".": root},
		disk: map[string]*node{".": root},
	}
}

// Inject adds a fault.
func (f *FS) Inject(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &fault)
}

// Met is how many calls the present faults have hit.
func (f *FS) Met() (calls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.faults {
		calls += fault.met
	}
	return calls
}

// Heal takes all faults away. What they have done stays.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// CrashAt lets the power go at the n-th call from now that changes something (1: the next). Chance decides how much of
// that call is done.
func (f *FS) CrashAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashAt = f.changes + n
}

// Crash lets the power go now.
func (f *FS) Crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
}

// Crashed tells whether the power is off.
func (f *FS) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// CrashedAt names the call at which the power went as CrashAt had said: its kind and the file. Both are empty if it did not.
func (f *FS) CrashedAt() (op, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashOp, f.crashName
}

// HoldSync sets what is called with a file's path before it is synced. It may block.
func (f *FS) HoldSync(hold func(name string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = hold
}

// Count is how many calls of a kind there were.
func (f *FS) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

// Changes is how many calls there were that change something.
func (f *FS) Changes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

// FlipBit turns one bit of a file over, on the disk and in the cache, as a decaying disk does.
func (f *FS) FlipBit(name string, bit int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.tree[clean(name)]
	if !ok || n.dir {
		return notExist("flip a bit of", name)
	}
	for _, content := range [][]byte{n.now, n.disk} {
		if bit/8 < int64(len(content)) {
			content[bit/8] ^= 1 << (bit % 8)
		}
	}
	return nil
}

// begin counts a call and decides its fate. With an error the caller does nothing or, as partly says, a part of it.
func (f *FS) begin(op Op, name string) (err error, partly bool) {
	if f.dead {
		return ErrCrashed, false
	}
	f.counts[op]++
	if op.Changes() {
		f.changes++
		if f.changes == f.crashAt {
			f.dead = true
			f.crashOp, f.crashName = op.String(), name
			return ErrCrashed, true
		}
	}
	for _, fault := range f.faults {
		if err := fault.hits(op, name); err != nil {
			return &fs.PathError{Op: "faultfs", Path: name, Err: err}, true
		}
	}
	return nil, false
}

func (t *Fault) hits(op Op, name string) error {
	if !slices.Contains(t.Ops, op) || !strings.Contains(name, t.Name) {
		return nil
	}
	t.passed++
	if t.passed == t.At || t.Stays && t.passed > t.At {
		t.met++
		return t.Err
	}
	return nil
}

// rename makes a change of names: at once for those who look, on the disk some time until SyncDir.
// Of a call that failed it is done or not done; chance decides.
func (f *FS) rename(failed error, entries ...entry) error {
	if failed != nil && (!errors.Is(failed, ErrCrashed) || f.rng.IntN(2) == 0) {
		return failed
	}
	for _, e := range entries {
		set(f.tree, e)
	}
	f.pending = append(f.pending, entries)
	return failed
}

func set(names map[string]*node, e entry) {
	if e.node == nil {
		delete(names, e.path)
		return
	}
	names[e.path] = e.node
}

// Open implements files.System.
func (f *FS) Open(name string, create bool) (files.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = clean(name)
	op := Open
	if create {
		op = Create
	}
	failed, partly := f.begin(op, name)
	if failed != nil && !partly {
		return nil, failed
	}
	n, exists := f.tree[name]
	switch {
	case create && exists:
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	case create:
		if !f.isDir(path.Dir(name)) {
			return nil, notExist("create", name)
		}
		n = f.newNode()
		if err := f.rename(failed, entry{name, n}); err != nil {
			return nil, err
		}
	case !exists || n.dir:
		return nil, notExist("open", name)
	}
	if failed != nil {
		return nil, failed
	}
	return &file{fs: f, node: n, name: name}, nil
}

func (f *FS) newNode() *node {
	f.nodes++
	return &node{id: f.nodes, dirty: map[int64]bool{}}
}

// ReadFile implements files.System.
func (f *FS) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = clean(name)
	if err, _ := f.begin(ReadFile, name); err != nil {
		return nil, err
	}
	n, ok := f.tree[name]
	if !ok || n.dir {
		return nil, notExist("read", name)
	}
	return slices.Clone(n.now), nil
}

// List implements files.System.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = clean(dir)
	if err, _ := f.begin(List, dir); err != nil {
		return nil, err
	}
	if !f.isDir(dir) {
		return nil, notExist("list", dir)
	}
	names := []string{}
	for p := range f.tree {
		if p != "." && path.Dir(p) == dir {
			names = append(names, path.Base(p))
		}
	}
	slices.Sort(names)
	return names, nil
}

// MkdirAll implements files.System.
func (f *FS) MkdirAll(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = clean(dir)
	failed, partly := f.begin(MkdirAll, dir)
	if failed != nil && !partly {
		return failed
	}
	return f.mkdirAll(dir, failed)
}

func (f *FS) mkdirAll(dir string, failed error) error {
	if n, ok := f.tree[dir]; ok {
		if !n.dir {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
		}
		return failed
	}
	if err := f.mkdirAll(path.Dir(dir), failed); err != nil {
		return err
	}
	return f.rename(failed, entry{dir, &node{dir: true}})
}

// Rename implements files.System. Folders cannot be renamed.
func (f *FS) Rename(from, to string) error {
	return f.relate(Rename, from, to, func(n *node) []entry {
		return []entry{{clean(to), n}, {clean(from), nil}}
	})
}

// Link implements files.System.
func (f *FS) Link(from, to string) error {
	return f.relate(Link, from, to, func(n *node) []entry { return []entry{{clean(to), n}} })
}

// relate makes the entries that bring a file to the path to.
func (f *FS) relate(op Op, from, to string, entries func(*node) []entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, to = clean(from), clean(to)
	failed, partly := f.begin(op, to)
	if failed != nil && !partly {
		return failed
	}
	n, ok := f.tree[from]
	if !ok || n.dir {
		return notExist("rename or link", from)
	}
	if !f.isDir(path.Dir(to)) {
		return notExist("rename or link to", to)
	}
	if there, ok := f.tree[to]; ok && (op == Link || there.dir) {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	return f.rename(failed, entries(n)...)
}

// Remove implements files.System. It does not look whether a folder is empty.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = clean(name)
	failed, partly := f.begin(Remove, name)
	if failed != nil && !partly {
		return failed
	}
	if _, ok := f.tree[name]; !ok {
		return notExist("remove", name)
	}
	return f.rename(failed, entry{name, nil})
}

// SyncDir implements files.System.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = clean(dir)
	failed, partly := f.begin(SyncDir, dir)
	if failed != nil && !partly {
		return failed
	}
	if !f.isDir(dir) {
		return notExist("sync", dir)
	}
	kept := f.pending[:0]
	for _, c := range f.pending {
		if failed != nil && f.rng.IntN(2) == 0 {
			kept = append(kept, c)
			continue
		}
		if rest := f.persist(c, dir); len(rest) > 0 {
			kept = append(kept, rest)
		}
	}
	f.pending = kept
	return failed
}

// persist makes the entries of c in dir durable and returns the others. A file that moves between folders is never
// without a name: its old one goes no sooner than its new one stands.
func (f *FS) persist(c change, dir string) (rest change) {
	all := len(c) > 1 && path.Dir(c[1].path) == dir
	for _, e := range c {
		if all || path.Dir(e.path) == dir {
			set(f.disk, e)
			continue
		}
		rest = append(rest, e)
	}
	return rest
}

func (f *FS) isDir(name string) bool {
	n, ok := f.tree[name]
	return ok && n.dir
}

// Names are the paths of all files, sorted.
func (f *FS) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := []string{}
	for _, p := range slices.Sorted(maps.Keys(f.tree)) {
		if !f.tree[p].dir {
			names = append(names, p)
		}
	}
	return names
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") + root(name) }

// root is the name of the folder at the top, for a name that means it.
func root(name string) string {
	if path.Clean("/"+name) == "/" {
		return "."
	}
	return ""
}

func notExist(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }
