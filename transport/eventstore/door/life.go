package door

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// Names that the protocol gives a meaning.
const (
	metaPrefix    = "$$" // before the name of the stream that a stream's metadata is about
	typeMetadata  = "$metadata"
	typeTombstone = "$streamDeleted"
	endOfNumbers  = math.MaxInt64 // revision of a tombstone; as $tb, everything there is
)

// life is what the store knows of one stream besides its events.
type life struct {
	last       domain.Expected // where it ends, deleted or not
	tombstoned bool
	metadata   description
	described  bool            // it has metadata
	deleted    domain.Position // up to here it was deleted; zero if it was not
}

// description is what a stream's metadata says to the server. Further keys are the clients' own affair.
type description struct {
	MaxCount *int64 `json:"$maxCount"`
	MaxAge   *int64 `json:"$maxAge"` // seconds
	Before   *int64 `json:"$tb"`     // revisions below it are gone
}

// isDeleted tells whether all that a stream holds has been deleted.
func (l life) isDeleted(lastAt domain.Position) bool {
	return !l.deleted.IsZero() && !l.deleted.Before(lastAt)
}

// life finds out how a stream is.
func (s *Server) life(ctx context.Context, stream string) (life, domain.Position, error) {
	l := life{last: domain.NoStream}
	last, ok, err := s.lastOf(ctx, stream)
	if err != nil {
		return l, domain.Position{}, err
	}
	if ok {
		l.last, l.tombstoned = domain.Exactly(last.Revision), last.Type == typeTombstone
	}
	if strings.HasPrefix(stream, metaPrefix) {
		return l, last.Position, nil
	}
	about, ok, err := s.lastOf(ctx, metaPrefix+stream)
	if err != nil || !ok {
		return l, last.Position, err
	}
	l.described = true
	l.metadata = metadataIn(about)
	if b := l.metadata.Before; b != nil && *b == endOfNumbers {
		l.deleted, l.metadata.Before = about.Position, nil
	}
	return l, last.Position, nil
}

// metadataIn reads a stream's metadata. What is not well formed says nothing.
func metadataIn(r domain.Record) (m description) {
	if e, err := external.Unpack(r); err == nil {
		_ = json.Unmarshal(e.Data, &m)
	}
	return m
}

// lastOf is the last record of a stream, false if there is none.
func (s *Server) lastOf(ctx context.Context, stream string) (domain.Record, bool, error) {
	for r, err := range s.store.ReadStream(ctx, stream, math.MaxInt64, 1, commands.Backwards) {
		if errors.Is(err, domain.ErrNoStream) {
			return domain.Record{}, false, nil
		}
		return r, err == nil, err
	}
	return domain.Record{}, false, nil
}

// shows tells whether a record of the stream is there for readers.
func (l life) shows(r domain.Record, now time.Time) bool {
	m := l.metadata
	switch {
	case !l.deleted.IsZero() && !l.deleted.Before(r.Position):
	case m.Before != nil && int64(r.Revision) < *m.Before:
	case m.MaxCount != nil && *m.MaxCount > 0 && int64(r.Revision) <= int64(l.last)-*m.MaxCount:
	case m.MaxAge != nil && *m.MaxAge > 0 && r.Time.Before(now.Add(-seconds(*m.MaxAge))):
	default:
		return true
	}
	return false
}

// first is a revision below which nothing is there for readers: where to begin reading forwards.
func (l life) first() uint64 {
	first := int64(0)
	if b := l.metadata.Before; b != nil {
		first = max(first, *b)
	}
	if n := l.metadata.MaxCount; n != nil && *n > 0 {
		first = max(first, int64(l.last)-*n+1)
	}
	return uint64(first)
}

// locks makes what is decided about a stream and what is then appended to it one step, as this server is the only one that
// writes to streams of others.
type locks struct {
	seed  maphash.Seed
	once  sync.Once
	locks [64]sync.Mutex
}

func (l *locks) of(stream string) *sync.Mutex {
	l.once.Do(func() { l.seed = maphash.MakeSeed() })
	return &l.locks[maphash.String(l.seed, strings.TrimPrefix(stream, metaPrefix))%uint64(len(l.locks))]
}
