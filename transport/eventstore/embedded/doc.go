// Package embedded is the event store inside the process: an append-only log in segments, made durable a group of appends
// at a time, with an index of its own that can always be made anew from the segments. FORMAT.md describes the files.
//
// An append goes through four hands. Its caller encodes and hashes the data and asks the runs what they know of it
// (request.go, lookup.go), and queues it (queue.go). The committer takes what has queued, decides each append against heads
// and index (decide.go) and builds a group (committer.go). The group flies to the disk, with one write and one sync
// (flight.go), while the next is built if there are many writers; then the durable watermark moves, the followers wake and
// the callers go on. No reader ever sees past the watermark.
//
// The active segment is indexed in memory (memtable.go). Once a segment is full, its index becomes a sorted file (run.go)
// and runs are merged, eight into one (maintain.go). The next segment is prepared in the background (spare.go).
//
// A failed write or sync stops the store for good: what is durable can still be read, and every append is refused with
// domain.ErrStoreFailed until the process starts anew and recovers (recovery.go).
package embedded
