package couch

import (
	"fmt"
	"strconv"
	"strings"

	"strandline/domain"
)

// First parts of the ids of documents in a build.
const (
	ofObjects     = "o" // then kind and id
	ofAttachments = "a" // then owner, target and key
	ofPieces      = "p" // then the id of the document that they belong to, a position and a number
	ofParked      = "x" // then a position
	checkpointID  = "checkpoint"
)

// docID joins names so that ids are in the order of names, byte by byte, whichever collation is used: a comma comes
// before all else that stands in it.
func docID(first string, names ...string) string {
	var b strings.Builder
	b.WriteString(first)
	for _, name := range names {
		b.WriteByte(',')
		escape(&b, name)
	}
	return b.String()
}

// escape writes what is not between '.' and '}' in hexadecimal, after a sign that comes before or after these.
func escape(b *strings.Builder, name string) {
	for i := range len(name) {
		switch c := name[i]; {
		case c < '.':
			fmt.Fprintf(b, "-%02x", c)
		case c > '}':
			fmt.Fprintf(b, "~%02x", c)
		default:
			b.WriteByte(c)
		}
	}
}

// below is the range of the ids that begin with some names: the first and what comes after the last.
func below(first string, names ...string) (start, end string) {
	id := docID(first, names...)
	return id + ",", id + "-"
}

// pieceID is that of the n-th piece of what an event at a position has written to a document.
func pieceID(of string, at domain.Position, n int) string {
	return docID(ofPieces, of, sortable(at), fmt.Sprintf("%06d", n))
}

// sortable is a position as text of one length, in the order of positions.
func sortable(at domain.Position) string { return fmt.Sprintf("%016x%016x", at.Commit, at.Prepare) }

// positionIn reads the position in the id of a piece.
func positionIn(id string) (at domain.Position, err error) {
	names := strings.Split(id, ",")
	if len(names) != 4 || len(names[2]) != 32 {
		return at, fmt.Errorf("%q is not the id of a piece", id)
	}
	if at.Commit, err = strconv.ParseUint(names[2][:16], 16, 64); err != nil {
		return at, err
	}
	at.Prepare, err = strconv.ParseUint(names[2][16:], 16, 64)
	return at, err
}
