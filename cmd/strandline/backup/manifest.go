package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
)

// format is the newest form of backups that this program makes and reads.
const format = 1

const (
	manifestName = "backup.json"
	begunName    = "backup.json.begun"
	newSuffix    = ".new"
	partLog      = "log"
	partKeys     = "keys"
)

// manifest is backup.json.
type manifest struct {
	Format     int                   `json:"format"`
	Part       string                `json:"part"`       // "log" or "keys"
	Backup     domain.ID             `json:"backup"`     // the same in both halves
	Log        domain.ID             `json:"log"`        // which log it is of
	Generation domain.ID             `json:"generation"` // and of which of its generations
	Program    string                `json:"program"`
	Made       time.Time             `json:"made"`
	Position   domain.Position       `json:"position,omitzero"` // of the log's last event; the keys open all up to there
	Copy       embedded.Copy         `json:"copy,omitzero"`     // of the log's half
	Keys       []embedded.CopiedFile `json:"keys,omitempty"`    // of the keys' half
}

// sealed is how a manifest is stored: with a checksum of its own.
type sealed struct {
	Manifest json.RawMessage `json:"manifest"`
	SHA256   string          `json:"sha256"`
}

// write puts the manifest under name, whole or not at all, durably, and returns its checksum.
func (m manifest) write(sys files.System, name string) (sha256 string, err error) {
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	sha256 = sum(text)
	whole, err := json.Marshal(sealed{text, sha256})
	if err != nil {
		return "", err
	}
	return sha256, writeFile(sys, name, append(whole, '\n'))
}

// read reads a manifest; a missing one is fs.ErrNotExist.
func read(sys files.System, name string) (m manifest, err error) {
	content, err := sys.ReadFile(name)
	if err != nil {
		return m, err
	}
	var s sealed
	if err := json.Unmarshal(content, &s); err != nil || sum(s.Manifest) != s.SHA256 {
		return m, fmt.Errorf("%w: %s is not as it was written", domain.ErrDamaged, name)
	}
	if err := json.Unmarshal(s.Manifest, &m); err != nil {
		return m, fmt.Errorf("%w: %s: %w", domain.ErrDamaged, name, err)
	}
	if m.Format > format {
		return m, fmt.Errorf("%w: the backup is in format %d and this version of Strandline reads formats up to %d: use the version that made it, or a newer one",
			domain.ErrRejected, m.Format, format)
	}
	return m, nil
}

// half is what one of the two places holds.
type half struct {
	manifest manifest  // of the last complete backup
	complete bool      // there is one
	begun    *manifest // of one that was begun after that and not finished
}

// open reads what a place holds.
func open(sys files.System) (h half, err error) {
	h.manifest, err = read(sys, manifestName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	h.complete = err == nil
	begun, err := read(sys, begunName)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	if !h.complete || begun.Backup != h.manifest.Backup { // else all was done but to clean up
		h.begun = &begun
	}
	return h, nil
}

// look finds out whether a half of a backup of a log can be made in a place.
func look(sys files.System, part string, log *embedded.Store) (half, error) {
	h, err := open(sys)
	if err != nil {
		return h, fmt.Errorf("%w: %w", domain.ErrRejected, err)
	}
	there := h.manifest
	if h.begun != nil {
		there = *h.begun
	}
	if !h.complete && h.begun == nil {
		return h, empty(sys)
	}
	if there.Log != log.ID() {
		return h, fmt.Errorf("%w: it holds the backup of another log: choose another folder", domain.ErrRejected)
	}
	if there.Generation != log.Generation() {
		return h, fmt.Errorf("%w: it holds a backup from before this log was restored or repaired, which may have events that are lost here: choose another folder",
			domain.ErrRejected)
	}
	if there.Part != part {
		return h, fmt.Errorf("%w: it holds the half with the %s of a backup: choose another folder", domain.ErrRejected, there.Part)
	}
	return h, nil
}

// empty refuses a place that holds anything but what the very beginning of a backup may have left.
func empty(sys files.System) error {
	names, err := sys.List(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != begunName+newSuffix {
			return fmt.Errorf("%w: it is neither empty nor an earlier backup: choose another folder", domain.ErrRejected)
		}
	}
	return nil
}

// writeFile puts a file of data under name, whole or not at all, durably.
func writeFile(sys files.System, name string, content []byte) error {
	fresh := name + newSuffix
	if err := sys.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := sys.Open(fresh, true)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := sys.Rename(fresh, name); err != nil {
		return err
	}
	return sys.SyncDir(".")
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// said says when a backup was made, and up to where.
func (m manifest) said() string {
	return fmt.Sprintf("%s, position %s", m.Made.Format("2006-01-02 15:04:05 UTC"), strings.TrimSpace(m.Position.String()))
}
