package domain

import "strconv"

// Expected is where a writer believes a stream ends: an exact revision (from 0), or one of the special values.
// The numbers are those of EventStoreDB's protocol.
type Expected int64

// Special expected revisions.
const (
	Any          Expected = -2 // wherever it ends, even if it does not exist
	NoStream     Expected = -1 // it does not exist
	StreamExists Expected = -4 // it exists, wherever it ends
)

// Exactly expects the last event of the stream to have the given revision.
func Exactly(revision uint64) Expected { return Expected(revision) }

// IsExact tells whether e is an exact revision or NoStream, so that a repeated append can be recognised for ever.
func (e Expected) IsExact() bool { return e >= NoStream }

// Next is the revision that the first event appended at an exact e gets.
func (e Expected) Next() uint64 { return uint64(e + 1) }

func (e Expected) String() string {
	switch e {
	case Any:
		return "any"
	case NoStream:
		return "no stream"
	case StreamExists:
		return "stream exists"
	}
	return "revision " + strconv.FormatInt(int64(e), 10)
}
