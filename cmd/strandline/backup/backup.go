// Package backup copies a log and its keys to two places, while the server runs, and makes a data folder of them again.
//
// A backup has two halves, which are kept apart: the log, which is sealed, and the keys that open it. Whoever has both can
// read everything; whoever has only the log's half can read nothing that clients said. The log is copied first, up to a
// position, then the keys: so every key that is needed is there. A key that has been destroyed since is not, and must not be.
//
// Each half is a folder. The log's holds store.json and segments/ as FORMAT.md of the log describes them. The keys' holds
// root.key and subjects.<id>. In both, backup.json says what belongs to the last complete backup, with its SHA-256; it is
// written last and replaced atomically. While a backup is being made, backup.json.begun stands beside it; if it stays, the
// backup was interrupted. What the complete backup before consists of is not touched by that.
package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/keys"
)

// Source is what is backed up.
type Source struct {
	Log  *embedded.Store
	Keys *keys.Store
}

// Destination is the two places that a backup is made to.
type Destination struct{ Log, Keys files.System }

// Result says what a backup holds, and what making it took.
type Result struct {
	Position domain.Position `json:"position"`
	Events   uint64          `json:"events"`
	Bytes    int64           `json:"bytes"`   // of the log in the backup
	Written  int64           `json:"written"` // of them, copied now: the others were there, or are links on the same disk
	Keys     int             `json:"keys"`
	Chain    string          `json:"chain"`    // the log's hash chain at the position, which commits to everything before
	SHA256   string          `json:"sha256"`   // of what backup.json says, which names the SHA-256 of every file
	Verified bool            `json:"verified"` // all that was copied has been read again and checked
	Resumed  bool            `json:"resumed,omitempty"`
}

// Check finds out whether a backup can be made to dest: both places are empty, or hold a backup of this log.
func Check(source Source, dest Destination) error {
	_, err := source.plan(dest)
	return err
}

// plan is how a backup is begun.
type plan struct {
	log, keys half
}

func (s Source) plan(dest Destination) (p plan, err error) {
	if p.log, err = look(dest.Log, partLog, s.Log); err != nil {
		return p, fmt.Errorf("the place for the log: %w", err)
	}
	if p.keys, err = look(dest.Keys, partKeys, s.Log); err != nil {
		return p, fmt.Errorf("the place for the keys: %w", err)
	}
	return p, nil
}

// Run makes a backup. Where an earlier one is, only what is new is copied. Unless it is nil, progress is told how many
// bytes of the log are done of how many. After an error the next run goes on from there.
func Run(ctx context.Context, source Source, dest Destination, program string, at time.Time, progress func(done, total int64)) (Result, error) {
	p, err := source.plan(dest)
	if err != nil {
		return Result{}, err
	}
	m := manifest{Format: format, Backup: domain.ID(uuid.New()), Program: program, Made: at.UTC(), Log: source.Log.ID(), Generation: source.Log.Generation()}
	if err := begin(dest, m); err != nil {
		return Result{}, fmt.Errorf("begin a backup: %w", err)
	}
	copied, err := source.Log.Backup(ctx, dest.Log, p.log.manifest.Copy, progress)
	if err != nil {
		return Result{}, err
	}
	m.Position, m.Copy = copied.Position, copied
	result := Result{
		Position: copied.Position, Events: copied.Events, Bytes: bytesOf(copied), Written: copied.Written, Chain: copied.Chain,
		Verified: true, Resumed: p.log.begun != nil || p.keys.begun != nil,
	}
	if m.Keys, result.Keys, err = copyKeys(ctx, source.Keys, dest.Keys, m.Backup); err != nil {
		return Result{}, err
	}
	if result.SHA256, err = finish(dest, m); err != nil {
		return Result{}, fmt.Errorf("finish the backup: %w", err)
	}
	return result, nil
}

func bytesOf(c embedded.Copy) (total int64) {
	for _, f := range c.Segments {
		total += f.Size
	}
	return total
}

// begin says in both places that a backup has begun.
func begin(dest Destination, m manifest) error {
	for _, h := range []struct {
		sys  files.System
		part string
	}{{dest.Keys, partKeys}, {dest.Log, partLog}} {
		m.Part = h.part
		if _, err := m.write(h.sys, begunName); err != nil {
			return err
		}
	}
	return nil
}

// The names of the keys' files. That of all keys but one has the backup's id, so that the one before stays whole.
const (
	rootName       = "root.key"
	subjectsPrefix = "subjects."
)

// copyKeys copies the keys, and checks them where they are now.
func copyKeys(ctx context.Context, from *keys.Store, to files.System, backup domain.ID) (named []embedded.CopiedFile, count int, err error) {
	c, err := from.Copy(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{rootName, c.Root}, {subjectsPrefix + backup.String(), c.Subjects}} {
		if err := writeFile(to, f.name, f.content); err != nil {
			return nil, 0, fmt.Errorf("back up the keys: %w", err)
		}
		named = append(named, embedded.CopiedFile{Name: f.name, Size: int64(len(f.content)), SHA256: sum(f.content)})
	}
	there, err := readKeys(to, named)
	if err != nil {
		return nil, 0, err
	}
	found, err := keys.ExamineCopy(there)
	return named, found.Keys, err
}

// readKeys reads the keys of a backup, and checks that they are as they were copied.
func readKeys(from files.System, named []embedded.CopiedFile) (c keys.Copy, err error) {
	for _, f := range named {
		content, err := from.ReadFile(f.Name)
		if err != nil {
			return c, fmt.Errorf("read the keys of the backup: %w", err)
		}
		if sum(content) != f.SHA256 {
			return c, fmt.Errorf("%w: %s is not as it was copied to the backup", domain.ErrDamaged, f.Name)
		}
		if f.Name == rootName {
			c.Root = content
		} else {
			c.Subjects = content
		}
	}
	return c, nil
}

// finish writes both manifests, the log's last, and then removes what is not needed any more.
func finish(dest Destination, m manifest) (sha256 string, err error) {
	halves := []struct {
		sys files.System
		manifest
	}{{dest.Keys, m}, {dest.Log, m}}
	halves[0].Part, halves[0].Copy = partKeys, embedded.Copy{}
	halves[1].Part, halves[1].Keys = partLog, nil
	for _, h := range halves {
		if sha256, err = h.write(h.sys, manifestName); err != nil {
			return "", err
		}
	}
	if err := dropOldKeys(dest.Keys, m); err != nil {
		return "", err
	}
	for _, h := range halves {
		if err := errors.Join(h.sys.Remove(begunName), h.sys.SyncDir(".")); err != nil {
			return "", err
		}
	}
	return sha256, nil
}

// dropOldKeys removes the keys of earlier backups, and of those that were interrupted: what has been destroyed since must
// not be there.
func dropOldKeys(sys files.System, m manifest) error {
	names, err := sys.List(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, subjectsPrefix) && name != subjectsPrefix+m.Backup.String() {
			if err := sys.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}
