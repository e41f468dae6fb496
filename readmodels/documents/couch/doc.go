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
// lies in documents of its own, of at most 256 KiB: CouchDB 3 takes no document over 8 MB. Names stand in ids in letters
// that need no care in URLs, cut after 100 bytes and ended by a hash, since CouchDB takes no URL over some thousand bytes.
//
// What differs from SQLite:
//
//   - A read while a batch is being written may see a part of it. Up to the checkpoint everything is there.
//   - What is removed leaves a document without content, which tells late writers that it is newer. Content that has been
//     replaced stays in the files of CouchDB until it compacts them; a rebuild begins a new database and drops the old.
//   - The user needs to make and drop databases: a server admin. They are open to server admins only. Documents of others
//     beside ours are passed over, and databases of others that are named nearly like ours left alone; a document of ours
//     that others have changed beyond recognition has all of them built anew.
//   - One PREFIX is for one installation. The one that came last has it; the other one stalls, and says so.
//   - Several processes may write to one node of CouchDB at once. In a cluster, where two nodes can both take an update of
//     one document, one process at a time should, and the others follow it (Store.Follow): they ask for its checkpoint, and
//     write nothing.
//   - A database that has been replaced is dropped by a write after readmodels.Followed, and not before others have had the
//     time to hear of it. So is what a crash has left, unless somebody goes on filling it.
//
// # What it has been tested against
//
// pouchdb-server 4.2.0 (the same protocol over LevelDB, and in memory) by kivik 4.5.2: not CouchDB itself, which was not to
// be had. So only requests are made that CouchDB documents and has had since version 1: databases and _security, _all_docs
// with keys and ranges by 200, _bulk_docs by 200, single documents with _rev. Where CouchDB 3 is stricter by its
// documentation, its bounds are kept: sizes of documents, lengths of URLs, names of databases and of documents, 202 in the
// place of 201 from a cluster, and errors of _bulk_docs, which name neither a status nor a revision.
package couch
