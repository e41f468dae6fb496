// Package door lets clients of EventStoreDB in: it serves an event store over that system's gRPC protocol, so that its
// official clients, and the tools built on them, work against Strandline's log (contract "EventStoreDB", sections 1
// and 4). The protocol's messages are the client module's own.
//
// Streams whose names begin with ext- are others': what they append is stored and returned as sent. All other streams are
// Strandline's own and can only be read. Who may do what, and what a caller gets to see of an event, is the Gate's to say;
// every call goes on the record through it.
package door
