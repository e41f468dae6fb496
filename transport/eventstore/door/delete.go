package door

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// Delete implements the service: a soft deletion. What the stream holds is gone for those who read the stream; the next
// append goes on with its numbers. Those who read everything still see it.
func (s *Server) Delete(ctx context.Context, r *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := r.GetOptions()
	expected := domain.Any
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.DeleteReq_Options_Revision:
		expected = domain.Exactly(e.Revision)
	case *streams.DeleteReq_Options_NoStream:
		expected = domain.NoStream
	case *streams.DeleteReq_Options_StreamExists:
		expected = domain.StreamExists
	}
	at, err := s.remove(ctx, "delete", string(o.GetStreamIdentifier().GetStreamName()), expected, s.hide)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: at.Commit, PreparePosition: at.Prepare},
	}}, nil
}

// Tombstone implements the service: the stream's name can never be used again.
func (s *Server) Tombstone(ctx context.Context, r *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := r.GetOptions()
	expected := domain.Any
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.TombstoneReq_Options_Revision:
		expected = domain.Exactly(e.Revision)
	case *streams.TombstoneReq_Options_NoStream:
		expected = domain.NoStream
	case *streams.TombstoneReq_Options_StreamExists:
		expected = domain.StreamExists
	}
	at, err := s.remove(ctx, "tombstone", string(o.GetStreamIdentifier().GetStreamName()), expected, s.bury)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: at.Commit, PreparePosition: at.Prepare},
	}}, nil
}

// remove takes a stream away, in one of the two ways.
func (s *Server) remove(ctx context.Context, call, stream string, expected domain.Expected,
	how func(ctx context.Context, caller Caller, stream string, l life) (domain.Position, error)) (domain.Position, error) {
	caller, err := s.enter(ctx)
	if err != nil {
		return domain.Position{}, failure(ctx, stream, err)
	}
	at, err := domain.Position{}, nameable("stream", stream)
	if err != nil {
		stream = "" // what makes no sense is not put on the record
	} else {
		at, err = s.removed(ctx, caller, stream, expected, how)
	}
	if err != nil {
		err = s.left(ctx, caller, call, stream, 0, err)
	}
	return at, failure(ctx, stream, err)
}

func (s *Server) removed(ctx context.Context, caller Caller, stream string, expected domain.Expected,
	how func(ctx context.Context, caller Caller, stream string, l life) (domain.Position, error)) (domain.Position, error) {
	if stream == allStream || strings.HasPrefix(stream, metaPrefix) {
		return domain.Position{}, errNotDeletable
	}
	if err := mayAppend(caller, stream); err != nil {
		return domain.Position{}, err
	}
	lock := s.busy.of(stream)
	lock.Lock()
	defer lock.Unlock()
	l, lastAt, err := s.life(ctx, stream)
	if err != nil {
		return domain.Position{}, err
	}
	if l.tombstoned {
		return domain.Position{}, ErrStreamDeleted
	}
	current := l.last
	if l.isDeleted(lastAt) {
		current = domain.NoStream
	}
	if expected == domain.StreamExists && current == domain.NoStream || expected.IsExact() && expected != current && expected != l.last {
		return domain.Position{}, &domain.WrongRevisionError{Stream: stream, Expected: expected, Current: current}
	}
	return how(ctx, caller, stream, l)
}

// hide says in a stream's metadata that all it holds is gone, and keeps what else that says.
func (s *Server) hide(ctx context.Context, caller Caller, stream string, _ life) (domain.Position, error) {
	keys := map[string]json.RawMessage{}
	if about, ok, err := s.lastOf(ctx, metaPrefix+stream); err != nil {
		return domain.Position{}, err
	} else if e, err := external.Unpack(about); ok && err == nil {
		_ = json.Unmarshal(e.Data, &keys) // what is not well formed is not kept
	}
	if keys == nil {
		keys = map[string]json.RawMessage{} // it was null
	}
	keys["$tb"] = json.RawMessage("9223372036854775807")
	data, err := json.Marshal(keys)
	if err != nil {
		return domain.Position{}, err
	}
	return s.note(ctx, caller, metaPrefix+stream, domain.Any, typeMetadata, data)
}

// bury ends a stream for ever.
func (s *Server) bury(ctx context.Context, caller Caller, stream string, l life) (domain.Position, error) {
	return s.note(ctx, caller, stream, l.last, typeTombstone, []byte("{}"))
}

// note appends an event of the server's own.
func (s *Server) note(ctx context.Context, caller Caller, stream string, expected domain.Expected, typ string, data []byte) (domain.Position, error) {
	return s.put(ctx, caller, stream, expected, typ, external.Event{JSON: true, Data: data})
}

// put appends an event for a caller, or for nobody in particular.
func (s *Server) put(ctx context.Context, caller Caller, stream string, expected domain.Expected, typ string, e external.Event) (domain.Position, error) {
	r := domain.Record{
		Envelope: domain.Envelope{Type: typ, Version: 1, Dialect: "esdb", ContentType: domain.External},
		Data:     e.Pack(),
	}
	rand.Read(r.ID[:])
	if caller != nil {
		caller.Stamp(&r.Envelope)
	}
	done, err := s.store.Append(ctx, stream, expected, []domain.Record{r})
	return done.Position, err
}
