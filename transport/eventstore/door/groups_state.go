package door

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// ownDeadline bounds what a group reads and writes for itself.
const ownDeadline = 5 * time.Second

// mostSkipped is how many events a filter passes over before a group writes down how far it is.
const mostSkipped = 10_000

// savedPlace is a checkpoint as it is stored.
type savedPlace struct {
	ID domain.ID `json:"id"`
	place
}

// checkpoint writes down how far the group is if that is due: after enough events at once, after fewer if some time has
// passed, and after any when forced.
func (g *group) checkpoint(forced bool) {
	g.markParked()
	s, late := g.config.Settings, time.Since(g.savedAt) >= g.config.Settings.CheckpointAfter
	due := g.settled >= int(s.MaxCheckpoint) || late && (g.settled >= int(s.MinCheckpoint) || g.skipped >= mostSkipped) || forced && g.settled > 0
	if !due || g.main.done == g.saved {
		return
	}
	if err := g.write(g.config.name()+checkpointSuffix, typeCheckpoint, savedPlace{g.config.ID, g.main.done}); err != nil {
		g.server.log.Error("a group cannot write down how far it is", "group", g.config.Group, "stream", g.config.Stream, "error", err)
		return
	}
	g.saved, g.savedAt, g.settled, g.skipped = g.main.done, time.Now(), 0, 0
}

// markParked says which of the parked events are done with.
func (g *group) markParked() {
	from := uint64(g.parked.done.Revision + 1)
	if from <= g.parkedFrom {
		return
	}
	if err := g.write(metaPrefix+g.config.name()+parkedSuffix, typeMetadata, map[string]uint64{"$tb": from}); err != nil {
		g.server.log.Error("a group cannot say what is not parked any more", "group", g.config.Group, "stream", g.config.Stream, "error", err)
		return
	}
	g.parkedFrom = from
}

// park puts a message aside, durably, and is done with it then. If that fails it is given again.
func (g *group) park(m *message, reason string) {
	about := cmp.Or(m.behind, m.event, m.link)
	said, err := json.Marshal(struct {
		Added  time.Time `json:"added"`
		Reason string    `json:"reason"`
	}{g.server.clock().UTC(), shortened(reason)})
	if err == nil {
		link := external.Event{Metadata: said, Data: fmt.Appendf(nil, "%d@%s", about.Revision, about.Stream)}
		err = g.put(g.config.name()+parkedSuffix, typeLink, link)
	}
	if err != nil {
		g.server.log.Error("a group cannot park an event", "group", g.config.Group, "stream", g.config.Stream, "error", err)
		g.retry = append(g.retry, m)
		return
	}
	g.parkedEnd++
	g.finish(m)
}

func (g *group) write(stream, typ string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return g.put(stream, typ, external.Event{JSON: true, Data: data})
}

func (g *group) put(stream, typ string, e external.Event) error {
	ctx, stop := context.WithTimeout(context.Background(), ownDeadline)
	defer stop()
	_, err := g.server.put(ctx, nil, stream, domain.Any, typ, e)
	return err
}

// opened is the group of a config, as far as it has come.
func (s *Server) opened(ctx context.Context, c config) (*group, error) {
	g := &group{server: s, config: c, places: make(chan struct{}, 1), savedAt: time.Now(), asked: time.Now()}
	if c.Settings.Strategy == pinned || c.Settings.Strategy == pinnedByCorrelation {
		g.pins = map[uint32]*pin{}
	}
	var err error
	if g.filter, err = c.Filter.filter(); err != nil {
		return nil, err
	}
	g.main.done, g.saved = c.Origin, c.Origin
	last, ok, err := s.lastOf(ctx, c.name()+checkpointSuffix)
	if err != nil {
		return nil, err
	}
	var at savedPlace
	if said, err := external.Unpack(last); ok && err == nil && json.Unmarshal(said.Data, &at) == nil && at.ID == c.ID {
		g.main.done, g.saved = at.place, at.place
	}
	g.known = g.main.done
	return g, g.openParked(ctx)
}

// openParked finds out what the group has parked.
func (g *group) openParked(ctx context.Context) error {
	l, lastAt, err := g.server.life(ctx, g.config.name()+parkedSuffix)
	if err != nil {
		return err
	}
	g.parkedEnd = l.last.Next()
	if g.parkedFrom = l.first(); l.isDeleted(lastAt) {
		g.parkedFrom = g.parkedEnd
	}
	g.parked.done.Revision = int64(g.parkedFrom) - 1
	g.parkedRead, g.parkedUntil = g.parkedFrom, g.parkedFrom
	return nil
}
