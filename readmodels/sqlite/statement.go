package sqlite

import (
	"fmt"
	"iter"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// statement is a prepared statement with room for the texts and blobs bound to it. The room is SQLite's memory, so that
// no pointer into the Go heap is ever left with it.
type statement struct {
	conn   *Conn
	query  string
	handle uintptr
	room   uintptr
	size   int
	busy   bool // a Query is going through its rows
}

// prepare returns the statement of query, from the cache where it is there and not in use.
func (c *Conn) prepare(query string) (*statement, error) {
	s, cached := c.statements[query]
	if cached && !s.busy {
		return s, nil
	}
	text, err := libc.CString(query)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	code := lib.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, lib.SQLITE_PREPARE_PERSISTENT, c.out, 0)
	if err := c.failure(code, "prepare "+query); err != nil {
		return nil, err
	}
	s = &statement{conn: c, query: query, handle: *(*uintptr)(pointer(c.out))}
	if !cached {
		c.statements[query] = s
	}
	return s, nil
}

func (s *statement) finalize() {
	lib.Xsqlite3_finalize(s.conn.tls, s.handle)
	if s.room != 0 {
		libc.Xfree(s.conn.tls, s.room)
	}
}

// done makes the statement ready for its next use.
func (s *statement) done() {
	lib.Xsqlite3_reset(s.conn.tls, s.handle)
	if s.size > largeRoom {
		s.release()
	}
	s.busy = false
	if s.conn.statements[s.query] != s {
		s.finalize()
	}
}

// largeRoom is what a statement may keep for its next use; a value of several megabytes is not kept.
const largeRoom = 256 << 10

func (s *statement) release() {
	lib.Xsqlite3_clear_bindings(s.conn.tls, s.handle)
	libc.Xfree(s.conn.tls, s.room)
	s.room, s.size = 0, 0
}

// bind gives the statement its arguments. They must be nil, bool, int, int64, float64, string or []byte; a nil []byte
// is NULL.
func (s *statement) bind(args []any) error {
	if want := int(lib.Xsqlite3_bind_parameter_count(s.conn.tls, s.handle)); want != len(args) {
		return fmt.Errorf("%s: %d arguments for %d parameters", s.query, len(args), want)
	}
	s.grow(args)
	at := s.room
	for i, arg := range args {
		code, used := s.bindOne(int32(i+1), at, arg)
		if code != lib.SQLITE_OK {
			return s.conn.failure(code, "bind "+s.query)
		}
		at += uintptr(used)
	}
	return nil
}

// grow makes room for the texts and blobs among args.
func (s *statement) grow(args []any) {
	need := 0
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			need += len(v) + 1 // an empty text needs an address too
		case []byte:
			need += len(v) + 1
		}
	}
	if need <= s.size {
		return
	}
	if s.room != 0 {
		libc.Xfree(s.conn.tls, s.room)
	}
	s.size = need + need/2
	s.room = libc.Xmalloc(s.conn.tls, libc.Tsize_t(s.size))
}

func (s *statement) bindOne(i int32, at uintptr, arg any) (code int32, used int) {
	tls := s.conn.tls
	switch v := arg.(type) {
	case nil:
		return lib.Xsqlite3_bind_null(tls, s.handle, i), 0
	case int:
		return lib.Xsqlite3_bind_int64(tls, s.handle, i, int64(v)), 0
	case int64:
		return lib.Xsqlite3_bind_int64(tls, s.handle, i, v), 0
	case bool:
		n := int64(0)
		if v {
			n = 1
		}
		return lib.Xsqlite3_bind_int64(tls, s.handle, i, n), 0
	case float64:
		return lib.Xsqlite3_bind_double(tls, s.handle, i, v), 0
	case string:
		copy(unsafe.Slice((*byte)(pointer(at)), len(v)), v)
		return lib.Xsqlite3_bind_text(tls, s.handle, i, at, int32(len(v)), 0), len(v) + 1
	case []byte:
		if v == nil {
			return lib.Xsqlite3_bind_null(tls, s.handle, i), 0
		}
		copy(unsafe.Slice((*byte)(pointer(at)), len(v)), v)
		return lib.Xsqlite3_bind_blob(tls, s.handle, i, at, int32(len(v)), 0), len(v) + 1
	}
	return lib.SQLITE_MISMATCH, 0
}

// Exec runs a statement that returns no rows. For arguments see Query.
func (c *Conn) Exec(query string, args ...any) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	defer s.done()
	if err := s.bind(args); err != nil {
		return err
	}
	for {
		switch code := lib.Xsqlite3_step(c.tls, s.handle); code {
		case lib.SQLITE_ROW:
		case lib.SQLITE_DONE:
			return nil
		default:
			return c.failure(code, query)
		}
	}
}

// Query yields the rows of a statement; after an error it ends. Arguments are nil, bool, int, int64, float64, string
// or []byte, where a nil []byte is NULL.
func (c *Conn) Query(query string, args ...any) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		s, err := c.prepare(query)
		if err != nil {
			yield(Row{}, err)
			return
		}
		s.busy = true
		defer s.done()
		if err := s.bind(args); err != nil {
			yield(Row{}, err)
			return
		}
		s.each(yield)
	}
}

func (s *statement) each(yield func(Row, error) bool) {
	for {
		switch code := lib.Xsqlite3_step(s.conn.tls, s.handle); code {
		case lib.SQLITE_ROW:
			if !yield(Row{s.conn.tls, s.handle}, nil) {
				return
			}
		case lib.SQLITE_DONE:
			return
		default:
			yield(Row{}, s.conn.failure(code, s.query))
			return
		}
	}
}
