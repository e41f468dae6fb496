package couch

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/readmodels/documents"
)

// entry is a document of CouchDB that stands for an object or an attachment.
type entry struct {
	ID       string          `json:"_id"`
	Rev      string          `json:"_rev,omitempty"`
	At       domain.Position `json:"at"`               // of the last event that changed it: older ones do not
	Gone     bool            `json:"gone,omitempty"`   // it was removed, and has only Names and At
	Names    []string        `json:"names"`            // kind and id, or owner, target and key
	Parent   string          `json:"parent,omitempty"` // of an object
	Created  domain.Position `json:"created"`
	Revision uint64          `json:"revision"`
	Body     string          `json:"body,omitempty"`   // JSON as it was sent, or of an object as documents.Body has it
	Pieces   int             `json:"pieces,omitempty"` // how many documents hold the body, if it is not here
	Cut      bool            `json:"cut,omitempty"`    // it has had pieces at some time
}

// piece is a document of CouchDB that holds a piece of a body.
type piece struct {
	ID   string `json:"_id"`
	Text string `json:"text"`
}

// Sizes in bytes.
const (
	wholeSize = 16 << 10  // of the longest body that is not cut into pieces
	pieceSize = 256 << 10 // of a piece, at most
)

// mostPieces is how many a body may have: far more than requests are large.
const mostPieces = 1 << 16

// ours tells whether e is as it was written here. Others may have put documents beside ours.
func (e *entry) ours(first string) bool {
	names := 2
	if first == ofAttachments {
		names = 3
	}
	return len(e.Names) == names && e.ID == docID(first, e.Names...) && e.Pieces >= 0 && e.Pieces <= mostPieces
}

// cut takes the body of e apart if it is long, and returns the pieces.
func (e *entry) cut() (pieces []piece) {
	e.Pieces = 0
	if len(e.Body) <= wholeSize {
		return nil
	}
	for rest := e.Body; rest != ""; {
		n := min(len(rest), pieceSize)
		for n < len(rest) && !utf8.RuneStart(rest[n]) {
			n--
		}
		pieces = append(pieces, piece{pieceID(e.ID, e.At, len(pieces)), rest[:n]})
		rest = rest[n:]
	}
	e.Body, e.Pieces, e.Cut = "", len(pieces), true
	return pieces
}

// pieceIDs are those of the documents that hold the body.
func (e *entry) pieceIDs() (ids []string) {
	for n := range e.Pieces {
		ids = append(ids, pieceID(e.ID, e.At, n))
	}
	return ids
}

func (e *entry) document() documents.Document {
	return documents.Document{Kind: registry.Kind(e.Names[0]), ID: e.Names[1], Parent: e.Parent,
		Created: e.Created, Revised: e.At, Revision: e.Revision, Body: json.RawMessage(e.Body)}
}

func (e *entry) attachment() documents.Attachment {
	return documents.Attachment{Owner: e.Names[0], Target: e.Names[1], Key: e.Names[2], Position: e.At, Revision: e.Revision}
}

// Concerns implements readmodels.Remote.
func (*Store) Concerns(e domain.Event) bool {
	first, _ := about(e)
	return first != ""
}

// target is the id of the entry that an event is about, with its names; empty for an event of no interest.
func target(e domain.Event) (id string, names []string) {
	first, names := about(e)
	if first == "" {
		return "", nil
	}
	return docID(first, names...), names
}

// about is what an event is about: the first part of the id, and the names; empty for an event of no interest.
func about(e domain.Event) (first string, names []string) {
	switch e := e.(type) {
	case registry.Added:
		return ofObjects, []string{string(e.Kind), e.ID}
	case registry.Revised:
		return ofObjects, []string{string(e.Kind), e.ID}
	case registry.Removed:
		return ofObjects, []string{string(e.Kind), e.ID}
	case attachment.Set:
		return ofAttachments, []string{e.Owner, e.Target, e.Key}
	case attachment.Cleared:
		return ofAttachments, []string{e.Owner, e.Target, e.Key}
	}
	return "", nil
}

// size is that of what an event brings.
func size(e domain.Event) (n int) {
	switch e := e.(type) {
	case registry.Added:
		return sizeOf(e.Attributes)
	case registry.Revised:
		return sizeOf(e.Attributes)
	case attachment.Set:
		return len(e.Value)
	}
	return 0
}

func sizeOf(attributes registry.Attributes) (n int) {
	for name, value := range attributes {
		n += len(name) + len(value)
	}
	return n
}

// evolve changes e, whose body is whole, by an event that is about it, and tells whether that made a difference. Only
// newer events do. An entry that CouchDB does not have is one without revision that is gone.
func (e *entry) evolve(r domain.Recorded) (changed bool, err error) {
	if !e.At.Before(r.Position) {
		return false, nil
	}
	body := []byte(e.Body)
	switch event := r.Event.(type) {
	case registry.Added:
		e.Parent, e.Created = event.Parent, r.Position
		body, err = documents.Body(event.Attributes)
	case registry.Revised:
		if e.Gone {
			return false, nil
		}
		body, err = documents.Merge(body, event.Attributes)
	case attachment.Set:
		e.Created, body = r.Position, slices.Clone(event.Value)
	case registry.Removed, attachment.Cleared:
		if e.Gone {
			return false, nil
		}
		*e = entry{ID: e.ID, Rev: e.Rev, Names: e.Names, Cut: e.Cut, At: r.Position, Gone: true}
		return true, nil
	}
	if err == nil && !utf8.Valid(body) {
		err = fmt.Errorf("%w: it is not UTF-8", domain.ErrInvalid)
	}
	if err != nil {
		return false, fmt.Errorf("write %s at %s: %w", e.ID, r.Position, err)
	}
	e.Gone, e.At, e.Revision, e.Body = false, r.Position, r.Revision, string(body)
	return true, nil
}
