package door

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"

	"strandline/commands"
	"strandline/domain"
)

var (
	errNotDeletable = fmt.Errorf("%w: only a stream with a name of its own can be deleted", domain.ErrInvalid)
	errUnknown      = fmt.Errorf("%w: a read asks for a stream or for all, and for a number of events or a subscription", domain.ErrInvalid)
)

// Read implements the service: reading and subscribing, of one stream and of all.
func (s *Server) Read(request *streams.ReadReq, call streams.Streams_ReadServer) error {
	ctx := call.Context()
	caller, err := s.enter(ctx)
	if err != nil {
		return failure(ctx, "", err)
	}
	r := &reading{Server: s, caller: caller, call: call, options: request.GetOptions()}
	if r.filter, err = r.check(); err != nil {
		return failure(ctx, "", s.left(ctx, caller, "read", "", 0, err))
	}
	r.textIDs = r.options.GetUuidOption().GetString_() != nil
	if err := caller.Opened(ctx, r.name(), r.stream()); err != nil {
		return failure(ctx, r.stream(), errors.Join(domain.ErrUnavailable, err))
	}
	return failure(ctx, r.stream(), s.left(ctx, caller, r.name(), r.stream(), r.rows, r.run(ctx)))
}

// check refuses what makes no sense, and returns the filter.
func (r *reading) check() (*filter, error) {
	switch {
	case proto.Size(r.options) > largestRequest:
		return nil, fmt.Errorf("%w: what a read asks for has at most %d bytes", domain.ErrInvalid, largestRequest)
	case r.options.GetCountOption() == nil || r.options.GetStreamOption() == nil:
		return nil, errUnknown
	case r.options.GetAll() == nil:
		return nil, nameable("stream", r.stream())
	}
	return filterOf(r.options)
}

// reading is a read or a subscription on its way.
type reading struct {
	*Server
	caller  Caller
	call    streams.Streams_ReadServer
	options *streams.ReadReq_Options
	filter  *filter
	textIDs bool
	rows    int
}

func (r *reading) stream() string {
	return string(r.options.GetStream().GetStreamIdentifier().GetStreamName())
}

func (r *reading) follows() bool { return r.options.GetSubscription() != nil }

// name is what the call is called on the record.
func (r *reading) name() string {
	switch {
	case r.follows() && r.options.GetAll() != nil:
		return "subscribe all"
	case r.follows():
		return "subscribe"
	case r.options.GetAll() != nil:
		return "read all"
	}
	return "read"
}

func (r *reading) run(ctx context.Context) error {
	one, all := r.options.GetStream(), r.options.GetAll()
	switch {
	case r.follows() && all != nil:
		return r.followAll(ctx, all)
	case r.follows():
		return r.followStream(ctx, one)
	case all != nil:
		return r.readAll(ctx, all)
	}
	return r.readStream(ctx, one)
}

func (r *reading) direction() commands.Direction {
	return r.options.GetReadDirection() == streams.ReadReq_Options_Backwards
}

// send shows a record to the client, if the caller may see it.
func (r *reading) send(ctx context.Context, record domain.Record) error {
	shown, ok := r.caller.Show(ctx, record)
	if !ok {
		return nil
	}
	if record.Type == typeTombstone {
		record.Revision = endOfNumbers
	}
	event := &streams.ReadResp_ReadEvent{
		Event:    recorded(record, shown, r.textIDs),
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: record.Position.Commit},
	}
	if record.Type == typeLink && r.options.GetResolveLinks() {
		r.resolve(ctx, event, shown)
	}
	r.rows++
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: event}})
}

// readAll reads all events, from a position inclusive.
func (r *reading) readAll(ctx context.Context, o *streams.ReadReq_Options_AllOptions) error {
	from, direction := domain.Position{}, r.direction()
	switch at := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		from = domain.Position{Commit: at.Position.GetCommitPosition(), Prepare: at.Position.GetPreparePosition()}
	case *streams.ReadReq_Options_AllOptions_End:
		if direction == commands.Forwards {
			return nil // there is nothing after the end
		}
	default:
		if direction == commands.Backwards {
			return nil // nor before the start
		}
	}
	for record, err := range r.store.ReadAll(ctx, from, 0, direction) {
		if err != nil || r.rows >= r.most() {
			return err
		}
		if r.filter.wants(record) {
			if err := r.send(ctx, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// most is how many events a read asks for.
func (r *reading) most() int {
	return int(min(r.options.GetCount(), math.MaxInt))
}

// readStream reads one stream, from a revision inclusive.
func (r *reading) readStream(ctx context.Context, o *streams.ReadReq_Options_StreamOptions) error {
	stream, direction := r.stream(), r.direction()
	if isVirtual(stream) {
		return r.readVirtual(ctx, o)
	}
	l, lastAt, err := r.life(ctx, stream)
	switch {
	case err != nil:
		return err
	case l.tombstoned:
		return ErrStreamDeleted
	case l.last == domain.NoStream || l.isDeleted(lastAt):
		return r.notFound()
	}
	from := l.first()
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		from = at.Revision
	case *streams.ReadReq_Options_StreamOptions_End:
		if from = math.MaxInt64; direction == commands.Forwards {
			return nil
		}
	default:
		if direction == commands.Backwards {
			from = 0
		}
	}
	if direction == commands.Forwards {
		from = max(from, l.first())
	}
	return r.show(ctx, l, stream, from, direction)
}

func (r *reading) notFound() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
		StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: identifier(r.stream())},
	}})
}

// show shows the records of a stream that are there for readers.
func (r *reading) show(ctx context.Context, l life, stream string, from uint64, direction commands.Direction) error {
	now := r.clock()
	for record, err := range r.store.ReadStream(ctx, stream, from, 0, direction) {
		if err != nil || r.rows >= r.most() {
			return err
		}
		if !l.shows(record, now) {
			continue
		}
		if err := r.send(ctx, record); err != nil {
			return err
		}
	}
	return nil
}

// typeLink is the type of an event that stands for another: its data is that one's revision@stream.
const typeLink = "$>"

// resolve puts the event that a link stands for in its place, and the link beside it. A link to nothing stays alone.
func (r *reading) resolve(ctx context.Context, event *streams.ReadResp_ReadEvent, link Shown) {
	event.Link, event.Event = event.Event, nil
	target := r.target(ctx, link.Data)
	if target == nil {
		return
	}
	if shown, ok := r.caller.Show(ctx, *target); ok {
		event.Event = recorded(*target, shown, r.textIDs)
	}
}

// target finds the event that a link's data names; nil if it is not there any more.
func (s *Server) target(ctx context.Context, link []byte) *domain.Record {
	number, stream, ok := strings.Cut(string(link), "@")
	revision, err := strconv.ParseUint(number, 10, 63)
	if !ok || err != nil {
		return nil
	}
	for r, err := range s.store.ReadStream(ctx, stream, revision, 1, commands.Forwards) {
		if err != nil || r.Revision != revision || !s.isThere(ctx, r) {
			return nil
		}
		return &r
	}
	return nil
}

// confirm tells a client that its subscription has begun.
func (r *reading) confirm() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: subscriptionID()},
	}})
}

func (r *reading) caughtUp() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

func (r *reading) fellBehind() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_FellBehind_{FellBehind: &streams.ReadResp_FellBehind{}}})
}

func (r *reading) checkpoint(p domain.Position) error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: p.Commit, PreparePosition: p.Prepare},
	}})
}

// place takes one of the places for subscriptions.
func (s *Server) place() (leave func(), err error) {
	select {
	case s.followers <- struct{}{}:
		return func() { <-s.followers }, nil
	default:
		return nil, errors.Join(domain.ErrUnavailable, fmt.Errorf("more than %d subscriptions at once", mostFollowers))
	}
}
