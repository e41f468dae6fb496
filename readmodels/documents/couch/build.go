package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"strandline/domain"
	"strandline/readmodels"
	"strandline/readmodels/documents"
)

// build is a database that holds a copy of the read model: readmodels.RemoteBuild.
type build struct {
	store  *Store
	origin string

	followed bool                      // another process writes to it: this one only reads
	asked    atomic.Pointer[time.Time] // when the server has said that it serves, if it is followed

	busy  sync.Mutex  // held while the checkpoint is written, or name is found out
	saved checkpoint  // as the database has it
	when  time.Time   // of saved
	soon  *time.Timer // saves it; nil if there is no need

	mu   sync.Mutex
	name string          // of the database; another one after another process has switched
	at   domain.Position // what has been written; saved comes after it
}

// checkpoint is a document of a build.
type checkpoint struct {
	Rev    string          `json:"_rev,omitempty"`
	At     domain.Position `json:"at"`
	Origin string          `json:"origin"`
}

func (s *Store) newBuild(database string, done checkpoint) *build {
	return &build{store: s, origin: done.Origin, name: database, saved: done, at: done.At}
}

func (s *Store) loadCheckpoint(ctx context.Context, database string) (c checkpoint, err error) {
	if database == "" {
		return c, errMissing
	}
	err = s.server.get(ctx, database, checkpointID, &c)
	return c, err
}

func (b *build) database() string {
	return b.reading().database
}

// reading is where to read b.
func (b *build) reading() reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	return reading{b, b.name, b.at}
}

// Origin implements readmodels.RemoteBuild.
func (b *build) Origin() string { return b.origin }

// Checkpoint implements readmodels.RemoteBuild.
func (b *build) Checkpoint() domain.Position {
	return b.reading().at
}

// saveEvery is how late a checkpoint may be written while no event is of interest: to read such events again costs little.
const saveEvery = time.Second

// Write implements readmodels.RemoteBuild.
func (b *build) Write(ctx context.Context, batch readmodels.RemoteBatch) error {
	w := &writing{server: b.store.server, database: b.database()}
	err := w.all(ctx, batch)
	if err == nil {
		err = b.advance(ctx, w.database, batch.UpTo, w.concerned)
	}
	if errors.Is(err, errMissing) {
		return b.follow(ctx, w.database)
	}
	if err == nil && b.store.serving.Load() == b {
		b.store.sweep(ctx)
	}
	return err
}

// advance moves the checkpoint, in the database at once if others may wait for it, else soon.
func (b *build) advance(ctx context.Context, database string, upTo domain.Position, atOnce bool) error {
	b.busy.Lock()
	defer b.busy.Unlock()
	if b.database() != database {
		return fmt.Errorf("%w: %w", domain.ErrUnavailable, errMoved)
	}
	if atOnce || time.Since(b.when) >= saveEvery {
		if err := b.save(ctx, upTo); err != nil {
			return err
		}
	}
	b.set(database, upTo)
	b.saveSoon()
	return nil
}

// saveSoon has the checkpoint written if it is not there, also if nothing comes any more. It is called with busy.
func (b *build) saveSoon() {
	if b.soon == nil && b.saved.At.Before(b.Checkpoint()) && !b.store.closed.Load() {
		b.soon = time.AfterFunc(saveEvery, b.late)
	}
}

// late writes a checkpoint that has waited. It is tried again if the server is away.
func (b *build) late() {
	ctx, stop := context.WithTimeout(context.Background(), restTime)
	defer stop()
	b.busy.Lock()
	defer b.busy.Unlock()
	b.soon = nil
	if b.store.closed.Load() {
		return
	}
	if err := b.catchUp(ctx); errors.Is(err, domain.ErrUnavailable) {
		b.saveSoon()
	}
}

func (b *build) set(database string, at domain.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.name, b.at = database, at
}

// save writes the checkpoint. That of another process may be further. One that is behind what this process has written
// there is that of a server that was set back: it is without what came between. It is called with busy.
func (b *build) save(ctx context.Context, upTo domain.Position) error {
	database := b.database()
	next := checkpoint{Rev: b.saved.Rev, At: upTo, Origin: b.origin}
	for range claims {
		if !b.saved.At.Before(upTo) {
			return nil // another process is further
		}
		rev, err := b.store.server.put(ctx, database, checkpointID, next)
		if err == nil {
			next.Rev, b.when = rev, time.Now()
			b.saved = next
			return nil
		}
		if !errors.Is(err, errConflict) {
			return err
		}
		there, err := b.store.loadCheckpoint(ctx, database)
		if err != nil {
			return err
		}
		if there.At.Before(b.saved.At) {
			return fmt.Errorf("%w: CouchDB is at %s, and was at %s", readmodels.ErrDamaged, there.At, b.saved.At)
		}
		b.saved, b.when, next.Rev = there, time.Now(), there.Rev
	}
	return fmt.Errorf("%w: others keep writing the checkpoint of %s", domain.ErrUnavailable, database)
}

// restTime bounds the last request.
const restTime = 2 * time.Second

// rest writes the checkpoint if it is not there, so that nothing is read again.
func (b *build) rest() {
	ctx, stop := context.WithTimeout(context.Background(), restTime)
	defer stop()
	_ = b.saveNow(ctx) // else it is read again
}

// saveNow writes the checkpoint if it is not there.
func (b *build) saveNow(ctx context.Context) error {
	b.busy.Lock()
	defer b.busy.Unlock()
	return b.catchUp(ctx)
}

// catchUp is saveNow. It is called with busy.
func (b *build) catchUp(ctx context.Context) error {
	if at := b.Checkpoint(); b.saved.At.Before(at) {
		return b.save(ctx, at)
	}
	return nil
}

// errMoved is for a build that others have replaced.
var errMoved = errors.New("another process has built the documents anew: going on with these")

// follow finds out why a database that b had is not there. If another process has replaced it, b is from now on what
// serves, at its checkpoint, and that is errMoved. Else the server has lost it.
func (b *build) follow(ctx context.Context, database string) error {
	b.busy.Lock()
	defer b.busy.Unlock()
	if b.database() != database { // somebody has found out already
		return fmt.Errorf("%w: %w", domain.ErrUnavailable, errMoved)
	}
	if b.store.serving.Load() != b {
		return fmt.Errorf("%w: database %s was dropped while it was filled", domain.ErrUnavailable, b.database())
	}
	p, err := b.store.pointed(ctx)
	if err != nil {
		return err
	}
	there, err := b.store.loadCheckpoint(ctx, p.Build)
	if err != nil && !errors.Is(err, errMissing) {
		return err
	}
	if err == nil && generation(there.Origin) != generation(b.origin) {
		return fmt.Errorf("%w: another installation has begun to use the prefix %s of CouchDB: give each its own, then start this one again",
			domain.ErrUnavailable, b.store.server.config.Prefix)
	}
	if err != nil || p.Build == b.database() {
		return fmt.Errorf("%w: CouchDB has lost database %s", readmodels.ErrDamaged, b.database())
	}
	b.saved = there
	b.set(p.Build, there.At)
	b.store.watermark.Set(there.At)
	return fmt.Errorf("%w: %w", domain.ErrUnavailable, errMoved)
}

// generation is that of the event store in an origin (readmodels.Origin).
func generation(origin string) string {
	name, _, _ := strings.Cut(origin, " without ")
	return name
}

// Parked implements readmodels.RemoteBuild.
func (b *build) Parked(ctx context.Context) (all []readmodels.Parked, err error) {
	start, end := below(ofParked)
	at := b.Checkpoint()
	err = ranged(ctx, b.store.server, b.database(), start, end, true, func(r row[parked]) error {
		if p := r.Doc; !at.Before(p.At) {
			all = append(all, readmodels.Parked{Position: p.At, Stream: p.Stream, Type: p.Type, Reason: p.Reason})
		}
		return nil
	})
	return all, err
}

// claim points at b, in place of what was pointed at with revision rev. A pointer that has changed since is errConflict.
func (b *build) claim(ctx context.Context, rev string) error {
	p := pointer{Rev: rev, Build: b.database(), Origin: b.origin}
	_, err := b.store.server.put(ctx, b.store.server.config.Prefix, b.store.family(), p)
	return err
}

// Serve implements readmodels.RemoteBuild.
func (b *build) Serve(ctx context.Context) error {
	if err := b.saveNow(ctx); err != nil {
		return err
	}
	for range claims {
		p, err := b.store.pointed(ctx)
		if err != nil {
			return err
		}
		if p.Build != b.database() { // else an answer was lost
			err = b.claim(ctx, p.Rev)
		}
		if err == nil {
			b.store.serve(b)
			b.store.leave(ctx, b.database(), p.Build)
			return nil
		}
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("%w: other processes keep changing which build of %s serves", domain.ErrUnavailable, b.store.family())
}

// Drop implements readmodels.RemoteBuild.
func (b *build) Drop(ctx context.Context) error { return b.store.server.drop(ctx, b.database()) }

// Dump implements readmodels.RemoteBuild.
func (b *build) Dump(ctx context.Context, w io.Writer) error {
	return dump(ctx, b, b.database(), w)
}

// each reads the entries with some ids, and calls do for each that is not gone, its body whole, in the order of ids.
func (b *build) each(ctx context.Context, database string, ids []string, do func(*entry)) error {
	for len(ids) > 0 {
		n := min(len(ids), pageSize)
		var page []entry
		if err := listed(ctx, b.store.server, database, ids[:n], func(r row[entry]) error {
			page = append(page, r.Doc)
			return intact(&r.Doc)
		}); err != nil {
			return err
		}
		for i := range page {
			e := &page[i]
			if err := b.store.server.whole(ctx, database, e); err != nil {
				return err
			}
			if !e.Gone {
				do(e)
			}
		}
		ids = ids[n:]
	}
	return nil
}

// keys reads the attachments of an owner aimed at a target, without their values, in the order of keys.
func (b *build) keys(ctx context.Context, database, owner, target string) (found []documents.Attachment, err error) {
	start, end := below(ofAttachments, owner, target)
	err = ranged(ctx, b.store.server, database, start, end, true, func(r row[entry]) error {
		if e := r.Doc; e.ours(ofAttachments) && !e.Gone {
			found = append(found, e.attachment())
		}
		return nil
	})
	slices.SortFunc(found, func(a, b documents.Attachment) int { return strings.Compare(a.Key, b.Key) })
	return found, err
}

// intact is an error for an entry that others have changed.
func intact(e *entry) error {
	if first, _, _ := strings.Cut(e.ID, ","); e.ours(first) {
		return nil
	}
	return fmt.Errorf("%w: somebody has changed document %s of CouchDB", readmodels.ErrDamaged, e.ID)
}

// piecesAtOnce is how many pieces are read or written together.
const piecesAtOnce = batchSize / pieceSize

// whole puts the body of e together. If that has been replaced meanwhile, e is what it is now.
func (s *server) whole(ctx context.Context, database string, e *entry) error {
	for range claims {
		body, complete, err := s.pieces(ctx, database, e.pieceIDs())
		if err != nil {
			return err
		}
		if complete {
			e.Body += body
			return nil
		}
		again := entry{ID: e.ID, Names: e.Names, Gone: true}
		if err := listed(ctx, s, database, []string{e.ID}, func(r row[entry]) error {
			again = r.Doc
			return intact(&again)
		}); err != nil {
			return err
		}
		*e = again
	}
	return fmt.Errorf("%w: document %s is not complete", domain.ErrUnavailable, e.ID)
}

// pieces reads the documents with some ids as one text. It is not complete if one of them is not there.
func (s *server) pieces(ctx context.Context, database string, ids []string) (text string, complete bool, err error) {
	var whole strings.Builder
	found := 0
	for all := ids; len(all) > 0; {
		n := min(len(all), piecesAtOnce)
		if err := listed(ctx, s, database, all[:n], func(r row[piece]) error {
			whole.WriteString(r.Doc.Text)
			found++
			return nil
		}); err != nil {
			return "", false, err
		}
		all = all[n:]
	}
	return whole.String(), found == len(ids), nil
}
