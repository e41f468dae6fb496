package door

import (
	"context"

	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// Gate finds out who is calling.
type Gate interface {
	// Enter checks the credentials of a call. Authorization is the header of that name, empty if there is none.
	// It fails with an error of kind domain.ErrForbidden where they are wrong or missing.
	Enter(ctx context.Context, address, authorization string) (Caller, error)
}

// Caller is somebody who has come in, for the time of one call.
type Caller interface {
	// MayAppend returns domain.ErrForbidden unless the caller may append to a stream, delete it, or change what is said
	// about it. For the stream of somebody's metadata it is asked of the stream that the metadata is about.
	MayAppend(stream string) error
	// MayManage returns domain.ErrForbidden unless the caller may make and change subscription groups.
	MayManage() error
	// Show returns a record as the caller gets to see it, opened if possible; false if it does not get to see it at all.
	Show(ctx context.Context, r domain.Record) (Shown, bool)
	// Left puts the call on the record: what it was, which stream it named, how many events it showed or appended, and
	// how it ended. It returns an error if that is not on disk, and then nothing may be answered. An appending call has
	// left its events, and is recorded by them.
	Left(ctx context.Context, call string, stream string, rows int, failed error) error
}

// Shown is an event as clients get to see it: its data opened, or sealed as it is stored; its metadata what is known
// besides, as JSON. An event of others is as it was sent.
type Shown = external.Event
