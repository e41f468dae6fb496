// Package projections turns recorded events into read models. A Projection says what one event writes; the Runner
// follows the store, decodes every event once for all of them, and keeps each at its own pace:
//
//	store ── follow ──▶ decode once ──▶ stream of batches ──┬──▶ documents   each in its own goroutine,
//	                                                        ├──▶ series      one transaction moves data
//	                        a projection that is too far    ├──▶ audit       and checkpoint together
//	                        behind reads the store alone    └──▶ directory   (in memory, with a snapshot)
//
// Batches follow each other without a gap by the contiguity rule: each names the position before its first event, and
// is applied only where that is the checkpoint. What a read model holds depends on the log alone: not on time, on the
// cutting of batches or on where a process was killed.
package projections
