package series

import "strandline/readmodels"

// Schema is the read model's file. Positions are in the form of appendPosition; times are NULL where they are unknown,
// which SQLite orders first.
var Schema = readmodels.Schema{Name: "series", Version: 1, Tables: `
CREATE TABLE stream (id INTEGER PRIMARY KEY, subject TEXT NOT NULL, channel TEXT NOT NULL);
CREATE UNIQUE INDEX stream_by_name ON stream (subject, channel);

CREATE TABLE series (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, name TEXT NOT NULL);
CREATE UNIQUE INDEX series_by_name ON series (stream, name);

CREATE TABLE fresh (
	id      INTEGER PRIMARY KEY, -- see freshID
	events  INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	size    INTEGER NOT NULL,
	block   BLOB    NOT NULL     -- a block for each event, with series, one after the other
);

CREATE TABLE chunk (
	id        INTEGER PRIMARY KEY,
	stream    INTEGER NOT NULL,
	series    INTEGER NOT NULL,
	bucket    INTEGER NOT NULL, -- the UTC day
	class     INTEGER NOT NULL, -- of size; fullClass is not merged any more
	oldest    INTEGER,          -- time and position of the first sample
	oldest_at BLOB    NOT NULL,
	newest    INTEGER,          -- time and position of the last sample
	newest_at BLOB    NOT NULL,
	block     BLOB    NOT NULL  -- sorted, without series
);
CREATE INDEX chunk_by_oldest ON chunk (stream, oldest, oldest_at);
CREATE INDEX chunk_by_newest ON chunk (stream, newest, newest_at);
CREATE INDEX chunk_of_series_by_oldest ON chunk (series, oldest, oldest_at);
CREATE INDEX chunk_of_series_by_newest ON chunk (series, newest, newest_at);
CREATE INDEX chunk_to_merge ON chunk (series, bucket, class) WHERE class < 3;
`}

// freshID is the key of the n-th fresh row of a stream. Rows of a stream lie together in the order of their numbers, in
// one tree, because single samples are written one by one; an index on (stream, n) would be a second one, and a table
// WITHOUT ROWID reads whole blocks while it looks for a key. A stream has at most one row for each of its fresh events.
func freshID(stream int64, n int) int64 { return stream<<16 | int64(n) }
