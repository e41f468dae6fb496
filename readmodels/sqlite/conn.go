package sqlite

import (
	"fmt"
	"time"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Conn is one connection to a database file. It is for one goroutine at a time.
type Conn struct {
	tls        *libc.TLS
	db         uintptr
	out        uintptr // room for one pointer, for functions that return one
	frames     uintptr // room for one number, see CountWAL
	statements map[string]*statement
}

// Open opens the database file at path, which is made if it is missing unless readOnly is set.
func Open(path string, readOnly bool) (*Conn, error) {
	c := &Conn{tls: libc.NewTLS(), statements: map[string]*statement{}}
	c.out, c.frames = libc.Xcalloc(c.tls, 1, 8), libc.Xcalloc(c.tls, 1, 8)
	name, err := libc.CString(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer libc.Xfree(c.tls, name)
	code := lib.Xsqlite3_open_v2(c.tls, name, c.out, openFlags(readOnly), 0)
	c.db = *(*uintptr)(pointer(c.out))
	if err := c.failure(code, "open "+path); err != nil {
		c.Close()
		return nil, err
	}
	lib.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	return c, nil
}

func openFlags(readOnly bool) int32 {
	if readOnly {
		return lib.SQLITE_OPEN_READONLY | lib.SQLITE_OPEN_NOMUTEX
	}
	return lib.SQLITE_OPEN_READWRITE | lib.SQLITE_OPEN_CREATE | lib.SQLITE_OPEN_NOMUTEX
}

// BusyTimeout sets how long a statement waits for another connection's lock.
func (c *Conn) BusyTimeout(d time.Duration) {
	lib.Xsqlite3_busy_timeout(c.tls, c.db, int32(d/time.Millisecond))
}

// Script runs statements separated by semicolons, without arguments and results.
func (c *Conn) Script(script string) error {
	text, err := libc.CString(script)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, text)
	return c.failure(lib.Xsqlite3_exec(c.tls, c.db, text, 0, 0, 0), "run script")
}

// Changes counts the rows that the last statement inserted, changed or deleted.
func (c *Conn) Changes() int { return int(lib.Xsqlite3_changes(c.tls, c.db)) }

// InTransaction tells whether a transaction is open. SQLite ends one by itself after some errors, such as a full disk.
func (c *Conn) InTransaction() bool { return lib.Xsqlite3_get_autocommit(c.tls, c.db) == 0 }

// CountWAL makes each commit note the length of the write-ahead log. From then on SQLite checkpoints it no more by itself.
func (c *Conn) CountWAL() {
	hook := noteFrames // the translated code takes functions as addresses of their values, which for this one never move
	lib.Xsqlite3_wal_hook(c.tls, c.db, *(*uintptr)(unsafe.Pointer(&hook)), c.frames)
}

// WALFrames is the length of the write-ahead log in pages, as of the last commit.
func (c *Conn) WALFrames() int { return int(*(*int32)(pointer(c.frames))) }

// noteFrames is called by SQLite after each commit.
func noteFrames(_ *libc.TLS, to, _, _ uintptr, frames int32) int32 {
	*(*int32)(pointer(to)) = frames
	return lib.SQLITE_OK
}

// Close frees everything. The connection cannot be used any more.
func (c *Conn) Close() error {
	for _, s := range c.statements {
		s.finalize()
	}
	c.statements = nil
	code := lib.Xsqlite3_close_v2(c.tls, c.db)
	libc.Xfree(c.tls, c.out)
	libc.Xfree(c.tls, c.frames)
	c.tls.Close()
	if code != lib.SQLITE_OK {
		return &Error{Code: int(code), Message: "connection did not close", Doing: "close"}
	}
	return nil
}

// pointer turns an address in memory that SQLite owns, outside the Go heap, into a pointer.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }
