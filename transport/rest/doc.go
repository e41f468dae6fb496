// Package rest is what all dialects of the HTTP port share: from the first byte of a request to the last of its answer.
//
// A dialect decides what an answer says; this package sees to the rest of it: a request id, a bounded body, the
// headers that every dialect understands, panics, and above all that each request leaves exactly one durable record
// before the first byte of its answer. A command's events are that record; whatever leaves no events (a read, a
// refusal, an unknown path, a request that cannot be understood) leaves one access event instead.
//
//	Switch ─▶ Pipeline ─▶ Dialect.Answer ─▶ on the record ─▶ the answer
package rest
