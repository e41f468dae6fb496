package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"strandline/domain"
)

// Bounds on what one call of BatchAppend may have under way.
const (
	mostBatches   = 64       // appends whose events are still coming in
	mostAppending = 64       // appends that are being written, so that they share a sync
	mostPending   = 16 << 20 // bytes of both
)

// BatchAppend implements the service: many appends over one call, each under a correlation id of the client's, answered as
// each is done.
func (s *Server) BatchAppend(call streams.Streams_BatchAppendServer) error {
	ctx := call.Context()
	caller, err := s.enter(ctx)
	if err != nil {
		return failure(ctx, "", err)
	}
	b := &batches{server: s, caller: caller, call: call, open: map[domain.ID]*batch{}, places: make(chan struct{}, mostAppending)}
	defer b.writing.Wait()
	for {
		message, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return failure(ctx, "", err)
		}
		if err := b.take(ctx, message); err != nil {
			return failure(ctx, "", err)
		}
	}
}

// batches are the appends of one call.
type batches struct {
	server  *Server
	caller  Caller
	call    streams.Streams_BatchAppendServer
	open    map[domain.ID]*batch // whose events are still coming in
	size    int                  // of those
	places  chan struct{}
	writing sync.WaitGroup
	sending sync.Mutex
}

// batch is an append whose events come in pieces.
type batch struct {
	appending
	id       *shared.UUID
	deadline time.Time // zero for none
	failed   error     // it makes no sense; what comes of it still is read
}

// take takes one message in. An error ends the call.
func (b *batches) take(ctx context.Context, m *streams.BatchAppendReq) error {
	id, err := idOf(m.GetCorrelationId())
	if err != nil {
		return err
	}
	one, ok := b.open[id]
	if !ok {
		if len(b.open) >= mostBatches {
			return fmt.Errorf("%w: more than %d appends of one call at a time are incomplete", domain.ErrInvalid, mostBatches)
		}
		one = begun(b.caller, m)
		b.open[id] = one
	}
	b.size -= one.size
	for _, p := range m.GetProposedMessages() {
		if one.failed == nil {
			one.failed = b.server.add(&one.appending, p)
		}
	}
	if one.failed != nil {
		one.records, one.size = nil, 0
	}
	if b.size += one.size; b.size > mostPending {
		return fmt.Errorf("%w: the incomplete appends of one call are larger than %d bytes", domain.ErrInvalid, mostPending)
	}
	if !m.GetIsFinal() {
		return nil
	}
	delete(b.open, id)
	b.size -= one.size
	b.places <- struct{}{}
	b.writing.Go(func() {
		defer func() { <-b.places }()
		b.answer(ctx, one)
	})
	return nil
}

func begun(caller Caller, m *streams.BatchAppendReq) *batch {
	o := m.GetOptions()
	b, expected := &batch{id: m.GetCorrelationId()}, domain.Any
	switch e := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		expected = domain.Exactly(e.StreamPosition)
	case *streams.BatchAppendReq_Options_NoStream:
		expected = domain.NoStream
	case *streams.BatchAppendReq_Options_StreamExists:
		expected = domain.StreamExists
	}
	if d := o.GetDeadline(); d != nil {
		b.deadline = time.Now().Add(d.AsDuration())
	}
	b.failed = b.begin(caller, string(o.GetStreamIdentifier().GetStreamName()), expected)
	return b
}

// answer appends what has come in, and tells the client.
func (b *batches) answer(ctx context.Context, one *batch) {
	stop := func() {}
	if !one.deadline.IsZero() {
		ctx, stop = context.WithDeadline(ctx, one.deadline)
	}
	defer stop()
	err := one.failed
	if err == nil {
		err = b.append(ctx, one)
	}
	if err != nil {
		err = b.server.left(ctx, b.caller, "append", one.stream, 0, err)
	}
	r := &streams.BatchAppendResp{CorrelationId: one.id, StreamIdentifier: identifier(one.stream)}
	expectation(r, one.expected)
	if err != nil {
		r.Result = &streams.BatchAppendResp_Error{Error: detailed(one.stream, b.server.maxAppend, err)}
	} else {
		r.Result = &streams.BatchAppendResp_Success_{Success: batchSuccess(&one.appending)}
	}
	b.sending.Lock()
	defer b.sending.Unlock()
	_ = b.call.Send(r) // a client that has gone away needs no answer
}

func (b *batches) append(ctx context.Context, one *batch) (err error) {
	defer b.server.alone("batch append", &err)
	return b.server.append(ctx, b.caller, &one.appending)
}

func expectation(r *streams.BatchAppendResp, e domain.Expected) {
	switch e {
	case domain.Any:
		r.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: &emptypb.Empty{}}
	case domain.NoStream:
		r.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: &emptypb.Empty{}}
	case domain.StreamExists:
		r.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: &emptypb.Empty{}}
	default:
		r.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: uint64(e)}
	}
}

func batchSuccess(a *appending) *streams.BatchAppendResp_Success {
	return &streams.BatchAppendResp_Success{
		CurrentRevisionOption: &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: a.done.Revision},
		PositionOption: &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{
			CommitPosition: a.done.Position.Commit, PreparePosition: a.done.Position.Prepare,
		}},
	}
}

// detailed words an error for one append of a batch: a status, and a message that says what it is about.
func detailed(stream string, most int, err error) *rpc.Status {
	var wrong *domain.WrongRevisionError
	var about proto.Message = &shared.Unknown{}
	code := status.Code(failure(context.Background(), stream, err))
	switch {
	case errors.As(err, &wrong):
		code, about = codes.FailedPrecondition, wrongVersion(wrong)
	case errors.Is(err, ErrStreamDeleted):
		about = &shared.StreamDeleted{StreamIdentifier: identifier(stream)}
	case errors.Is(err, domain.ErrAppendTooLarge):
		about = &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(most)}
	case errors.Is(err, domain.ErrForbidden):
		about = &shared.AccessDenied{}
	case errors.Is(err, context.DeadlineExceeded):
		about = &shared.Timeout{}
	case errors.Is(err, domain.ErrInvalid):
		about = &shared.BadRequest{Message: err.Error()}
	}
	s := &rpc.Status{Code: int32(code), Message: status.Convert(failure(context.Background(), stream, err)).Message()}
	if detail, err := anypb.New(about); err == nil {
		s.Details = append(s.Details, detail)
	}
	return s
}

func wrongVersion(e *domain.WrongRevisionError) *shared.WrongExpectedVersion {
	w := &shared.WrongExpectedVersion{}
	if e.Current == domain.NoStream {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}}
	} else {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(e.Current)}
	}
	switch e.Expected {
	case domain.Any:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	case domain.NoStream:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	case domain.StreamExists:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	default:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: uint64(e.Expected)}
	}
	return w
}
