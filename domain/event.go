package domain

import "time"

// Event is a fact in the words of one kind of stream: what happened, and nothing about who recorded it.
type Event interface {
	// EventType is the hand-written name under which the event is stored, kind.verb in the past tense ("study.added").
	EventType() string
}

// Command is a request to one stream, in the imperative. Its decider may refuse it.
type Command interface {
	// Stream names the stream that the command is decided against.
	Stream() string
	// CommandName is the name under which the command is recorded ("study.add").
	CommandName() string
}

// Envelope is the plain part of a stored event. It holds ids, names of ours and times, never text that a client chose
// (decision 2): such text is in the sealed data, and stands here and in stream names only as its HMAC.
type Envelope struct {
	ID          ID        // the event's own
	Type        string    // kind.verb
	Version     int       // of the type's schema, from 1
	Stream      string    // category-id
	Revision    uint64    // place in the stream, from 0; given by the store
	Time        time.Time // when it was recorded, UTC, in steps of 100 ns, never going back in one store; given by the store
	Actor       string    // who acted: an object's id, "root", "system" or "anonymous"
	Credential  string    // id of the credential used, empty if none
	APIKey      string    // id of the client's API key, empty if none
	Dialect     string    // "lamp", "api", "system"
	CommandID   ID        // the same for all events of one command
	Command     string    // its name
	Correlation ID        // the same for all that one request led to: the request's id
	Causation   ID        // the event or command that led to this one
	Subject     string    // whom it is about: a participant's id, empty if nobody
	Key         string    // id of the key that seals the data, empty if it is not sealed
	ContentType ContentType
	Extra       []byte // fields that a newer version wrote and this one does not know, kept as they are
}

// ContentType says what the opened data is.
type ContentType uint8

// The content types. They are stored: numbers never change.
const (
	JSON     ContentType = 1 // JSON in our own schema
	JSONZstd ContentType = 2 // the same, compressed before sealing
	Part     ContentType = 3 // a piece of a value too large for one event (decision 4)
	Parts    ContentType = 4 // {"parts","sha256","type"}: the data is in the Parts events just before, in the same stream
	External ContentType = 5 // bytes of others, stored as sent
)

// Record is an event as a store keeps it: envelope and sealed data.
type Record struct {
	Position Position
	Envelope
	Data []byte
}

// Request is what is known of the request that led to an event. It holds personal data (an address, what a client
// wrote) and so is sealed with the first event of its command.
type Request struct {
	Address string `json:"address,omitempty"` // of the caller, without port
	Agent   string `json:"agent,omitempty"`   // User-Agent, at most 256 bytes
	Method  string `json:"method,omitempty"`
	Route   string `json:"route,omitempty"`  // the route's template, such as "/participant/{id}/sensor_event"
	Object  string `json:"object,omitempty"` // the id that the request named
	Status  int    `json:"status,omitempty"` // HTTP status of the answer
	Reason  string `json:"reason,omitempty"` // why, in the caller's words (header Strandline-Reason)
	Digest  string `json:"digest,omitempty"` // keyed hash of the body, where the client sent an Idempotency-Key (decision 8)
}

// Recorded is an event opened and decoded.
type Recorded struct {
	Position Position
	Envelope
	Request *Request // with the first event of each command, else nil
	Event   Event    // nil if it cannot be shown: Sealed or Unknown says why
	Sealed  bool     // its key has been destroyed
	Unknown bool     // its type or version is newer than this program
	Size    int      // bytes of the stored data, for bounding batches
}
