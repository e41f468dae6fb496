package sqlite

import (
	"bytes"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Row is the present row of a Query, until the next one. Columns count from 0.
type Row struct {
	tls    *libc.TLS
	handle uintptr
}

// IsNull tells whether a column is NULL.
func (r Row) IsNull(column int) bool {
	return lib.Xsqlite3_column_type(r.tls, r.handle, int32(column)) == lib.SQLITE_NULL
}

// Int64 is a column as a number, 0 for NULL.
func (r Row) Int64(column int) int64 {
	return lib.Xsqlite3_column_int64(r.tls, r.handle, int32(column))
}

// Int is Int64 as an int.
func (r Row) Int(column int) int { return int(r.Int64(column)) }

// Float64 is a column as a number, 0 for NULL.
func (r Row) Float64(column int) float64 {
	return lib.Xsqlite3_column_double(r.tls, r.handle, int32(column))
}

// Raw is a text or blob column without copying: it is gone with the row, and must not be written to.
func (r Row) Raw(column int) []byte {
	p := lib.Xsqlite3_column_blob(r.tls, r.handle, int32(column))
	n := lib.Xsqlite3_column_bytes(r.tls, r.handle, int32(column))
	if p == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), int(n))
}

// Text is a text column, empty for NULL.
func (r Row) Text(column int) string { return string(r.Raw(column)) }

// Blob is a copy of a text or blob column, nil for NULL and for an empty one.
func (r Row) Blob(column int) []byte { return bytes.Clone(r.Raw(column)) }

// IsInteger tells whether a column is stored as a whole number.
func (r Row) IsInteger(column int) bool {
	return lib.Xsqlite3_column_type(r.tls, r.handle, int32(column)) == lib.SQLITE_INTEGER
}
