package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Error is a failure that SQLite reported.
type Error struct {
	Code    int    // extended result code
	Message string // SQLite's
	Doing   string // what was attempted
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s (SQLite %d)", e.Doing, e.Message, e.Code) }

// failure turns a result code into an error, nil if it is none.
func (c *Conn) failure(code int32, doing string) error {
	if code == lib.SQLITE_OK {
		return nil
	}
	e := &Error{Code: int(code), Doing: doing, Message: "out of memory"}
	if c.db != 0 {
		e.Message = libc.GoString(lib.Xsqlite3_errmsg(c.tls, c.db))
	}
	return e
}

// IsDamage tells whether err says that the file is not, or not any more, a sound database.
func IsDamage(err error) bool {
	return hasCode(err, lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB)
}

// IsEnvironment tells whether err lies with the machine and not with what was asked: no space, no memory, a failed read
// or write, a lock that stays. The same may succeed later.
func IsEnvironment(err error) bool {
	return hasCode(err, lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_NOMEM,
		lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_PROTOCOL, lib.SQLITE_INTERRUPT) || IsDamage(err)
}

// hasCode compares primary codes, which are the low byte of extended ones.
func hasCode(err error, codes ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code&0xff == code {
			return true
		}
	}
	return false
}
