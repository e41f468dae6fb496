// Package sqlite is what the read models need of SQLite: connections with cached prepared statements, rows without
// reflection, and errors that tell a full disk from a damaged file.
//
// It calls the C interface of modernc.org/sqlite/lib (SQLite translated to Go) directly. Going through database/sql
// costs several allocations and microseconds for each statement, which is more than the statement itself where a
// projection writes millions of small rows.
package sqlite
