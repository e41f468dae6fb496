package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"strandline/cmd/strandline/backup"
	"strandline/domain"
	"strandline/transport/rest/api"

	"strandline/transport/files"
)

// backups makes backups of a running node, as the native API asks for them.
type backups struct {
	*storage
	dir string
	log *slog.Logger

	making sync.Mutex // held while one is made
}

// Check implements api.Backups.
func (b *backups) Check(to, keysTo string) error {
	if !b.making.TryLock() {
		return errBackingUp
	}
	defer b.making.Unlock()
	dest, err := b.destination(to, keysTo)
	if err != nil {
		return err
	}
	source, err := b.source()
	if err != nil {
		return err
	}
	return worded(backup.Check(source, dest))
}

var errBackingUp = fmt.Errorf("%w: a backup is being made already: wait until it is done", domain.ErrRejected)

// worded brings a refusal into the form that the native API shows: its kind, and then why.
func worded(err error) error {
	if !errors.Is(err, domain.ErrRejected) {
		return err
	}
	return fmt.Errorf("%w: %s", domain.ErrRejected, strings.Replace(err.Error(), domain.ErrRejected.Error()+": ", "", 1))
}

// Run implements api.Backups.
func (b *backups) Run(ctx context.Context, to, keysTo string, progress func(api.Backup)) (api.Backup, error) {
	if !b.making.TryLock() {
		return api.Backup{}, errBackingUp
	}
	defer b.making.Unlock()
	dest, err := b.destination(to, keysTo)
	if err != nil {
		return api.Backup{}, err
	}
	source, err := b.source()
	if err != nil {
		return api.Backup{}, err
	}
	begun := time.Now()
	made, err := backup.Run(ctx, source, dest, version(), begun, func(done, total int64) { progress(underWay(begun, done, total)) })
	if err != nil {
		if ctx.Err() == nil {
			b.log.Error("a backup could not be made", "error", err)
		}
		return api.Backup{}, err
	}
	b.log.Info("a backup is complete", "position", made.Position.String(), "bytes", made.Bytes, "written", made.Written, "sha256", made.SHA256)
	return api.Backup{
		Done: true, Copied: made.Bytes, Total: made.Bytes, Share: 1, Seconds: time.Since(begun).Seconds(), Position: made.Position,
		Events: made.Events, Written: made.Written, Keys: made.Keys, Chain: made.Chain, SHA256: made.SHA256,
		Verified: made.Verified, Resumed: made.Resumed,
	}, nil
}

func underWay(begun time.Time, done, total int64) api.Backup {
	taken := time.Since(begun).Seconds()
	b := api.Backup{Copied: done, Total: total, Seconds: taken}
	if total > 0 && done > 0 {
		b.Share = float64(done) / float64(total)
		b.Remaining = taken * (1 - b.Share) / b.Share
	}
	return b
}

func (b *backups) source() (backup.Source, error) {
	own, ok := b.ownLog()
	if !ok {
		return backup.Source{}, fmt.Errorf("%w: the events are stored on EventStoreDB: make a backup of that, and of the folder keys", domain.ErrRejected)
	}
	return backup.Source{Log: own, Keys: b.keys}, nil
}

// destination opens the two folders, and makes them where they are missing, if they are apart from each other and from
// the data folder.
func (b *backups) destination(to, keysTo string) (dest backup.Destination, err error) {
	if err := apart(b.dir, to, keysTo); err != nil {
		return dest, err
	}
	log, err := files.NewDisk(to)
	if err != nil {
		return dest, fmt.Errorf("%w: the folder for the log cannot be used: %s", domain.ErrRejected, withoutPath(err))
	}
	keys, err := files.NewDisk(keysTo)
	if err != nil {
		return dest, fmt.Errorf("%w: the folder for the keys cannot be used: %s", domain.ErrRejected, withoutPath(err))
	}
	return backup.Destination{Log: log, Keys: keys}, nil
}

// withoutPath is what went wrong with a file, without its name.
func withoutPath(err error) string {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err.Error()
	}
	return err.Error()
}

// apart refuses folders that lie in one another, whatever names lead there.
func apart(data, to, keysTo string) error {
	if !filepath.IsAbs(to) || !filepath.IsAbs(keysTo) {
		return fmt.Errorf("%w: to and keys_to are folders of the server's machine: give them as absolute paths", domain.ErrInvalid)
	}
	for _, pair := range []struct{ one, other, refusal string }{
		{data, to, "the backup of the log would lie in the data folder, or around it: it would be lost with that"},
		{data, keysTo, "the backup of the keys would lie in the data folder, or around it: it would be lost with that"},
		{to, keysTo, "log and keys would lie in one folder: who gets hold of both can read everything, so keep them apart"},
	} {
		one, err1 := real(pair.one)
		other, err2 := real(pair.other)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%w: a folder cannot be used: %s", domain.ErrRejected, withoutPath(err))
		}
		if holds(one, other) || holds(other, one) {
			return fmt.Errorf("%w: %s", domain.ErrRejected, pair.refusal)
		}
	}
	return nil
}

// real is a path without links, as far as it exists.
func real(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		found, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(found, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return "", err
		}
		path, rest = filepath.Dir(path), filepath.Join(filepath.Base(path), rest)
	}
}

// holds tells whether a path is that of a folder or lies below it. The same folder may have several names.
func holds(folder, path string) bool {
	if path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/") {
		return true
	}
	outer, err := os.Stat(folder)
	if err != nil {
		return false
	}
	for ; ; path = filepath.Dir(path) {
		if inner, err := os.Stat(path); err == nil && os.SameFile(inner, outer) {
			return true
		}
		if path == filepath.Dir(path) {
			return false
		}
	}
}
