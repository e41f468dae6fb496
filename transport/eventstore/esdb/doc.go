// Package esdb is the port commands.EventStore over EventStoreDB, by its official Go client (version 4.2.0).
//
// That client has defects, which the contract "EventStoreDB" lists in section 3. They are contained here:
//
//   - It gives up for good, hangs past deadlines and leaks while its server is away, all of it once its state machine looks
//     for another connection. So it is kept from that: a call that finds the connection broken is ended before it asks for
//     another one (link.go). Nobody enters that client again; it is closed when the last call has left it, and another one
//     is made behind a back-off, tried with one call, and only then given to others (supervisor.go).
//   - It waits for as long as TCP and HTTP/2 do where the network swallows everything. A server that owes an answer and says
//     nothing, not even to a question of ours, is given up after four seconds, and all who wait for it are told (watch.go).
//     While there is none, callers who set no limit of their own wait for five seconds together, and then not at all.
//   - It never asks for the leader. The header that does goes with every call, and a server that is not the leader is
//     left for the one that it names (supervisor.go).
//   - It panics at messages that it does not know. Panics end the call, as an error.
//   - An append that is refused early looks like a broken connection. Sizes are checked before; for other reasons the
//     server is asked again with the same append and no events in it (append.go).
//   - Reads and subscriptions end with the connection. They go on over another after the last event seen, never after a
//     checkpoint, which may be greater than that (read.go, follow.go).
//   - It passes over settings of the connection string that it does not know, and its errors tell the password
//     (connection.go).
//
// One remains: it ends the process at an event whose time of creation is not a number. Every server sends one.
//
// A record is an event of the same id and type, whose metadata is the envelope as JSON and whose data are the bytes as
// they are sealed. An event without such metadata is one of others (package external). System events, whose streams begin
// with a dollar, are not seen.
package esdb
