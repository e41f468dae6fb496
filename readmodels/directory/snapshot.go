package directory

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/grant"
	"strandline/domain/plan"
	"strandline/readmodels"
)

// Name and Version name the snapshot file. A change of what is kept needs a new Version.
const (
	Name    = "directory"
	Version = 2
)

// snapshot is the stored form of a state.
type snapshot struct {
	Version     int
	Generation  string // of the event store
	Checkpoint  domain.Position
	Nodes       []storedNode // in the order of their coming, without the first
	Credentials []account.Credential
	Grants      []grant.Held
	Keys        []apikey.Key
	Open        []plan.Open
	Steps       map[string][]uint32
	Parked      []readmodels.Parked
}

type storedNode struct {
	ID              string
	Parent          uint32
	Kind            uint8
	Removed, Hidden bool
}

// fileName is the one snapshot file in the folder of read models.
func fileName(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("%s-v%d.snapshot", Name, Version))
}

// errNotOurs is met by a snapshot that is sound but belongs to another time.
var errNotOurs = errors.New("snapshot is of another version or another generation of the event store")

// Load reads the snapshot in folder dir. No snapshot is fs.ErrNotExist; on any error the log has to be read from its
// start, into a New directory.
func Load(dir, generation string) (*Directory, error) {
	content, err := os.ReadFile(fileName(dir))
	if err != nil {
		return nil, err
	}
	stored, err := decode(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", fileName(dir), err)
	}
	if stored.Version != Version || stored.Generation != generation {
		return nil, fmt.Errorf("read %s: %w", fileName(dir), errNotOurs)
	}
	d := &Directory{state: stored.restore()}
	d.watermark.Set(stored.Checkpoint)
	return d, nil
}

// Examine reads the snapshot in folder dir, whatever it is of, and tells up to where it has the log. No snapshot is
// fs.ErrNotExist; any other error is that it is damaged, and can be removed.
func Examine(dir string) (checkpoint domain.Position, generation string, err error) {
	content, err := os.ReadFile(fileName(dir))
	if err != nil {
		return domain.Position{}, "", err
	}
	stored, err := decode(content)
	return stored.Checkpoint, stored.Generation, err
}

// Drop removes the snapshot in folder dir. The directory is then made again from the log.
func Drop(dir string) error { return os.Remove(fileName(dir)) }

// Save writes a snapshot into folder dir, which is made if it is missing, in place of the one there.
func (d *Directory) Save(dir, generation string) error {
	content, err := d.encode(generation)
	if err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	if err := replaceFile(fileName(dir), content); err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	return nil
}

func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (d *Directory) encode(generation string) ([]byte, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(d.state.store(generation)); err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(b.Bytes(), crc32.Checksum(b.Bytes(), crc32.MakeTable(crc32.Castagnoli))), nil
}

func decode(content []byte) (snapshot, error) {
	end := len(content) - 4
	if end < 0 || binary.BigEndian.Uint32(content[end:]) != crc32.Checksum(content[:end], crc32.MakeTable(crc32.Castagnoli)) {
		return snapshot{}, errors.New("its checksum is wrong")
	}
	var s snapshot
	err := gob.NewDecoder(bytes.NewReader(content[:end])).Decode(&s)
	return s, err
}

func (s *state) store(generation string) snapshot {
	stored := snapshot{Version: Version, Generation: generation, Checkpoint: s.checkpoint, Open: s.open, Steps: s.steps,
		Parked: s.parked, Nodes: make([]storedNode, 0, len(s.nodes))}
	for _, n := range s.nodes[1:] {
		stored.Nodes = append(stored.Nodes, storedNode{n.id, n.parent, n.kind, n.removed, n.hidden})
	}
	for _, origin := range slices.Sorted(maps.Keys(s.origins)) {
		for _, c := range s.origins[origin] {
			stored.Credentials = append(stored.Credentials, *c)
		}
	}
	stored.Grants, stored.Keys = s.given.list(domain.Position{}), s.keys.list(domain.Position{})
	return stored
}

func (stored snapshot) restore() *state {
	s := newState()
	s.checkpoint, s.open, s.parked = stored.Checkpoint, stored.Open, stored.Parked
	maps.Copy(s.steps, stored.Steps)
	for _, n := range stored.Nodes {
		s.enter(node{n.ID, n.Parent, n.Kind, n.Removed, n.Hidden})
	}
	for _, c := range stored.Credentials {
		s.issue(c)
	}
	for _, g := range stored.Grants {
		s.give(&g)
	}
	for _, k := range stored.Keys {
		s.keys.add(k.ID, &k)
	}
	return s
}
