package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"strandline/domain"
	"strandline/transport/files"
)

// format is the newest version of the files that this program reads and writes.
const format = 1

const (
	manifestName = "store.json"
	manifestTemp = "store.json.new"
)

// manifest is store.json.
type manifest struct {
	Format int       `json:"format"`
	ID     domain.ID `json:"id"`
	// Generation changes whenever time went back: after a restore, and after an unclean stop without durability.
	Generation domain.ID `json:"generation"`
	// Unsafe is there while the store is open without durability.
	Unsafe bool `json:"unsafe,omitempty"`
	// Copy is there in a backup until it is opened.
	Copy bool `json:"copy,omitempty"`
}

// readManifest reads store.json. Without one the error is fs.ErrNotExist.
func readManifest(sys files.System) (manifest, error) {
	var m manifest
	text, err := sys.ReadFile(manifestName)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Format < 1 {
		return m, fmt.Errorf("%w: %s cannot be read; take it from a backup", domain.ErrDamaged, manifestName)
	}
	if m.Format > format {
		return m, fmt.Errorf("%w: the log is in format %d and this version of Strandline reads formats up to %d: use the version that wrote it, or a newer one",
			domain.ErrRejected, m.Format, format)
	}
	return m, nil
}

// write replaces store.json, durably.
func (m manifest) write(sys files.System) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(sys, manifestTemp, append(text, '\n')); err != nil {
		return err
	}
	if err := sys.Rename(manifestTemp, manifestName); err != nil {
		return err
	}
	return sys.SyncDir(".")
}

// writeFile makes a file with the given content, synced, in place of what may be left of an older attempt.
func writeFile(sys files.System, name string, content []byte) error {
	f, err := remake(sys, name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	return f.Sync()
}

// remake makes an empty file, in place of what may be left of an older attempt.
func remake(sys files.System, name string) (files.File, error) {
	if err := sys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return sys.Open(name, true)
}

// openManifest reads store.json, or founds a new store where there is nothing, and gives a new generation where time
// has gone back.
func openManifest(sys files.System, opt Options) (manifest, error) {
	m, err := readManifest(sys)
	if errors.Is(err, fs.ErrNotExist) {
		return found(sys, opt)
	}
	if err != nil {
		return m, err
	}
	if !m.Unsafe && !m.Copy && !opt.NoSync {
		return m, sys.SyncDir(".") // founding may have failed at just that
	}
	if m.Unsafe || m.Copy {
		if m.Generation, err = newID(opt.Random); err != nil {
			return m, err
		}
	}
	m.Unsafe, m.Copy = opt.NoSync, false
	return m, m.write(sys)
}

// found makes the folders and the first store.json of a store.
func found(sys files.System, opt Options) (manifest, error) {
	if names, err := sys.List(segmentFolder); err == nil && len(names) > 0 {
		return manifest{}, fmt.Errorf("%w: there are segments but no %s; take it from a backup", domain.ErrDamaged, manifestName)
	}
	if err := makeFolders(sys); err != nil {
		return manifest{}, err
	}
	m := manifest{Format: format, Unsafe: opt.NoSync}
	var err error
	if m.ID, err = newID(opt.Random); err != nil {
		return m, err
	}
	if m.Generation, err = newID(opt.Random); err != nil {
		return m, err
	}
	return m, m.write(sys)
}

// newID draws a random UUID (version 8: nothing but random bits).
func newID(random io.Reader) (domain.ID, error) {
	var id domain.ID
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return id, fmt.Errorf("draw an id: %w", err)
	}
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}
