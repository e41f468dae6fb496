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
	// Stamp says in the envelope of what the caller appends who appended it.
	Stamp(e *domain.Envelope)
	// Opened puts on the record that a call is answered in parts from now on: what it is and which stream it names. It
	// returns an error if that is not on disk, and then nothing may be answered.
	Opened(ctx context.Context, call, stream string) error
	// Left puts on the record how a call ended: how many events it showed, and what failed. It returns an error if that
	// is not on disk, and then nothing may be answered. A call that has appended is on the record by its events.
	Left(ctx context.Context, call, stream string, rows int, failed error) error
}

// Shown is an event as clients get to see it: its data opened, or sealed as it is stored; its metadata what is known
// besides, as JSON. An event of others is as it was sent.
type Shown = external.Event
