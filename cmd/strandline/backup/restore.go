package backup

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files"
	"strandline/transport/keys"
)

// Restored says what was restored.
type Restored struct {
	Position   domain.Position `json:"position"`
	Events     uint64          `json:"events"`
	Bytes      int64           `json:"bytes"`
	Keys       int             `json:"keys"`
	Destroyed  int             `json:"destroyed"` // owners whose keys stay destroyed
	Sealed     uint64          `json:"sealed"`    // events that nobody can read any more, because of that
	Made       time.Time       `json:"made"`      // when the backup was
	Generation domain.ID       `json:"generation"`
	Chain      string          `json:"chain"`
}

// Restore makes a log and its keys of a backup, in two empty places, and gives the log a new generation. It fails if the
// backup is not complete, if a byte of it is not as it was copied, if the hash chain does not hold, or if the keys are not
// those of the log. With lastComplete a backup that was interrupted is passed over for the complete one before it. Unless
// it is nil, progress is told what is being done and how many bytes are done of how many.
func Restore(ctx context.Context, from, to Destination, lastComplete bool, progress func(what string, done, total int64)) (Restored, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	log, kept, err := halves(from, lastComplete)
	if err != nil {
		return Restored{}, err
	}
	c, err := readKeys(from.Keys, kept.Keys)
	if err != nil {
		return Restored{}, err
	}
	if err := keys.Restore(c, to.Keys); err != nil {
		return Restored{}, err
	}
	if err := embedded.Restore(ctx, from.Log, log.Copy, to.Log, func(done, total int64) { progress("copy", done, total) }); err != nil {
		return Restored{}, err
	}
	found, err := embedded.Examine(ctx, to.Log, false, func(done, total int64) { progress("verify", done, total) })
	if err != nil {
		return Restored{}, err
	}
	if len(found.Damage) > 0 {
		return Restored{}, fmt.Errorf("%w: %s", domain.ErrDamaged, found.Damage[0])
	}
	if found.Head != log.Position || found.Chain != log.Copy.Chain && !log.Position.IsZero() || found.Torn != nil {
		return Restored{}, fmt.Errorf("%w: the log of the backup ends at %s, and should at %s", domain.ErrDamaged, found.Head, log.Position)
	}
	r := Restored{Position: log.Position, Events: log.Copy.Events, Bytes: bytesOf(log.Copy), Made: log.Made, Chain: log.Copy.Chain}
	return r, r.open(ctx, to, progress)
}

// halves reads both manifests, and makes sure that they belong together.
func halves(from Destination, lastComplete bool) (log, kept manifest, err error) {
	if log, err = usable(from.Log, partLog, lastComplete); err != nil {
		return log, kept, fmt.Errorf("the log of the backup: %w", err)
	}
	if kept, err = usable(from.Keys, partKeys, lastComplete); err != nil {
		return log, kept, fmt.Errorf("the keys of the backup: %w", err)
	}
	if kept.Log != log.Log {
		return log, kept, fmt.Errorf("%w: these keys belong to another log", domain.ErrRejected)
	}
	if kept.Position.Before(log.Position) {
		return log, kept, fmt.Errorf("%w: these keys are older than the log (%s, the log %s), so some would be missing: "+
			"give the keys of the same backup, or of a later one", domain.ErrRejected, kept.said(), log.said())
	}
	return log, kept, nil
}

// usable is the manifest of a complete half.
func usable(sys files.System, part string, lastComplete bool) (manifest, error) {
	h, err := open(sys)
	switch {
	case err != nil:
		return manifest{}, err
	case !h.complete && h.begun != nil:
		return manifest{}, fmt.Errorf("%w: the backup was interrupted before it was complete: make it again", domain.ErrRejected)
	case !h.complete:
		return manifest{}, fmt.Errorf("%w: there is no backup in this folder: %s is missing", domain.ErrRejected, manifestName)
	case h.manifest.Part != part:
		return manifest{}, fmt.Errorf("%w: the folder holds the half with the %s: --from takes the log's, --keys-from the keys'", domain.ErrRejected, h.manifest.Part)
	case h.begun != nil && !lastComplete:
		return manifest{}, fmt.Errorf("%w: the last backup, begun %s, was interrupted: make it again, or give --last-complete to restore the one before it (%s)",
			domain.ErrRejected, h.begun.Made.Format("2006-01-02 15:04:05 UTC"), h.manifest.said())
	}
	return h.manifest, nil
}

// open opens what was restored, which gives it its generation and its index, and counts what the keys do not open.
func (r *Restored) open(ctx context.Context, at Destination, progress func(what string, done, total int64)) error {
	held, err := keys.Open(at.Keys, rand.Reader)
	if err != nil {
		return err
	}
	defer held.Close()
	found, err := keys.Examine(at.Keys)
	if err != nil {
		return err
	}
	r.Keys, r.Destroyed = found.Keys, found.Destroyed
	log, err := embedded.Open(at.Log, embedded.Options{VerifyRate: -1})
	if err != nil {
		return err
	}
	r.Generation = log.Generation()
	if err := r.count(ctx, log, held, progress); err != nil {
		log.Close()
		return err
	}
	if r.Sealed > 0 && r.Destroyed == 0 {
		log.Close()
		return fmt.Errorf("%w: %d events are sealed under keys that are not among these, and none has been destroyed: these keys do not belong to this log",
			domain.ErrRejected, r.Sealed)
	}
	return log.Close()
}

func (r *Restored) count(ctx context.Context, log *embedded.Store, held *keys.Store, progress func(what string, done, total int64)) error {
	has := map[string]bool{}
	for e, err := range log.ReadAll(ctx, domain.Position{}, 0, commands.Forwards) {
		if err != nil {
			return err
		}
		known, ok := has[e.Key]
		if !ok {
			known = e.Key == "" || held.Has(e.Key)
			if len(has) > 100_000 {
				clear(has)
			}
			has[e.Key] = known
		}
		if !known {
			r.Sealed++
		}
		if e.Position.Commit%4096 == 0 {
			progress("open", int64(e.Position.Commit), int64(r.Events))
		}
	}
	return nil
}
