package door

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// Virtual streams are the original's system projections without their events: $ce-<category> is everything in streams named
// category-…, $et-<type> everything of a type, $bc-<id> everything that has a correlation id. They hold links, numbered
// from 0 in the order of positions; nobody can append to them. What stands in system streams (names and types that begin
// with $) is in none of them.
//
// The numbers are the same for everybody: a caller that may not see an event sees a gap where its link would be.
const (
	byCategory    = "$ce-"
	byType        = "$et-"
	byCorrelation = "$bc-"
)

// Bounds on what is remembered of virtual streams: about 16 MiB.
const (
	mostVirtual = 256  // streams
	mostMarks   = 4096 // positions in each
)

// isVirtual tells whether a stream is one that nobody appends to.
func isVirtual(stream string) bool { return memberOf(stream) != nil }

// memberOf is what picks the events of a virtual stream; nil if the stream is none.
func memberOf(stream string) func(domain.Record) bool {
	kind, of := stream[:min(4, len(stream))], stream[min(4, len(stream)):]
	if of == "" {
		return nil
	}
	switch kind {
	case byCategory:
		return func(r domain.Record) bool {
			category, _, ok := strings.Cut(r.Stream, "-")
			return ok && category == of
		}
	case byType:
		return func(r domain.Record) bool { return r.Type == of }
	case byCorrelation:
		text := []byte(of)
		return func(r domain.Record) bool {
			return (r.ContentType != domain.External || bytes.Contains(r.Data, text)) && correlationOf(r) == of
		}
	}
	return nil
}

// virtual is what is remembered of a virtual stream: where every so manieth of its events is. It is made by looking through
// the log when somebody first asks, and goes on from there when somebody asks again.
type virtual struct {
	name   string
	member func(domain.Record) bool
	turn   chan struct{} // whose holder looks through the log
	used   uint64

	seen
}

// seen is how far a virtual stream is known. It is not changed by what is seen later.
type seen struct {
	marks  []domain.Position // of revisions 0, stride, 2 × stride, …
	stride uint64
	count  uint64
	upTo   domain.Position
}

// virtuals are the virtual streams that have been asked for.
type virtuals struct {
	mu   sync.Mutex
	all  map[string]*virtual
	used uint64
}

// of is the virtual stream of a name. The one that nobody has asked for longest makes room for another.
func (v *virtuals) of(stream string) *virtual {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil {
		v.all = map[string]*virtual{}
	}
	one := v.all[stream]
	if one == nil {
		if len(v.all) >= mostVirtual {
			delete(v.all, v.oldest())
		}
		one = &virtual{name: stream, member: memberOf(stream), turn: make(chan struct{}, 1), seen: seen{stride: 1}}
		v.all[stream] = one
	}
	v.used++
	one.used = v.used
	return one
}

func (v *virtuals) oldest() (name string) {
	oldest := v.used + 1
	for n, one := range v.all {
		if one.used < oldest {
			name, oldest = n, one.used
		}
	}
	return name
}

// isMember tells whether a record belongs to the stream.
func (v *virtual) isMember(r domain.Record) bool {
	return !strings.HasPrefix(r.Stream, "$") && !strings.HasPrefix(r.Type, "$") && v.member(r)
}

// look finds out what there is up to now.
func (v *virtual) look(ctx context.Context, store commands.EventStore) (seen, error) {
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return seen{}, ctx.Err()
	}
	head, err := store.Head(ctx)
	if err != nil || !v.upTo.Before(head) {
		return v.seen, err
	}
	for r, err := range store.ReadAll(ctx, v.upTo, 0, commands.Forwards) {
		if err != nil {
			return seen{}, err
		}
		if head.Before(r.Position) {
			break
		}
		if v.upTo.Before(r.Position) {
			v.add(r)
		}
	}
	return v.seen, nil
}

// add looks at the next record of the log.
func (v *virtual) add(r domain.Record) {
	v.upTo = r.Position
	if !v.isMember(r) {
		return
	}
	if v.count%v.stride == 0 {
		v.marks = append(v.marks, r.Position)
	}
	v.count++
	if len(v.marks) > mostMarks {
		half := make([]domain.Position, 0, mostMarks)
		for i := 0; i < len(v.marks); i += 2 {
			half = append(half, v.marks[i])
		}
		v.marks, v.stride = half, v.stride*2
	}
}

// linked is an event of a virtual stream: a link, and what it stands for.
type linked struct{ link, target domain.Record }

// link makes the link to a record. Its id is the same whenever it is read.
func (v *virtual) link(target domain.Record, revision uint64) linked {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", v.name, revision))
	id := domain.ID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8 (RFC 9562)
	return linked{target: target, link: domain.Record{
		Envelope: domain.Envelope{
			ID: id, Type: typeLink, Version: 1, ContentType: domain.External,
			Stream: v.name, Revision: revision, Time: target.Time,
		},
		Position: target.Position,
		Data:     external.Event{Data: fmt.Appendf(nil, "%d@%s", target.Revision, target.Stream)}.Pack(),
	}}
}

// read yields what has been seen from a revision on, in a direction.
func (v *virtual) read(ctx context.Context, store commands.EventStore, s seen, from uint64, direction commands.Direction) iter.Seq2[linked, error] {
	if s.count == 0 || direction == commands.Forwards && from >= s.count {
		return func(func(linked, error) bool) {}
	}
	from = min(from, s.count-1)
	switch {
	case s.stride == 1:
		return v.pick(ctx, store, s, from, direction)
	case direction == commands.Forwards:
		return v.scan(ctx, store, s, from)
	}
	return v.scanBack(ctx, store, s, from)
}

// pick yields events whose positions are all known.
func (v *virtual) pick(ctx context.Context, store commands.EventStore, s seen, from uint64, direction commands.Direction) iter.Seq2[linked, error] {
	return func(yield func(linked, error) bool) {
		step := 1
		if direction == commands.Backwards {
			step = -1
		}
		for i := int(from); i >= 0 && i < len(s.marks); i += step {
			for r, err := range store.ReadAll(ctx, s.marks[i], 1, commands.Forwards) {
				if !yield(v.link(r, uint64(i)), err) || err != nil {
					return
				}
			}
		}
	}
}

// scan looks through the log from the last mark before a revision.
func (v *virtual) scan(ctx context.Context, store commands.EventStore, s seen, from uint64) iter.Seq2[linked, error] {
	return func(yield func(linked, error) bool) {
		revision := from / s.stride * s.stride
		for r, err := range store.ReadAll(ctx, s.marks[from/s.stride], 0, commands.Forwards) {
			switch {
			case err != nil:
				yield(linked{}, err)
				return
			case s.upTo.Before(r.Position):
				return
			case !v.isMember(r):
				continue
			}
			if revision >= from && !yield(v.link(r, revision), nil) {
				return
			}
			revision++
		}
	}
}

// scanBack looks through the log backwards from a revision.
func (v *virtual) scanBack(ctx context.Context, store commands.EventStore, s seen, from uint64) iter.Seq2[linked, error] {
	return func(yield func(linked, error) bool) {
		at := s.upTo
		if from < s.count-1 {
			for l, err := range v.scan(ctx, store, s, from) {
				if err != nil {
					yield(linked{}, err)
					return
				}
				at = l.target.Position
				break
			}
		}
		revision := from + 1
		for r, err := range store.ReadAll(ctx, at, 0, commands.Backwards) {
			if err != nil {
				yield(linked{}, err)
				return
			}
			if !v.isMember(r) {
				continue
			}
			if revision--; !yield(v.link(r, revision), nil) || revision == 0 {
				return
			}
		}
	}
}

// attend hands on what a virtual stream holds after a revision (-1: all), and goes on live until ctx ends, through follow.
func (v *virtual) attend(ctx context.Context, store commands.EventStore, last int64, each func(linked) error,
	follow func(ctx context.Context, after domain.Position, each func(domain.Record) error) error) error {
	s, err := v.look(ctx, store)
	if err != nil {
		return err
	}
	for l, err := range v.read(ctx, store, s, uint64(last+1), commands.Forwards) {
		if err != nil {
			return err
		}
		if err := each(l); err != nil {
			return err
		}
	}
	next := int64(s.count)
	return follow(ctx, s.upTo, func(r domain.Record) error {
		if !v.isMember(r) {
			return nil
		}
		revision := next
		if next++; revision <= last {
			return nil
		}
		return each(v.link(r, uint64(revision)))
	})
}

// readVirtual reads a virtual stream, from a revision inclusive.
func (r *reading) readVirtual(ctx context.Context, o *streams.ReadReq_Options_StreamOptions) error {
	v, direction := r.virtuals.of(r.stream()), r.direction()
	s, err := v.look(ctx, r.store)
	if err != nil {
		return err
	}
	if s.count == 0 {
		return r.notFound()
	}
	from := uint64(0)
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		from = at.Revision
	case *streams.ReadReq_Options_StreamOptions_End:
		if from = s.count - 1; direction == commands.Forwards {
			return nil
		}
	}
	for l, err := range v.read(ctx, r.store, s, from, direction) {
		if err != nil || r.rows >= r.most() {
			return err
		}
		if err := r.sendLinked(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// followVirtual shows the links of a virtual stream after a revision, and goes on live.
func (r *reading) followVirtual(ctx context.Context, o *streams.ReadReq_Options_StreamOptions) error {
	v, last := r.virtuals.of(r.stream()), int64(-1)
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		last = int64(min(at.Revision, endOfNumbers-1))
	case *streams.ReadReq_Options_StreamOptions_End:
		s, err := v.look(ctx, r.store)
		if err != nil {
			return err
		}
		last = int64(s.count) - 1
	}
	if err := r.confirm(); err != nil {
		return err
	}
	return v.attend(ctx, r.store, last, func(l linked) error { return r.sendLinked(ctx, l) }, r.follow)
}

// sendLinked shows a link of a virtual stream, if the caller may see what it stands for. Resolved, that stands in its place
// if it still is there for readers.
func (r *reading) sendLinked(ctx context.Context, l linked) error {
	shown, ok := r.caller.Show(ctx, l.target)
	if !ok {
		return nil
	}
	said, err := external.Unpack(l.link)
	if err != nil {
		return err
	}
	event := &streams.ReadResp_ReadEvent{
		Event:    recorded(l.link, said, r.textIDs),
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: l.link.Position.Commit},
	}
	if r.options.GetResolveLinks() {
		event.Link, event.Event = event.Event, nil
		if r.isThere(ctx, l.target) {
			event.Event = recorded(l.target, shown, r.textIDs)
		}
	}
	r.rows++
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: event}})
}

// isThere tells whether an event is there for those who read its stream. Strandline's own always are.
func (s *Server) isThere(ctx context.Context, r domain.Record) bool {
	if r.ContentType != domain.External {
		return true
	}
	l, _, err := s.life(ctx, r.Stream)
	return err == nil && !l.tombstoned && l.shows(r, s.clock())
}
