package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"strandline/transport/rest/api"
)

// backupCommand holds the flags of `backup`.
type backupCommand struct {
	connection
	output
	to, keysTo string
}

func newBackup(env lookup, io streams) *cobra.Command {
	var o backupCommand
	c := &cobra.Command{
		Use:   "backup",
		Short: "Back up the log and its keys while the server runs",
		Long: `Back up the log and its keys to two folders of the server's machine, while the server runs. The backup holds all that
was answered before it began. The next one to the same folders copies only what is new, also after one that was interrupted.

The log goes to --to, the keys that open it to --keys-to. Keep them apart, such as on different machines with different
people: what clients said cannot be read from the log alone, and the keys alone open nothing. Who has both can read
everything. A key that is destroyed is not in backups made after that, so make one soon after erasing somebody.

Neither folder may lie in the other or in the data folder. The certificate authority in DIR/tls and
DIR/root-credential.json are not part of a backup.`,
		Example: `  strandline backup --to /srv/backup/log --keys-to /srv/backup-keys/keys --credential-file data/root-credential.json
  strandline backup --to /srv/backup/log --keys-to /srv/backup-keys/keys --json --credential-file data/root-credential.json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, env, io) },
	}
	o.connection.flags(c)
	o.output.flags(c)
	c.Flags().StringVar(&o.to, "to", "", "folder for the log: empty, or with an earlier backup of it")
	c.Flags().StringVar(&o.keysTo, "keys-to", "", "folder for the keys, likewise")
	return c
}

func (o *backupCommand) run(c *cobra.Command, env lookup, io streams) error {
	if o.to == "" || o.keysTo == "" {
		return usage(c, errors.New("give --to a folder for the log, and --keys-to one for its keys"))
	}
	if err := o.absolute(c); err != nil {
		return err
	}
	client, err := o.open(env)
	if err != nil {
		return err
	}
	watch := newProgress(io.err, "backup")
	defer watch.stop()
	made, line, err := client.backUp(c.Context(), o.to, o.keysTo, watch)
	if err != nil {
		return err
	}
	watch.done()
	if done, err := o.raw(io.out, line); done {
		return err
	}
	_, err = fmt.Fprintf(io.out, "backed up %d events to position %s: %s of log, of which %s were new, and %d keys, in %s; read again and checked\nSHA-256 %s\n",
		made.Events, made.Position, inUnits(made.Copied), inUnits(made.Written), made.Keys,
		time.Duration(made.Seconds*float64(time.Second)).Round(time.Millisecond), made.SHA256)
	return err
}

// absolute makes paths absolute where the server is on this machine; elsewhere that would be another folder.
func (o *backupCommand) absolute(c *cobra.Command) error {
	base, err := url.Parse(o.url)
	here := err == nil && (base.Hostname() == "localhost" || net.ParseIP(base.Hostname()).IsLoopback())
	for _, path := range []*string{&o.to, &o.keysTo} {
		if filepath.IsAbs(*path) {
			continue
		}
		if !here {
			return usage(c, fmt.Errorf("%s is a folder of the server's machine: give it as an absolute path", *path))
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}

// backUp asks for a backup, and watches until it is done.
func (c *client) backUp(ctx context.Context, to, keysTo string, watch *progress) (made api.Backup, line []byte, err error) {
	answer, err := c.answer(ctx, http.MethodPost, "/strandline/v1/backups", map[string]string{"to": to, "keys_to": keysTo}, "application/x-ndjson")
	if err != nil {
		return made, nil, err
	}
	l := lines{body: answer.Body}
	defer l.close()
	for line, err := range l.all(ctx) {
		if err != nil {
			return made, nil, err
		}
		if err := json.Unmarshal(line, &made); err != nil {
			return made, nil, notAsExpected(err)
		}
		if made.Done {
			return made, line, nil
		}
		watch.show(made.Share, time.Duration(made.Remaining*float64(time.Second)))
	}
	return made, nil, errors.New("the server stopped before the backup was complete: make it again, it goes on from there")
}

// inUnits is a number of bytes in the unit that suits it.
func inUnits(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	n, unit := float64(bytes), 0
	for n >= 1024 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", n, units[unit])
}
