package door

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// Append implements the service: a stream's name and the expected revision, then the events, one message each.
func (s *Server) Append(call streams.Streams_AppendServer) error {
	ctx := call.Context()
	caller, err := s.enter(ctx)
	if err != nil {
		return failure(ctx, "", err)
	}
	a, err := s.received(call, caller)
	if err == nil {
		err = s.append(ctx, caller, a)
	}
	var wrong *domain.WrongRevisionError
	if err != nil && !errors.As(err, &wrong) {
		return failure(ctx, a.stream, s.left(ctx, caller, "append", a.stream, 0, err))
	}
	if err != nil {
		if err := s.left(ctx, caller, "append", a.stream, 0, err); !errors.As(err, &wrong) {
			return failure(ctx, a.stream, err)
		}
		return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: refusal(wrong)}})
	}
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success(a)}})
}

// left puts a call on the record, and returns how it ended: with failed, unless the record could not be written.
func (s *Server) left(ctx context.Context, caller Caller, call, stream string, rows int, failed error) error {
	if err := caller.Left(context.WithoutCancel(ctx), call, stream, rows, failed); err != nil {
		s.log.Error("a call could not be put on the record", "call", call, "error", err)
		return errors.Join(domain.ErrUnavailable, err)
	}
	return failed
}

// appending is an append on its way.
type appending struct {
	stream   string
	expected domain.Expected
	records  []domain.Record
	size     int
	done     commands.Appended
}

// received reads the messages of an append. One that is refused is read to its end all the same, up to a bound, and not
// kept: a client that is still sending does not hear why it is refused.
func (s *Server) received(call streams.Streams_AppendServer, caller Caller) (*appending, error) {
	a := &appending{}
	first, err := call.Recv()
	if err != nil || first.GetOptions() == nil {
		return a, fmt.Errorf("%w: an append begins with its options", domain.ErrInvalid)
	}
	refused := a.begin(caller, string(first.GetOptions().GetStreamIdentifier().GetStreamName()), expectedBy(first.GetOptions()))
	for read := 0; read < mostUnheard; {
		message, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return a, refused
		}
		if err != nil {
			return a, fmt.Errorf("%w: an append was cut off: %w", domain.ErrInvalid, err)
		}
		if read += proto.Size(message); refused == nil {
			refused = s.add(a, message.GetProposedMessage())
		}
		if refused != nil {
			a.records = nil
		}
	}
	return a, cmp.Or(refused, error(&sizeError{s.maxAppend}))
}

// begin says what an append is to, if somebody may append to it.
func (a *appending) begin(caller Caller, stream string, expected domain.Expected) error {
	if err := nameable("stream", stream); err != nil {
		return err
	}
	a.stream, a.expected = stream, expected
	return mayAppend(caller, stream)
}

// add takes one more event into an append.
func (s *Server) add(a *appending, p proposed) error {
	id, err := idOf(p.GetId())
	if err != nil {
		return err
	}
	if id.IsZero() {
		rand.Read(id[:])
	}
	sent := p.GetMetadata()
	if err := nameable("type", sent[keyType]); err != nil {
		return err
	}
	if len(a.records) == mostEvents {
		return fmt.Errorf("%w: an append has at most %d events", domain.ErrInvalid, mostEvents)
	}
	if a.size += len(p.GetData()) + len(p.GetCustomMetadata()); a.size > s.maxAppend {
		return &sizeError{s.maxAppend}
	}
	e := external.Event{JSON: sent[keyContentType] == jsonContent, Metadata: p.GetCustomMetadata(), Data: p.GetData()}
	a.records = append(a.records, domain.Record{
		Envelope: domain.Envelope{ID: id, Type: sent[keyType], Version: 1, Dialect: "esdb", ContentType: domain.External},
		Data:     e.Pack(),
	})
	return nil
}

// append appends for a caller, who may.
func (s *Server) append(ctx context.Context, caller Caller, a *appending) error {
	lock := s.busy.of(a.stream)
	lock.Lock()
	defer lock.Unlock()
	expected, err := s.expect(ctx, a)
	if err != nil {
		return err
	}
	for i := range a.records {
		caller.Stamp(&a.records[i].Envelope)
	}
	a.done, err = s.store.Append(ctx, a.stream, expected, a.records)
	var wrong *domain.WrongRevisionError
	switch {
	case errors.As(err, &wrong):
		return &domain.WrongRevisionError{Stream: a.stream, Expected: a.expected, Current: wrong.Current}
	case errors.Is(err, domain.ErrAppendTooLarge):
		return &sizeError{s.maxAppend}
	}
	return err
}

// mayAppend refuses what nobody may, and what the caller may not.
func mayAppend(caller Caller, stream string) error {
	if why := reserved(stream); why != "" {
		return fmt.Errorf("%w: %s: append to a stream with a name of its own", domain.ErrForbidden, why)
	}
	return caller.MayAppend(stream)
}

// reserved says why nobody may append to a stream; nothing if somebody may.
func reserved(stream string) string {
	about := strings.TrimPrefix(stream, metaPrefix)
	switch {
	case isVirtual(about):
		return about + " holds links that the server makes"
	case about == allStream:
		return allStream + " is the name of all streams"
	case about == configStream || strings.HasPrefix(about, groupPrefix):
		return "the server itself keeps its groups there"
	case about == "" || strings.HasPrefix(about, metaPrefix):
		return "metadata is about a stream, not about metadata"
	}
	return ""
}

// expect is what to expect of the store, as the protocol's rules say: a stream that was deleted does not exist, and goes
// on with its numbers; one that has metadata exists.
func (s *Server) expect(ctx context.Context, a *appending) (domain.Expected, error) {
	l, lastAt, err := s.life(ctx, a.stream)
	switch {
	case err != nil:
		return 0, err
	case l.tombstoned:
		return 0, ErrStreamDeleted
	case a.expected == domain.NoStream && l.isDeleted(lastAt):
		return l.last, nil
	case a.expected == domain.StreamExists && l.isDeleted(lastAt):
		return 0, ErrStreamDeleted
	case a.expected == domain.StreamExists && l.last == domain.NoStream && l.described:
		return domain.Any, nil
	}
	return a.expected, nil
}

func expectedBy(o *streams.AppendReq_Options) domain.Expected {
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision:
		return domain.Exactly(e.Revision)
	case *streams.AppendReq_Options_NoStream:
		return domain.NoStream
	case *streams.AppendReq_Options_StreamExists:
		return domain.StreamExists
	}
	return domain.Any
}

func success(a *appending) *streams.AppendResp_Success {
	r := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: a.done.Revision},
		PositionOption: &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: a.done.Position.Commit, PreparePosition: a.done.Position.Prepare,
		}},
	}
	if len(a.records) == 0 {
		r.PositionOption = &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}}
	}
	return r
}

func refusal(e *domain.WrongRevisionError) *streams.AppendResp_WrongExpectedVersion {
	w := &streams.AppendResp_WrongExpectedVersion{}
	if e.Current == domain.NoStream {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
	} else {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(e.Current)}
	}
	switch e.Expected {
	case domain.Any:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
	case domain.NoStream:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
	case domain.StreamExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(e.Expected)}
	}
	return w
}
