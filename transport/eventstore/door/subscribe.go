package door

import (
	"context"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	google "github.com/google/uuid"

	"strandline/domain"
)

func subscriptionID() string { return google.NewString() }

// followAll shows all events after a position, and goes on live. The client is told each time it has caught up, and with
// a filter now and then how far that has looked.
func (r *reading) followAll(ctx context.Context, o *streams.ReadReq_Options_AllOptions) error {
	leave, err := r.place()
	if err != nil {
		return err
	}
	defer leave()
	after := domain.Position{}
	switch at := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		after = domain.Position{Commit: at.Position.GetCommitPosition(), Prepare: at.Position.GetPreparePosition()}
	case *streams.ReadReq_Options_AllOptions_End:
		after.Commit = math.MaxUint64
	}
	if after.Commit > math.MaxInt64 { // some clients say that of the end
		if after, err = r.store.Head(ctx); err != nil {
			return err
		}
	}
	if err := r.confirm(); err != nil {
		return err
	}
	looked := 0
	return r.follow(ctx, after, func(record domain.Record) error {
		if r.filter.wants(record) {
			if err := r.send(ctx, record); err != nil {
				return err
			}
		}
		if r.filter == nil {
			return nil
		}
		if looked++; looked%r.filter.window != 0 {
			return nil
		}
		return r.checkpoint(record.Position)
	})
}

// follow hands on what happens after a position, and tells the client when it has caught up, and fallen behind.
func (r *reading) follow(ctx context.Context, after domain.Position, each func(domain.Record) error) error {
	live := false
	for batch, err := range r.store.Follow(ctx, after) {
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			if !live {
				if err := r.caughtUp(); err != nil {
					return err
				}
			}
			live = true
			continue
		}
		if live && len(batch) >= behind {
			live = false
			if err := r.fellBehind(); err != nil {
				return err
			}
		}
		for _, record := range batch {
			if err := each(record); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// behind is how many events at once make a live subscription one that has fallen behind. Stores say of so many that they
// have been caught up with again.
const behind = 256

// followStream shows the events of one stream after a revision, and goes on live. A stream that is not there yet is waited
// for; one that is tombstoned ends the subscription.
func (r *reading) followStream(ctx context.Context, o *streams.ReadReq_Options_StreamOptions) error {
	leave, err := r.place()
	if err != nil {
		return err
	}
	defer leave()
	if isVirtual(r.stream()) {
		return r.followVirtual(ctx, o)
	}
	head, err := r.store.Head(ctx)
	if err != nil {
		return err
	}
	stream := r.stream()
	l, _, err := r.life(ctx, stream)
	switch {
	case err != nil:
		return err
	case l.tombstoned:
		return ErrStreamDeleted
	}
	if err := r.confirm(); err != nil {
		return err
	}
	last, err := r.catchUp(ctx, o, l)
	if err != nil {
		return err
	}
	return r.follow(ctx, head, func(record domain.Record) error {
		if record.Stream != stream || int64(record.Revision) <= last {
			return nil
		}
		last = int64(record.Revision)
		if record.Type == typeTombstone {
			return ErrStreamDeleted
		}
		return r.send(ctx, record)
	})
}

// catchUp shows what a stream holds after the revision that the client names, and returns the last revision looked at.
func (r *reading) catchUp(ctx context.Context, o *streams.ReadReq_Options_StreamOptions, l life) (last int64, err error) {
	from := l.first()
	last = -1
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		if at.Revision >= math.MaxInt64 {
			return math.MaxInt64, nil
		}
		from, last = max(from, at.Revision+1), int64(at.Revision)
	case *streams.ReadReq_Options_StreamOptions_End:
		return int64(max(l.last, -1)), nil
	}
	if l.last == domain.NoStream {
		return last, nil
	}
	now := r.clock()
	for record, err := range r.store.ReadStream(ctx, r.stream(), from, 0, false) {
		if err != nil {
			return last, err
		}
		last = int64(record.Revision)
		if l.shows(record, now) {
			if err := r.send(ctx, record); err != nil {
				return last, err
			}
		}
	}
	return last, nil
}
