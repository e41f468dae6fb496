package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"strandline/cmd/strandline/backup"
	"strandline/domain"
	"strandline/transport/files"
)

// restore holds the flags of `restore`.
type restore struct {
	output
	from, keysFrom, data string
	lastComplete         bool
}

func newRestore(io streams) *cobra.Command {
	var o restore
	c := &cobra.Command{
		Use:   "restore",
		Short: "Make a data folder of a backup",
		Long: `Make a data folder of a backup, for 'strandline serve --data' to start on. No server is needed.

Nothing is restored by halves: every byte of the backup is compared with its SHA-256, the hash chain of the log is checked
from its first event to its last, the keys must be those of this log and no older than it; and only then does the folder
get its name. It must not exist, or be empty. A backup that was interrupted is refused, unless --last-complete asks for the
complete one that was made before it.

The restored log has a new generation, so that whoever followed the old one notices that time went back. Owners whose keys
had been destroyed when the keys were backed up stay so. Read models are made again at the first start. A new certificate
authority is made, which clients must be told to trust, unless you bring DIR/tls back yourself.`,
		Example: `  strandline restore --from /srv/backup/log --keys-from /srv/backup-keys/keys --data /srv/restored
  strandline restore --from /srv/backup/log --keys-from /srv/backup-keys/keys --data /srv/restored-too --last-complete --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, io) },
	}
	o.output.flags(c)
	c.Flags().StringVar(&o.from, "from", "", "folder with the log of the backup")
	c.Flags().StringVar(&o.keysFrom, "keys-from", "", "folder with its keys")
	c.Flags().StringVar(&o.data, "data", "", "data folder to make")
	c.Flags().BoolVar(&o.lastComplete, "last-complete", false, "pass over a backup that was interrupted, and restore the complete one before it")
	return c
}

func (o *restore) run(c *cobra.Command, io streams) error {
	if o.from == "" || o.keysFrom == "" || o.data == "" {
		return usage(c, errors.New("give --from and --keys-from the two folders of a backup, and --data the folder to make"))
	}
	watch := newProgress(io.err, "restore")
	defer watch.stop()
	made, err := restoreTo(c.Context(), o.from, o.keysFrom, o.data, o.lastComplete, watch)
	if err != nil {
		return exitWith(exitData, fmt.Errorf("nothing is restored: %w", err))
	}
	watch.done()
	if o.json || o.only != "" {
		return o.value(io.out, made)
	}
	_, err = fmt.Fprintf(io.out, "restored %d events to position %s (%s) and %d keys from the backup of %s; checked from the first event to the last\n",
		made.Events, made.Position, inUnits(made.Bytes), made.Keys, made.Made.Format("2006-01-02 15:04:05 UTC"))
	if made.Sealed > 0 {
		fmt.Fprintf(io.out, "%d events stay sealed: their keys had been destroyed\n", made.Sealed)
	}
	fmt.Fprintf(io.out, "start it with: strandline serve --data %s\n", o.data)
	return err
}

// restoreTo restores into a folder beside data, which gets its name when all is there.
func restoreTo(ctx context.Context, from, keysFrom, data string, lastComplete bool, watch *progress) (made backup.Restored, err error) {
	data, err = filepath.Abs(data)
	if err != nil {
		return made, err
	}
	if err := vacant(data); err != nil {
		return made, err
	}
	source, err := openBackup(from, keysFrom)
	if err != nil {
		return made, err
	}
	w, err := beside(data)
	if err != nil {
		return made, err
	}
	defer w.remove()
	to, err := w.destination()
	if err != nil {
		return made, err
	}
	made, err = backup.Restore(ctx, source, to, lastComplete, func(what string, done, total int64) {
		watch.reached(wholeWay(what, float64(done)/float64(max(total, 1))))
	})
	if err != nil {
		return made, err
	}
	return made, w.become(data)
}

// wholeWay is the share of the whole way: copying, verifying and opening take about as long each.
func wholeWay(what string, share float64) float64 {
	switch what {
	case "verify":
		share += 1
	case "open":
		share += 2
	}
	return share / 3
}

// openBackup opens the folders of a backup, which must be there.
func openBackup(from, keysFrom string) (d backup.Destination, err error) {
	log, err := files.ReadDisk(from)
	if err != nil {
		return d, err
	}
	keys, err := files.ReadDisk(keysFrom)
	return backup.Destination{Log: log, Keys: keys}, err
}

// vacant makes sure that data can be made: it is not there, or empty, and not where another disk is mounted, since a
// folder cannot be put in the place of that.
func vacant(data string) error {
	names, err := os.ReadDir(data)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(filepath.Dir(data), 0o755)
	}
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: %s is not empty: give --data a folder that does not exist, or is empty", domain.ErrRejected, data)
	}
	here, err1 := os.Stat(data)
	above, err2 := os.Stat(filepath.Dir(data))
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if device(here) != device(above) {
		return fmt.Errorf("%w: a disk is mounted at %s: give --data a folder on it, such as %s", domain.ErrRejected, data, filepath.Join(data, "data"))
	}
	return nil
}

func device(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Dev
	}
	return 0
}

// workshop is the folder in which a data folder is made.
type workshop struct {
	dir  string
	lock files.File
}

// restoringSuffix is added to the name of a data folder that is being made.
const restoringSuffix = ".restoring"

// beside makes the workshop of a data folder, in the place of one that an interrupted restore has left.
func beside(data string) (*workshop, error) {
	w := &workshop{dir: data + restoringSuffix}
	disk, err := files.NewDisk(w.dir)
	if err != nil {
		return nil, err
	}
	const lockName = "restoring"
	names, err := disk.List(".")
	if err != nil {
		return nil, err
	}
	w.lock, err = disk.Open(lockName, false)
	if errors.Is(err, fs.ErrNotExist) && len(names) > 0 {
		return nil, fmt.Errorf("%w: %s is in the way: remove it", domain.ErrRejected, w.dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		w.lock, err = disk.Open(lockName, true)
	}
	if err != nil {
		return nil, err
	}
	if err := w.lock.Lock(); err != nil {
		w.lock.Close()
		return nil, fmt.Errorf("%w: another restore is working in %s", domain.ErrRejected, w.dir)
	}
	return w, os.RemoveAll(w.data())
}

// data is the folder that will get its name.
func (w *workshop) data() string { return filepath.Join(w.dir, "data") }

func (w *workshop) destination() (d backup.Destination, err error) {
	log, err := files.NewDisk(filepath.Join(w.data(), "log"))
	if err != nil {
		return d, err
	}
	keys, err := files.NewDisk(filepath.Join(w.data(), "keys"))
	return backup.Destination{Log: log, Keys: keys}, err
}

// become gives the folder its name, durably.
func (w *workshop) become(data string) error {
	if err := syncFolder(w.data()); err != nil {
		return err
	}
	if err := os.Rename(w.data(), data); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(data))
}

// remove clears the workshop away. What stays of it is in nobody's way: the next restore begins anew.
func (w *workshop) remove() {
	w.lock.Close()
	_ = os.RemoveAll(w.dir)
}
