package door

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// pauseAfterError is how long a group waits before it reads again what could not be read.
const pauseAfterError = time.Second

// read reads the group's events into its queue until ctx ends.
func (g *group) read(ctx context.Context, after place) {
	for ctx.Err() == nil {
		err := g.follow(ctx, after)
		if errors.Is(err, ErrStreamDeleted) {
			return // nothing will come of it any more
		}
		if ctx.Err() == nil {
			g.server.log.Error("a group cannot read its events", "group", g.config.Group, "stream", g.config.Stream, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseAfterError):
		}
		g.mu.Lock()
		after = g.main.end()
		g.mu.Unlock()
	}
}

func (g *group) follow(ctx context.Context, after place) error {
	if isVirtual(g.config.Stream) {
		return g.server.virtuals.of(g.config.Stream).attend(ctx, g.server.store, after.Revision, func(l linked) error {
			return g.takeIn(ctx, g.linked(ctx, l), place{Revision: int64(l.link.Revision)})
		}, g.server.hear)
	}
	if g.config.Stream != allStream {
		return g.server.attend(ctx, g.config.Stream, after.Revision, func(r domain.Record) error {
			return g.takeIn(ctx, g.message(ctx, r), place{Revision: int64(r.Revision)})
		})
	}
	return g.server.hear(ctx, after.Position, func(r domain.Record) error { return g.takeOfAll(ctx, r) })
}

// takeOfAll takes in the next event of all, if the group wants it. What groups write of themselves is for no group: it
// would make them write more.
func (g *group) takeOfAll(ctx context.Context, r domain.Record) error {
	at := place{Position: r.Position}
	own := strings.HasPrefix(strings.TrimPrefix(r.Stream, metaPrefix), groupPrefix) || r.Stream == configStream
	if !own && g.filter.wants(r) {
		return g.takeIn(ctx, g.message(ctx, r), at)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.main.pass(at)
	if !own {
		g.skipped++
	}
	return nil
}

// message makes an event one of the group's.
func (g *group) message(ctx context.Context, r domain.Record) *message {
	if r.Type == typeLink && g.config.Settings.ResolveLinks {
		return &message{link: &r, event: g.server.targetOf(ctx, r)}
	}
	return &message{event: &r}
}

// linked makes an event of a virtual stream one of the group's.
func (g *group) linked(ctx context.Context, l linked) *message {
	switch {
	case !g.config.Settings.ResolveLinks:
		return &message{event: &l.link, behind: &l.target}
	case !g.server.isThere(ctx, l.target):
		return &message{link: &l.link, behind: &l.target}
	}
	return &message{link: &l.link, event: &l.target, behind: &l.target}
}

// takeIn takes in an event, once there is room for it.
func (g *group) takeIn(ctx context.Context, m *message, at place) error {
	for _, r := range []*domain.Record{m.event, m.link, m.behind} {
		if r != nil {
			m.size += len(r.Data) + len(r.Extra)
		}
	}
	for {
		g.mu.Lock()
		if g.room() {
			m.entry = g.main.add(at)
			g.known = at
			g.held += m.size
			g.queue = append(g.queue, m)
			g.pump()
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-g.places:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// room tells whether one more event can be held.
func (g *group) room() bool {
	return len(g.queue) < int(g.config.Settings.LiveBuffer) && len(g.main.entries) < mostTracked && g.held < mostHeld
}

// replay takes in parked events that are to be given again, as far as there is room. What cannot be read is tried again.
func (g *group) replay() {
	for g.parkedRead < g.parkedUntil && len(g.consumers) > 0 && len(g.retry) < int(g.config.Settings.ReadBatch) && g.held < mostHeld {
		ctx, stop := context.WithTimeout(context.Background(), ownDeadline)
		n, err := g.replayBatch(ctx)
		stop()
		if err != nil {
			g.server.log.Error("a group cannot read what it has parked", "group", g.config.Group, "stream", g.config.Stream, "error", err)
			return
		}
		if n == 0 {
			g.parkedRead = g.parkedUntil
		}
	}
}

// replayBatch reads a few parked events.
func (g *group) replayBatch(ctx context.Context) (n int, err error) {
	for r, err := range g.server.store.ReadStream(ctx, g.config.name()+parkedSuffix, g.parkedRead, int(g.config.Settings.ReadBatch), commands.Forwards) {
		if err != nil {
			return n, err
		}
		n++
		if r.Revision >= g.parkedUntil {
			g.parkedRead = g.parkedUntil
			return n, nil
		}
		m := &message{link: &r, event: g.server.targetOf(ctx, r), size: len(r.Data)}
		if m.event != nil {
			m.size += len(m.event.Data) + len(m.event.Extra)
		}
		m.entry = g.parked.add(place{Revision: int64(r.Revision)})
		g.held += m.size
		g.retry = append(g.retry, m)
		g.parkedRead = r.Revision + 1
	}
	return n, nil
}

// shown is a message as a consumer gets to see it; false if it does not.
func (g *group) shown(c *consumer, m *message) (*persistent.ReadResp_ReadEvent, bool) {
	event := &persistent.ReadResp_ReadEvent{
		Position: &persistent.ReadResp_ReadEvent_NoPosition{NoPosition: &shared.Empty{}},
		Count:    &persistent.ReadResp_ReadEvent_RetryCount{RetryCount: m.retries},
	}
	ok := true
	if m.event != nil {
		event.Event, ok = c.sees(m, numbered(*m.event))
		event.Position = &persistent.ReadResp_ReadEvent_CommitPosition{CommitPosition: m.event.Position.Commit}
	}
	if m.link != nil && ok {
		event.Link, ok = c.sees(m, *m.link)
	}
	return event, ok
}

// sees is a record as a consumer gets to see it. Who may see what a link of a virtual stream stands for sees the link.
func (c *consumer) sees(m *message, r domain.Record) (*persistent.ReadResp_ReadEvent_RecordedEvent, bool) {
	shown, ok := Shown{}, false
	if m.behind != nil && isVirtual(r.Stream) {
		if _, ok = c.caller.Show(c.ctx, *m.behind); ok {
			said, err := external.Unpack(r)
			shown, ok = said, err == nil
		}
	} else {
		shown, ok = c.caller.Show(c.ctx, r)
	}
	return groupEvent(recorded(r, shown, c.texts)), ok
}

// numbered gives a tombstone the revision that it has in the protocol.
func numbered(r domain.Record) domain.Record {
	if r.Type == typeTombstone {
		r.Revision = endOfNumbers
	}
	return r
}

// groupEvent is an event in the words of the other service.
func groupEvent(r *streams.ReadResp_ReadEvent_RecordedEvent) *persistent.ReadResp_ReadEvent_RecordedEvent {
	return &persistent.ReadResp_ReadEvent_RecordedEvent{
		Id: r.Id, StreamIdentifier: r.StreamIdentifier, StreamRevision: r.StreamRevision, PreparePosition: r.PreparePosition,
		CommitPosition: r.CommitPosition, Metadata: r.Metadata, CustomMetadata: r.CustomMetadata, Data: r.Data,
	}
}

// attend hands on what a stream has for readers after a revision (-1: all), and goes on live until ctx ends. A stream that
// is not there yet is waited for.
func (s *Server) attend(ctx context.Context, stream string, last int64, each func(domain.Record) error) error {
	head, err := s.store.Head(ctx)
	if err != nil {
		return err
	}
	l, _, err := s.life(ctx, stream)
	switch {
	case err != nil:
		return err
	case l.tombstoned:
		return ErrStreamDeleted
	}
	if l.last != domain.NoStream {
		now := s.clock()
		for r, err := range s.store.ReadStream(ctx, stream, max(uint64(last+1), l.first()), 0, commands.Forwards) {
			if err != nil {
				return err
			}
			last = int64(r.Revision)
			if l.shows(r, now) {
				if err := each(r); err != nil {
					return err
				}
			}
		}
	}
	return s.hear(ctx, head, func(r domain.Record) error {
		if r.Stream != stream || int64(r.Revision) <= last {
			return nil
		}
		if r.Type == typeTombstone {
			return ErrStreamDeleted
		}
		last = int64(r.Revision)
		return each(r)
	})
}

// hear hands on what happens after a position, until ctx ends.
func (s *Server) hear(ctx context.Context, after domain.Position, each func(domain.Record) error) error {
	for batch, err := range s.store.Follow(ctx, after) {
		if err != nil {
			return err
		}
		for _, r := range batch {
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// targetOf finds the event that a link stands for; nil if it is not there any more.
func (s *Server) targetOf(ctx context.Context, link domain.Record) *domain.Record {
	said, err := external.Unpack(link)
	if err != nil {
		return nil
	}
	return s.target(ctx, said.Data)
}

// correlationOf is the correlation id of an event: what its sender says in its metadata, or what Strandline knows.
func correlationOf(r domain.Record) string {
	if r.ContentType != domain.External {
		return r.Correlation.String()
	}
	e, err := external.Unpack(r)
	if err != nil || len(e.Metadata) == 0 {
		return ""
	}
	var said struct {
		Correlation string `json:"$correlationId"`
	}
	if json.Unmarshal(e.Metadata, &said) != nil {
		return ""
	}
	return said.Correlation
}
