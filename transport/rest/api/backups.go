package api

import (
	"context"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/transport/rest"
)

func backupRoutes() []route {
	return []route{
		{method: "POST", path: "/strandline/v1/backups", verb: policy.NodeManage, handle: (*call).backUp, operation: operation{
			summary: "Back up the log and its keys to two folders of the server's machine, while it runs",
			about: "Where an earlier backup of this log is, only what is new is copied. Answered when the backup is complete and has been read " +
				"again and checked; with Accept: application/x-ndjson a line every second tells how far it is, and the last one, where " +
				"done is true, is the answer. A backup whose client goes away stops; the next one to the same folders goes on from there.",
			body: backupOrder{}, answer: Backup{}, lines: Backup{},
		}},
	}
}

// Backups makes backups of the node.
type Backups interface {
	// Check fails if no backup can be made to these folders: with domain.ErrInvalid if they make no sense, with
	// domain.ErrRejected if they hold something else or a backup is being made already.
	Check(to, keysTo string) error
	// Run makes a backup, and tells now and then how far it is.
	Run(ctx context.Context, to, keysTo string, progress func(Backup)) (Backup, error)
}

// backupOrder is what is asked for.
type backupOrder struct {
	To     string `json:"to" about:"folder for the log, as an absolute path: empty, or with an earlier backup"`
	KeysTo string `json:"keys_to" about:"folder for the keys that open the log, likewise; it should be kept apart from the other"`
}

// Backup is a backup that is being made, or has been.
type Backup struct {
	Done      bool            `json:"done" about:"the backup is complete"`
	Copied    int64           `json:"copied" about:"bytes of the log that are in the backup by now"`
	Total     int64           `json:"total" about:"bytes of the log that will be"`
	Share     float64         `json:"share" about:"of the way, from 0 to 1"`
	Remaining float64         `json:"remaining_seconds" about:"at the speed so far"`
	Seconds   float64         `json:"seconds" about:"taken so far"`
	Position  domain.Position `json:"position,omitzero" about:"up to where the log is in the backup"`
	Events    uint64          `json:"events,omitempty"`
	Written   int64           `json:"written" about:"of the copied bytes, those that were not there before"`
	Keys      int             `json:"keys,omitempty"`
	Chain     string          `json:"chain,omitempty" about:"the hash chain at the position, which commits to everything before it"`
	SHA256    string          `json:"sha256,omitempty" about:"of what backup.json lists, which is the SHA-256 of every file"`
	Verified  bool            `json:"verified" about:"all that was copied now has been read again and checked"`
	Resumed   bool            `json:"resumed,omitempty" about:"an earlier backup to these folders had been interrupted"`
}

// backUp makes a backup: at once refused where the folders will not do.
func (c *call) backUp() (rest.Answer, error) {
	var order backupOrder
	if err := c.sent(&order); err != nil {
		return rest.Answer{}, err
	}
	if err := c.Backups.Check(order.To, order.KeysTo); err != nil {
		return rest.Answer{}, err
	}
	c.ReadFrom(c.Arrival)
	if c.media == mediaLines {
		return c.lines(func(ctx context.Context, w *lineWriter) error { return c.watchedBackup(ctx, order, w) }), nil
	}
	ctx, stop := c.untilStop(c.Context())
	defer stop()
	made, err := c.Backups.Run(ctx, order.To, order.KeysTo, func(Backup) {})
	if err != nil {
		return rest.Answer{}, err
	}
	return shows(made, 1)
}

// watchedBackup writes a line every second, and one at the end.
func (c *call) watchedBackup(ctx context.Context, order backupOrder, w *lineWriter) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	told := time.Now()
	made, err := c.Backups.Run(ctx, order.To, order.KeysTo, func(b Backup) {
		if time.Since(told) < time.Second {
			return
		}
		told = time.Now()
		if w.write(b) != nil || w.beat() != nil {
			stop() // the client has gone away, or is not anymore who it was
		}
	})
	if err != nil && ctx.Err() == nil {
		w.rows++
		return w.json.Encode(broken{"The backup could not be made: " + rest.Discreet(err.Error()) + ". Mend that, and make it again: it goes on from there.", "backup-failed"})
	}
	if err != nil {
		return err
	}
	return w.write(made)
}
