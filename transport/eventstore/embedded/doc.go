// Package embedded is the event store inside the process: an append-only log in segments, made durable a group of appends
// at a time, with an index of its own that can always be made anew from the segments. FORMAT.md describes the files.
//
// An append goes through four hands. Its caller encodes and hashes the data (request.go) and queues it (queue.go). The
// committer takes what has queued, decides each append against heads and index (decide.go), writes all of it with one
// write and one sync (committer.go), moves the durable watermark, wakes the followers and lets the callers go. No reader
// ever sees past the watermark.
//
// The active segment is indexed in memory (memtable.go). Once a segment is full, its index becomes a sorted file (run.go)
// and runs are merged, eight into one (maintain.go).
//
// A failed write or sync stops the store for good: what is durable can still be read, and every append is refused with
// domain.ErrStoreFailed until the process starts anew and recovers (recovery.go).
package embedded
