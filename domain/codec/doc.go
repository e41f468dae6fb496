// Package codec turns events into the records that a store keeps, and back. A store sees only ids, names of ours, times
// and sealed bytes; everything that a client said is inside the seal.
//
// The sealed text ("plaintext") of a record is
//
//	1 byte    the format, 1
//	uvarint   n, the length of the request; 0 is none
//	n bytes   the request that led to the event, JSON of domain.Request
//	the rest  the event, JSON in the schema of its type and version; compressed if the content type says so
//
// and is sealed together with associated data: stream, type, event id (16 bytes) and schema version (uvarint), in this
// order, each with its length as a uvarint before it. A sealed event can thus not be passed off as another.
//
// A value of more than 256 KiB is cut into parts, records of type "value.part" with ids derived from the event's, which
// stand in the same stream directly before the event's own record. That one then names their number and their hash.
package codec
