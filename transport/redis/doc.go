// Package redis is the feed through Redis Streams: a doorbell, never a source (design, section 6). A Relay copies what
// the event store appends to the stream strandline:events, one entry for each batch; a Feed reads that stream for
// projections, each at its own checkpoint. What Redis has lost, trimmed, doubled or never got is read from the store, so
// that a flushed, restarted or absent Redis changes when events come and never which.
//
// An entry is a message in watermill-redisstream's own form, so that a stock Watermill subscriber can listen too:
//
//	id        commit-prepare of the last position in it: a relay that repeats itself, or a second one, adds nothing
//	metadata  "first", "last" and "prev" (the position before the first), "count", "types" (with commas between them)
//	payload   the records as they are stored, still sealed (entry.go); empty where they would be too large: whoever
//	          wants them reads the store from "prev"
//
// Contiguity: a reader applies an entry only if its "prev" is not beyond what the reader has; else it reads the store up
// to there first. A relay adds an entry only behind the one before it, and fills the stream anew when it has lost what
// somebody may not have read.
//
// For others there are a Worker, which is a Watermill subscriber with a group, a Publisher for the topics of a component,
// and a Registry of the services that are alive.
//
// Of Watermill its messages and router are used, and of watermill-redisstream how it writes messages; its subscriber is
// not, for what traps_test.go shows.
package redis
