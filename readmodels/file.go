package readmodels

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"strandline/domain"
	"strandline/readmodels/sqlite"
)

// file is one SQLite file: a connection that writes and a few that read.
type file struct {
	path    string
	version int // of its schema
	writing sync.Mutex
	writer  *sqlite.Conn
	passed  int               // updates since the checkpoint was written
	cleaner *sqlite.Conn      // brings pages from the write-ahead log to the database
	readers chan *sqlite.Conn // as many as may be open; nil ones are opened when they are needed
	at      domain.Position   // checkpoint, under writing

	damage atomic.Pointer[error] // found by a reader
	used   atomic.Bool           // by readers since the last rest

	checkpointed int // length of the write-ahead log at which it was last dealt with
	cleaning     sync.WaitGroup
	cleans       atomic.Bool // the cleaner is at work

	origin, serving string // as found when it was opened
}

// What meta says under "serving"; nothing while the file is being built.
const (
	serves = "yes"
	served = "before" // it did, and is kept for the way back
)

// Cache sizes are KiB, negative as SQLite wants it. Syncing NORMAL in WAL mode never damages a file and may lose the
// last transactions in a power cut, which the log then brings again.
const (
	writerSetup = `PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-4096;
PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=41943040;`
	readerSetup = `PRAGMA cache_size=-1024; PRAGMA temp_store=MEMORY; PRAGMA query_only=1;`
	busyTimeout = 5 * time.Second

	ownTables = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoint (one INTEGER PRIMARY KEY CHECK (one = 1), position TEXT NOT NULL);
CREATE TABLE parked (id INTEGER PRIMARY KEY, position TEXT NOT NULL, stream TEXT NOT NULL, type TEXT NOT NULL, reason TEXT NOT NULL);
INSERT INTO checkpoint VALUES (1, '0');
`
)

// createFile makes a new file with the tables of schema. All of it is there or nothing.
func createFile(path string, schema Schema, origin string, readers int) (*file, error) {
	if err := removeFile(path); err != nil {
		return nil, err
	}
	f, err := connect(path, schema.Version, readers)
	if err != nil {
		return nil, err
	}
	if err := f.writer.Script("BEGIN IMMEDIATE;" + ownTables + schema.Tables + ";"); err != nil {
		f.close()
		return nil, fmt.Errorf("create tables of %s: %w", schema.Name, err)
	}
	err = errors.Join(
		f.writer.Exec("INSERT INTO meta VALUES ('generation', ?)", origin),
		f.writer.Exec("COMMIT"))
	if err != nil {
		f.close()
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return f, nil
}

// openFile opens a file that is there. Anything unexpected in it is an error.
func openFile(path string, version, readers int) (*file, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	f, err := connect(path, version, readers)
	if err != nil {
		return nil, err
	}
	if f.at, err = f.readCheckpoint(); err == nil {
		f.origin, err = f.meta("generation")
	}
	if err == nil {
		f.serving, err = f.meta("serving")
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func connect(path string, version, readers int) (*file, error) {
	writer, err := sqlite.Open(path, false)
	if err != nil {
		return nil, err
	}
	writer.BusyTimeout(busyTimeout)
	if err := writer.Script(writerSetup); err != nil {
		writer.Close()
		return nil, fmt.Errorf("set up %s: %w", path, err)
	}
	writer.CountWAL()
	f := &file{path: path, version: version, writer: writer, readers: make(chan *sqlite.Conn, readers)}
	for range readers {
		f.readers <- nil
	}
	return f, nil
}

// removeFile deletes a file with what SQLite keeps beside it.
func removeFile(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f *file) readCheckpoint() (domain.Position, error) {
	for row, err := range f.writer.Query("SELECT position FROM checkpoint") {
		if err != nil {
			return domain.Position{}, err
		}
		return domain.ParsePosition(row.Text(0))
	}
	return domain.Position{}, fmt.Errorf("%s has no checkpoint", f.path)
}

func (f *file) meta(key string) (string, error) {
	for row, err := range f.writer.Query("SELECT value FROM meta WHERE key = ?", key) {
		if err != nil {
			return "", err
		}
		return row.Text(0), nil
	}
	return "", nil
}

// mark says whether the file is the one that serves, which is opened at the next start, or did so before.
func (f *file) mark(serving string) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.writer.Exec("INSERT OR REPLACE INTO meta VALUES ('serving', ?)", serving)
}

// checkpoint is the position up to which the file has the log.
func (f *file) checkpoint() domain.Position {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.at
}

// update runs write in a transaction that also moves the checkpoint. After an error nothing has happened. Where write
// touches nothing, the checkpoint moves in memory and is written with a later one.
func (f *file) update(ctx context.Context, checkpoint domain.Position, write func(*Tx) error) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.writer == nil {
		return errClosed
	}
	if damage := f.damage.Load(); damage != nil {
		return *damage
	}
	tx := &Tx{f.writer, "BEGIN IMMEDIATE", f.version}
	defer f.rollBack()
	if err := write(tx); err != nil {
		return err
	}
	if f.passed++; tx.begin != "" && f.passed < passes {
		f.at = checkpoint
		return nil
	}
	if err := f.commit(tx, checkpoint); err != nil {
		return err
	}
	f.at, f.passed = checkpoint, 0
	f.checkpointWAL()
	return nil
}

// passes is how many updates that touched nothing may go by before the checkpoint is written: those that a restart may
// have to look at again.
const passes = 1000

func (f *file) commit(tx *Tx, checkpoint domain.Position) error {
	if err := tx.Exec("UPDATE checkpoint SET position = ?", checkpoint.String()); err != nil {
		return err
	}
	return tx.Exec("COMMIT")
}

// rollBack ends a transaction that was not committed. SQLite has ended it by itself after some errors.
func (f *file) rollBack() {
	if f.writer.InTransaction() {
		f.writer.Exec("ROLLBACK")
	}
}

// Lengths of the write-ahead log, in pages of 4 KiB.
const (
	walStep  = 2000 // by so much it grows before its pages go to the database, beside the writer
	walLimit = 8000 // from here the writer does that itself, so that the log can begin anew
)

// checkpointWAL keeps the write-ahead log short. Most of the work, which has to wait for the disk twice, is done beside
// the writer. The log cannot begin anew while the writer goes on, so now and then the writer does what little is left.
// Where that fails, because the disk does, later commits will tell.
func (f *file) checkpointWAL() {
	frames := f.writer.WALFrames()
	if frames < f.checkpointed {
		f.checkpointed = 0 // the log has begun anew
	}
	if frames < f.checkpointed+walStep {
		return
	}
	f.checkpointed = frames
	if frames >= walLimit {
		f.cleaning.Wait()
		f.writer.Exec("PRAGMA wal_checkpoint(PASSIVE)")
		return
	}
	if f.cleans.CompareAndSwap(false, true) {
		f.cleaning.Go(func() {
			defer f.cleans.Store(false)
			f.clean()
		})
	}
}

// clean brings pages from the write-ahead log to the database.
func (f *file) clean() {
	if f.cleaner == nil {
		conn, err := sqlite.Open(f.path, false)
		if err != nil {
			return
		}
		f.cleaner = conn
	}
	f.cleaner.Exec("PRAGMA wal_checkpoint(PASSIVE)")
}

// view runs read on one of the reading connections, in a transaction: all its queries see the same state.
func (f *file) view(ctx context.Context, read func(*Tx) error) error {
	conn, err := f.reader(ctx)
	if err != nil {
		return err
	}
	f.used.Store(true)
	defer func() { f.readers <- conn }()
	if conn == nil {
		if conn, err = f.openReader(); err != nil {
			return err
		}
	}
	defer func() {
		if conn.InTransaction() {
			conn.Exec("COMMIT")
		}
	}()
	err = read(&Tx{conn, "BEGIN", f.version})
	if IsDamage(err) {
		f.damage.Store(&err) // the next update reports it to who can build the file again
	}
	return err
}

func (f *file) reader(ctx context.Context) (*sqlite.Conn, error) {
	select {
	case conn, open := <-f.readers:
		if !open {
			return nil, errClosed
		}
		return conn, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *file) openReader() (*sqlite.Conn, error) {
	conn, err := sqlite.Open(f.path, true)
	if err != nil {
		return nil, err
	}
	conn.BusyTimeout(busyTimeout)
	if err := conn.Script(readerSetup); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// rest closes the reading connections if nobody has used one since the last call: each holds on to its cache.
func (f *file) rest() {
	if f.used.Swap(false) {
		return
	}
	for range cap(f.readers) {
		select {
		case conn, open := <-f.readers:
			if !open {
				return
			}
			if conn != nil {
				conn.Close()
			}
			f.readers <- nil
		default:
			return
		}
	}
}

// close waits for those who read, writes the checkpoint if it has moved since, and closes all connections.
func (f *file) close() error {
	for range cap(f.readers) {
		if conn := <-f.readers; conn != nil {
			conn.Close()
		}
	}
	close(f.readers)
	f.writing.Lock()
	defer f.writing.Unlock()
	var err error
	if f.passed > 0 {
		err = f.commit(&Tx{f.writer, "BEGIN IMMEDIATE", f.version}, f.at)
		f.rollBack()
	}
	f.cleaning.Wait()
	if f.cleaner != nil {
		err = errors.Join(err, f.cleaner.Close())
	}
	err = errors.Join(err, f.writer.Close())
	f.writer = nil
	return err
}
