// Package couch keeps documents (package documents) in CouchDB, for installations that run one: objects with their
// attributes, and the JSON documents attached to them. It answers as documents.Store does, and a dump of either is the
// same, byte for byte.
//
// A build of the read model is a database of its own, PREFIX-documents-VERSION-…; a document in the database PREFIX says
// which of them serves. Each object and each attachment is one document. It carries the position of the last event
// that changed it and is written only by newer ones, so events that come again, also from another process, change
// nothing. The checkpoint is a document of the same database, written after what it stands for.
//
// JSON of clients is kept as text, because CouchDB would write its numbers and members anew. What is longer than 16 KiB
// lies in documents of its own, of at most 256 KiB: CouchDB takes no document over 8 MB.
//
// What differs from SQLite:
//
//   - A read while a batch is being written may see a part of it. Up to the checkpoint everything is there.
//   - What is removed leaves a document without content, which tells late writers that it is newer. Content that has been
//     replaced stays in the files of CouchDB until it compacts them; a rebuild begins a new database and drops the old.
//   - The user needs to make and drop databases: a server admin. One PREFIX is for one installation.
//   - Several processes may write to one node of CouchDB at once. In a cluster, where two nodes can both take an update of
//     one document, one process at a time should.
//
// It has been tested against pouchdb-server 4.2.0 (the same protocol over LevelDB, and in memory), not against CouchDB
// itself, with kivik 4.5.2: of that only requests that CouchDB has had since version 1 (databases, _all_docs with keys
// and ranges, _bulk_docs, single documents).
package couch
