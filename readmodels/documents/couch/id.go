package couch

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"strandline/domain"
)

// First parts of the ids of documents in a build.
const (
	ofObjects     = "o" // then kind and id
	ofAttachments = "a" // then owner, target and key
	ofPieces      = "p" // then a hash of the id of the document that they belong to, a position and a number
	ofParked      = "x" // then a position
	checkpointID  = "checkpoint"
)

// nameSize is how many bytes of a name stand in an id. What is longer ends with a hash, so that ids fit into URLs, of
// which CouchDB takes no more than some thousand bytes.
const nameSize = 100

// docID joins names. CouchDB lists documents in the order of the bytes of their ids, and so in that of names: a comma
// comes before all else that stands in them. Only names with the same first nameSize bytes are in any order.
func docID(first string, names ...string) string {
	var b strings.Builder
	b.WriteString(first)
	for _, name := range names {
		b.WriteByte(',')
		escape(&b, name[:min(len(name), nameSize)])
		if len(name) > nameSize {
			fmt.Fprintf(&b, "=%x", sha256.Sum256([]byte(name)))
		}
	}
	return b.String()
}

// escape writes what is not between '0' and '}' in hexadecimal, after a sign that comes before or after these.
func escape(b *strings.Builder, name string) {
	for i := range len(name) {
		switch c := name[i]; {
		case c < '0':
			fmt.Fprintf(b, "-%02x", c)
		case c > '}':
			fmt.Fprintf(b, "~%02x", c)
		default:
			b.WriteByte(c)
		}
	}
}

// unordered is what the ids of some names begin with that come in any order among each other, empty if there are none.
func unordered(first string, names ...string) string {
	long := slices.IndexFunc(names, func(name string) bool { return len(name) > nameSize })
	if long < 0 {
		return ""
	}
	return docID(first, append(slices.Clone(names[:long]), names[long][:nameSize])...)
}

// below is the range of the ids that begin with some names: the first and what comes after the last.
func below(first string, names ...string) (start, end string) {
	id := docID(first, names...)
	return id + ",", id + "-"
}

// belonging stands for a document in the ids of its pieces.
func belonging(to string) string {
	sum := sha256.Sum256([]byte(to))
	return fmt.Sprintf("%x", sum[:16])
}

// pieceID is that of the n-th piece of what an event at a position has written to a document.
func pieceID(of string, at domain.Position, n int) string {
	return docID(ofPieces, belonging(of), sortable(at), fmt.Sprintf("%06d", n))
}

// sortable is a position as text of one length, in the order of positions.
func sortable(at domain.Position) string { return fmt.Sprintf("%016x%016x", at.Commit, at.Prepare) }

// positionIn reads the position in the id of a piece; false if it is not one of ours.
func positionIn(id string) (at domain.Position, ours bool) {
	names := strings.Split(id, ",")
	if len(names) != 4 || len(names[2]) != 32 {
		return at, false
	}
	commit, err := strconv.ParseUint(names[2][:16], 16, 64)
	if err != nil {
		return at, false
	}
	prepare, err := strconv.ParseUint(names[2][16:], 16, 64)
	return domain.Position{Commit: commit, Prepare: prepare}, err == nil
}
