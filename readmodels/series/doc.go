// Package series keeps what instruments observed, by time, and answers for ranges of it.
//
// Samples lie in blocks, some hundreds to a row. Two tables hold them:
//
//   - fresh has what came last of each stream (a subject and channel), one small block for each transaction, in the
//     order of arrival. A reader looks at all of it, so it is bounded: at 256 events or 512 KiB it becomes chunks.
//   - chunk has blocks of one series (what was measured) and one UTC day, sorted by time and indexed by their first and
//     last sample. Eight small chunks of a series and day become one, until a chunk has 64 KiB and is left alone. As
//     no chunk spans two days, data that arrive weeks late widen no other chunk's range.
//
// What becomes a chunk, and when, follows from the order of events alone, never from where transactions end: the same
// log always gives the same chunks. A retraction removes what it hides at once; what comes later is not touched by it.
package series
