package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"strandline/domain"
	"strandline/transport/files"
)

// linker is a System that can give its files second names in another one, on the same disk.
type linker interface {
	LinkTo(dest files.System, from, to string) error
}

// Backup makes dest a copy of the log up to what is durable now, while appending goes on. Files that are there from an
// earlier backup of this log are kept, so that only what is new is copied; on the same disk full segments are linked.
// The copy has no index and gets another generation when it is opened: both as Open does it.
func (s *Store) Backup(ctx context.Context, dest files.System) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	upTo := s.watermark()
	if err := s.prepareBackup(dest); err != nil {
		return fmt.Errorf("back up the log: %w", err)
	}
	list := s.segments.all()
	for n, g := range list {
		if g.first > upTo {
			break
		}
		last := n == len(list)-1 || list[n+1].first > upTo
		if err := s.backUp(ctx, dest, g, upTo, last); err != nil {
			return fmt.Errorf("back up %s: %w", g.name(), err)
		}
	}
	m := s.manifest
	m.Unsafe = false
	return finishCopy(dest, m)
}

// prepareBackup makes the folders of a copy, or refuses a place that holds something else.
func (s *Store) prepareBackup(dest files.System) error {
	m, err := readManifest(dest)
	if err == nil && (m.ID != s.manifest.ID || !m.Copy) {
		return fmt.Errorf("%w: the destination holds another log, or a copy that has been opened", domain.ErrRejected)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return makeFolders(dest)
}

// makeFolders makes the folders of a store, durably: store.json must not outlive them.
func makeFolders(sys files.System) error {
	return errors.Join(sys.MkdirAll(segmentFolder), sys.MkdirAll(indexFolder), sys.SyncDir("."))
}

// finishCopy writes the copy's store.json, last of all: without it a copy cannot be opened.
func finishCopy(dest files.System, m manifest) error {
	if err := dest.SyncDir(segmentFolder); err != nil {
		return err
	}
	m.Copy = true
	return m.write(dest)
}

// backUp brings one segment to dest. The last one is always copied, since whoever opens the copy writes to it.
func (s *Store) backUp(ctx context.Context, dest files.System, g *segment, upTo uint64, last bool) error {
	if full := g.last.Load(); full > 0 {
		upTo = min(upTo, full)
	}
	f, err := s.segments.acquire(g)
	if err != nil {
		return err
	}
	defer s.segments.release(g)
	offsets, err := s.offsetsOf(g)
	if err != nil {
		return err
	}
	_, size, _, err := offsets.span(upTo, upTo, 0)
	if err != nil {
		return err
	}
	if !last {
		if there, err := hasAtLeast(dest, g.name(), size); there || err != nil {
			return err
		}
		if l, ok := s.sys.(linker); ok && l.LinkTo(dest, g.name(), g.name()) == nil {
			return nil
		}
	}
	return copyTo(ctx, f, size, dest, g.name())
}

// hasAtLeast tells whether a file of at least size bytes is there.
func hasAtLeast(sys files.System, name string, size int64) (bool, error) {
	f, err := sys.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	has, err := f.Size()
	return err == nil && has >= size, err
}

// copyTo makes a durable copy of the first size bytes of a file.
func copyTo(ctx context.Context, from files.File, size int64, dest files.System, name string) error {
	to, err := remake(dest, name+newSuffix)
	if err != nil {
		return err
	}
	defer to.Close()
	buf := make([]byte, windowSize)
	for at := int64(0); at < size; at += windowSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(windowSize, size-at)]
		if _, err := from.ReadAt(b, at); err != nil {
			return err
		}
		if _, err := to.WriteAt(b, at); err != nil {
			return err
		}
	}
	if err := to.Sync(); err != nil {
		return err
	}
	return dest.Rename(name+newSuffix, name)
}

// Restore makes an empty folder a log from a backup. When it is opened it gets another generation, so that all who have
// followed the old one notice that time went back.
func Restore(ctx context.Context, backup, dest files.System) error {
	m, err := readManifest(backup)
	if err != nil {
		return fmt.Errorf("restore the log: %w", err)
	}
	names, err := dest.List(".")
	if err != nil {
		return fmt.Errorf("restore the log: %w", err)
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: a log is restored into an empty folder only", domain.ErrRejected)
	}
	list, err := listSegments(backup)
	if err != nil {
		return fmt.Errorf("restore the log: %w", err)
	}
	if err := makeFolders(dest); err != nil {
		return fmt.Errorf("restore the log: %w", err)
	}
	for _, g := range list {
		if err := restoreSegment(ctx, backup, dest, g.name()); err != nil {
			return fmt.Errorf("restore %s: %w", g.name(), err)
		}
	}
	return finishCopy(dest, m)
}

func restoreSegment(ctx context.Context, backup, dest files.System, name string) error {
	f, err := backup.Open(name, false)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	return copyTo(ctx, f, size, dest, name)
}
