package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"strandline/domain"
	"strandline/transport/files"
)

// quarantineFolder keeps what repairs have cut off, each in a folder named after its time.
const quarantineFolder = "quarantine"

// Cut takes everything from d on out of a closed log and puts it into a folder of quarantine, whose name it returns. Of
// damage, all events from its first position on are lost by that, so the log gets another generation; of a torn end,
// nothing is. It can be repeated after a crash at any point: the log is always the beginning of what it was.
func Cut(ctx context.Context, sys files.System, d Damage, torn bool, at time.Time) (quarantine string, err error) {
	lock, err := takeLock(sys)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	c := cutter{sys: sys, damage: d, folder: quarantineFolder + "/" + at.UTC().Format("20060102T150405.000Z")}
	if c.list, err = listSegments(sys); err != nil {
		return "", err
	}
	i := slices.IndexFunc(c.list, func(g *segment) bool { return g.name() == d.Segment })
	if i < 0 || torn && i < len(c.list)-1 {
		return "", fmt.Errorf("%w: %s is not the segment that was examined", domain.ErrRejected, d.Segment)
	}
	if err := c.prepare(torn); err != nil {
		return "", fmt.Errorf("cut the log: %w", err)
	}
	for _, later := range slices.Backward(c.list[i+1:]) {
		if err := sys.Rename(later.name(), c.away(later)); err != nil {
			return "", fmt.Errorf("cut the log: %w", err)
		}
		if err := c.settle(); err != nil {
			return "", fmt.Errorf("cut the log: %w", err)
		}
	}
	if err := c.shorten(ctx, c.list[i]); err != nil {
		return "", fmt.Errorf("cut %s: %w", d.Segment, err)
	}
	return c.folder, c.settle()
}

// cutter cuts a log.
type cutter struct {
	sys    files.System
	damage Damage
	folder string
	list   []*segment
}

// away is where a segment goes.
func (c *cutter) away(g *segment) string { return c.folder + g.name()[len(segmentFolder):] }

// prepare makes the folder and, where events are lost, has the log get another generation when it is opened, and takes
// away what the index says about them.
func (c *cutter) prepare(torn bool) error {
	if err := c.sys.MkdirAll(c.folder); err != nil {
		return err
	}
	for _, folder := range []string{".", quarantineFolder} {
		if err := c.sys.SyncDir(folder); err != nil {
			return err
		}
	}
	if torn {
		return nil
	}
	m, err := readManifest(c.sys)
	if err != nil {
		return err
	}
	m.Copy = true
	if err := m.write(c.sys); err != nil {
		return err
	}
	return c.forget()
}

// forget removes all runs: one that covers what is lost would say that segments are missing.
func (c *cutter) forget() error {
	names, err := c.sys.List(indexFolder)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, _, ok := parseRunName(name); !ok {
			continue
		}
		if err := c.sys.Remove(indexFolder + "/" + name); err != nil {
			return err
		}
	}
	return c.sys.SyncDir(indexFolder)
}

func (c *cutter) settle() error {
	if err := c.sys.SyncDir(c.folder); err != nil {
		return err
	}
	return c.sys.SyncDir(segmentFolder)
}

// shorten puts a file with the good beginning of a segment, and zeros after it, in the place of the segment. What was
// there is kept as it is, since backups on the same disk may share it.
func (c *cutter) shorten(ctx context.Context, g *segment) error {
	if err := c.sys.Link(g.name(), c.away(g)); err != nil {
		return err
	}
	if err := c.settle(); err != nil {
		return err
	}
	f, err := c.sys.Open(g.name(), false)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	fresh := g.name() + newSuffix
	to, err := remake(c.sys, fresh)
	if err != nil {
		return err
	}
	defer to.Close()
	err = pieceByPiece(ctx, f, 0, c.damage.Byte, func(at int64, b []byte) error {
		_, err := to.WriteAt(b, at)
		return err
	})
	if err != nil {
		return err
	}
	if err := to.Truncate(size); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	return c.sys.Rename(fresh, g.name())
}

// RemoveIndex removes a bad file of the index of a closed log. It is made anew when the log is opened.
func RemoveIndex(sys files.System, f BadFile) error {
	if err := sys.Remove(f.Name); err != nil {
		return err
	}
	return sys.SyncDir(indexFolder)
}
