package commands

import (
	"context"
	"iter"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/grant"
	"strandline/domain/plan"
	"strandline/domain/registry"
)

// EventStore is the only truth: an append-only list of records, cut into streams. Its rules are the numbered list of
// section 5 of the contract "EventStoreDB", held by the suite transport/eventstore/storetest.
//
// Every method returns within 100 ms of its context's end, with the context's error.
type EventStore interface {
	// Append adds records to the end of stream, all or none, and returns once they are on disk. Stream, revision, time
	// and position are the store's to give: what the records say of them is ignored. No records is allowed and checks
	// the expectation only.
	//
	// It fails with *domain.WrongRevisionError, domain.ErrAppendTooLarge or domain.ErrStoreFailed. An append whose ids
	// are those already at its place has happened before: it changes nothing and returns where it stands (contract
	// "EventStoreDB", section 1, idempotency).
	Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (Appended, error)

	// ReadStream yields the records of a stream, from the given revision inclusive, at most limit of them (0: all).
	// Backwards from a revision beyond the end begins at the end. A stream that nobody wrote yields domain.ErrNoStream.
	ReadStream(ctx context.Context, stream string, from uint64, limit int, direction Direction) iter.Seq2[domain.Record, error]

	// ReadAll yields all records in the order of their positions, from the given position inclusive (zero: from the
	// start; backwards, zero: from the end), at most limit of them (0: all).
	ReadAll(ctx context.Context, from domain.Position, limit int, direction Direction) iter.Seq2[domain.Record, error]

	// Follow yields the records after the given position, exclusive, in batches, and goes on live until ctx ends. An
	// empty batch says that it has caught up; it comes again each time after falling behind. A batch may be kept.
	Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error]

	// Find returns the record with the given id in stream, however old; domain.ErrNotFound if there is none.
	Find(ctx context.Context, stream string, id domain.ID) (domain.Record, error)

	// Head is the position of the last durable record, zero if there is none.
	Head(ctx context.Context) (domain.Position, error)
}

// Direction is the order of reading.
type Direction bool

// The directions.
const (
	Forwards  Direction = false
	Backwards Direction = true
)

// Appended says where an append stands. After an empty append it says where the stream and the store end.
type Appended struct {
	Revision uint64            // of the last record appended
	Position domain.Position   // of the last record appended
	All      []domain.Position // of each record appended, in order
	Repeated bool              // it had happened before
}

// Keys seals and names. Its implementation is transport/keys.
type Keys interface {
	// KeyFor returns the id of owner's key and makes the key first, durably, where there is none. Owner is the id of a
	// subject or an organization, or one of the owners below. A destroyed key is domain.ErrRejected.
	KeyFor(ctx context.Context, owner string) (string, error)
	// Hash is the HMAC-SHA256 of text under the installation's key, for the given purpose.
	Hash(purpose, text string) [32]byte
}

// Owners of keys that are nobody's in particular.
const (
	Installation = "installation"
	AuditTrail   = "audit" // followed by "-" and the day (YYYYMMDD): access events have a key for each day
)

// Directory knows the tree, the credentials and the grants, as of the events it has seen, without I/O.
// Its implementation is readmodels/directory.
type Directory interface {
	// Object finds what can be seen under id: it and all its ancestors are there and no plan of theirs is open.
	Object(id string) (registry.Object, bool)
	// Spec finds a specification by kind and name.
	Spec(kind registry.Kind, name string) (registry.Object, bool)
	// Credential finds a live credential by its id.
	Credential(id string) (account.Credential, bool)
	// Grants are the grants that a credential holds.
	Grants(credential string) []grant.Given
	// OpenPlans are the plans that have been made and are not done, oldest first.
	OpenPlans() []plan.Open
	// Wait returns when everything up to position has been applied.
	Wait(ctx context.Context, position domain.Position) error
}
