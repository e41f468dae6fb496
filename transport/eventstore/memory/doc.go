// Package memory is the event store for tests: all the rules of the port commands.EventStore, nothing on disk. It passes
// the same suite as the real ones (transport/eventstore/storetest). With WithGaps its positions look like EventStoreDB's:
// pairs that grow strictly and are not dense, so that arithmetic on a position shows as a failing test.
package memory
