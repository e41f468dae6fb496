package door

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// groups are the subscriptions that several consumers share: the protocol's persistent subscriptions. What a group is and
// how far it has come stands in the log, in streams named as the original names them, so that it outlives a restart:
//
//   - $persistentSubscriptionConfig: its last event names all groups and their settings;
//   - $persistentsubscription-{stream}::{group}-checkpoint: up to where everything is done;
//   - $persistentsubscription-{stream}::{group}-parked: links to what has been put aside.
//
// Each event comes at least once. To use a group a caller needs the right to manage groups, as a consumer moves it on for
// all; what it gets to see is the Gate's to say. An event that no consumer connected may see is passed over.
type groups struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	server *Server

	mu  sync.Mutex
	all map[string]*group // by name; nil until they are read from the log
}

var (
	errNoGroup     = fmt.Errorf("%w: there is no such group", domain.ErrNotFound)
	errGroupExists = errors.Join(domain.ErrRejected, errors.New("there is such a group already"))
)

// streamOf is the name of the stream that a message is about.
func streamOf(one *shared.StreamIdentifier, all bool) string {
	if all {
		return allStream
	}
	return string(one.GetStreamName())
}

// manage lets a caller in that may manage groups, does it, and puts it on the record.
func (gs *groups) manage(ctx context.Context, call, stream, group string, do func(Caller) error) error {
	caller, err := gs.server.enter(ctx)
	if err != nil {
		return failure(ctx, stream, err)
	}
	if stream != "" {
		if err = nameable("stream", stream); err != nil {
			stream = "" // what makes no sense is not put on the record
		}
	}
	if err == nil && group != "" {
		err = nameable("group", group)
	}
	if err == nil {
		err = caller.MayManage()
	}
	if err == nil {
		err = ofGroup(group, do(caller))
	}
	return failure(ctx, stream, gs.server.left(ctx, caller, call, stream, 0, err))
}

// load reads the groups from the log, once.
func (gs *groups) load(ctx context.Context) error {
	if gs.all != nil {
		return nil
	}
	configs, err := gs.server.configs(ctx)
	if err != nil {
		return err
	}
	all := map[string]*group{}
	for _, c := range configs {
		if all[c.name()], err = gs.server.opened(ctx, c); err != nil {
			return err
		}
	}
	gs.all = all
	return nil
}

// configs are the groups that there are, as they stand in the log.
func (s *Server) configs(ctx context.Context) (configs []config, err error) {
	last, ok, err := s.lastOf(ctx, configStream)
	if err != nil || !ok {
		return nil, err
	}
	said, err := external.Unpack(last)
	if err != nil {
		return nil, err
	}
	return configs, json.Unmarshal(said.Data, &configs)
}

// keep writes down which groups there are.
func (gs *groups) keep(ctx context.Context, caller Caller, all map[string]*group) error {
	configs := []config{}
	for _, g := range all {
		configs = append(configs, g.config)
	}
	slices.SortFunc(configs, func(a, b config) int { return cmp.Compare(a.name(), b.name()) })
	data, err := json.Marshal(configs)
	if err != nil {
		return err
	}
	if len(data) > gs.server.maxAppend {
		return fmt.Errorf("%w: there are too many groups: delete one first", domain.ErrRejected)
	}
	_, err = gs.server.note(ctx, caller, configStream, domain.Any, typeConfig, data)
	return err
}

// find is the group of a stream with a name.
func (gs *groups) find(ctx context.Context, stream, name string) (*group, error) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if err := gs.load(ctx); err != nil {
		return nil, err
	}
	if g := gs.all[config{Stream: stream, Group: name}.name()]; g != nil {
		return g, nil
	}
	return nil, errNoGroup
}

// close ends all groups, when the server ends.
func (gs *groups) close() {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, g := range gs.all {
		g.end(errGroupDropped)
	}
}

// Create implements the service.
func (gs *groups) Create(ctx context.Context, r *persistent.CreateReq) (*persistent.CreateResp, error) {
	o := r.GetOptions()
	one, all := o.GetStream(), o.GetAll()
	//lint:ignore SA1019 clients of older versions name the stream there
	c := config{Stream: streamOf(cmp.Or(one.GetStreamIdentifier(), o.GetStreamIdentifier()), all != nil), Group: o.GetGroupName(), Filter: storedOf(all.GetFilter())}
	err := gs.manage(ctx, "create group", c.Stream, c.Group, func(caller Caller) (err error) {
		strategy := o.GetSettings().GetConsumerStrategy()
		if strategy == "" {
			//lint:ignore SA1019 clients of older versions name the strategy so
			strategy = named(int32(o.GetSettings().GetNamedConsumerStrategy()))
		}
		if c.Settings, err = settingsOf(o.GetSettings(), strategy); err != nil {
			return err
		}
		if all == nil {
			c.From, c.Origin, err = gs.server.originOf(ctx, c.Stream, one)
		} else {
			c.From, c.Origin, err = gs.server.originOfAll(ctx, all)
		}
		if err != nil {
			return err
		}
		return gs.create(ctx, caller, c)
	})
	if err != nil {
		return nil, err
	}
	return &persistent.CreateResp{}, nil
}

// named is the name of a strategy that is given by its number.
func named(strategy int32) string {
	return []string{dispatchToSingle, roundRobin, pinned}[min(max(strategy, 0), 2)]
}

func (gs *groups) create(ctx context.Context, caller Caller, c config) error {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if err := gs.load(ctx); err != nil {
		return err
	}
	switch {
	case c.Stream == "" || c.Group == "":
		return fmt.Errorf("%w: a group has a stream and a name", domain.ErrInvalid)
	case gs.all[c.name()] != nil:
		return errGroupExists
	}
	rand.Read(c.ID[:])
	return gs.put(ctx, caller, c)
}

// put makes a group what its config says, durably.
func (gs *groups) put(ctx context.Context, caller Caller, c config) error {
	if _, err := c.Filter.filter(); err != nil {
		return err
	}
	next := maps.Clone(gs.all)
	next[c.name()] = &group{config: c}
	if err := gs.keep(ctx, caller, next); err != nil {
		return err
	}
	if old := gs.all[c.name()]; old != nil {
		old.end(errGroupDropped)
	}
	g, err := gs.server.opened(ctx, c)
	if err != nil {
		gs.forget() // what is in the log holds
		return err
	}
	gs.all[c.name()] = g
	return nil
}

// forget ends all groups and has them read from the log again.
func (gs *groups) forget() {
	for _, g := range gs.all {
		g.end(errGroupDropped)
	}
	gs.all = nil
}

// originOf is where a group of a stream begins, in the protocol's words, and what is before it.
func (s *Server) originOf(ctx context.Context, stream string, asked from) (string, place, error) {
	switch at := asked.GetRevision(); {
	case asked.GetEnd() != nil && isVirtual(stream):
		now, err := s.virtuals.of(stream).look(ctx, s.store)
		return "-1", place{Revision: int64(now.count) - 1}, err
	case asked.GetEnd() != nil:
		last, ok, err := s.lastOf(ctx, stream)
		if err != nil || !ok {
			return "-1", place{Revision: -1}, err
		}
		return "-1", place{Revision: int64(last.Revision)}, nil
	case at > math.MaxInt64:
		return "", place{}, fmt.Errorf("%w: no revision is that great", domain.ErrInvalid)
	default:
		return fmt.Sprint(at), place{Revision: int64(at) - 1}, nil
	}
}

// from is where a group of a stream is asked to begin.
type from interface {
	GetRevision() uint64
	GetEnd() *shared.Empty
}

// originOfAll is where a group of all events begins: with the event at the position asked for.
func (s *Server) originOfAll(ctx context.Context, asked fromAll) (string, place, error) {
	if asked.GetEnd() != nil {
		head, err := s.store.Head(ctx)
		return "C:-1/P:-1", place{Position: head}, err
	}
	at := domain.Position{Commit: asked.GetPosition().GetCommitPosition(), Prepare: asked.GetPosition().GetPreparePosition()}
	before := domain.Position{}
	if !at.IsZero() {
		for r, err := range s.store.ReadAll(ctx, at, 2, commands.Backwards) {
			if err != nil {
				return "", place{}, err
			}
			if r.Position.Before(at) {
				before = r.Position
				break
			}
		}
	}
	return positionText(at), place{Position: before}, nil
}

// fromAll is where a group of all events is asked to begin.
type fromAll interface {
	GetPosition() *persistent.CreateReq_Position
	GetEnd() *shared.Empty
}

// positionText is a position as the protocol writes it in texts.
func positionText(p domain.Position) string { return fmt.Sprintf("C:%d/P:%d", p.Commit, p.Prepare) }

// Update implements the service: the group's settings change, its consumers have to connect again, and it goes on where it
// was.
func (gs *groups) Update(ctx context.Context, r *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	o := r.GetOptions()
	//lint:ignore SA1019 clients of older versions name the stream there
	stream := streamOf(cmp.Or(o.GetStream().GetStreamIdentifier(), o.GetStreamIdentifier()), o.GetAll() != nil)
	err := gs.manage(ctx, "update group", stream, o.GetGroupName(), func(caller Caller) error {
		changed, err := settingsOf(o.GetSettings(), named(int32(o.GetSettings().GetNamedConsumerStrategy())))
		if err != nil {
			return err
		}
		g, err := gs.find(ctx, stream, o.GetGroupName())
		if err != nil {
			return err
		}
		gs.mu.Lock()
		defer gs.mu.Unlock()
		if gs.all[g.config.name()] != g {
			return errNoGroup // somebody has removed it meanwhile
		}
		c := g.config
		c.Settings = changed
		return gs.put(ctx, caller, c)
	})
	if err != nil {
		return nil, err
	}
	return &persistent.UpdateResp{}, nil
}

// Delete implements the service. What the group had parked is gone with it.
func (gs *groups) Delete(ctx context.Context, r *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	o := r.GetOptions()
	stream := streamOf(o.GetStreamIdentifier(), o.GetAll() != nil)
	err := gs.manage(ctx, "delete group", stream, o.GetGroupName(), func(caller Caller) error {
		g, err := gs.find(ctx, stream, o.GetGroupName())
		if err != nil {
			return err
		}
		return gs.remove(ctx, caller, g)
	})
	if err != nil {
		return nil, err
	}
	return &persistent.DeleteResp{}, nil
}

func (gs *groups) remove(ctx context.Context, caller Caller, g *group) error {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	name := g.config.name()
	if gs.all[name] != g {
		return errNoGroup
	}
	next := maps.Clone(gs.all)
	delete(next, name)
	if err := gs.keep(ctx, caller, next); err != nil {
		return err
	}
	gs.all = next
	g.end(errGroupDropped)
	for _, suffix := range []string{checkpointSuffix, parkedSuffix} {
		if _, err := gs.server.hide(ctx, caller, name+suffix, life{}); err != nil {
			return err
		}
	}
	return nil
}

// ReplayParked implements the service: what is parked, or what was parked before a revision, is given to the consumers
// again. What of it they do not acknowledge stays parked.
func (gs *groups) ReplayParked(ctx context.Context, r *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	o := r.GetOptions()
	stream := streamOf(o.GetStreamIdentifier(), o.GetAll() != nil)
	err := gs.manage(ctx, "replay parked", stream, o.GetGroupName(), func(Caller) error {
		g, err := gs.find(ctx, stream, o.GetGroupName())
		if err != nil {
			return err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.parkedUntil = g.parkedEnd
		if at, limited := o.GetStopAtOption().(*persistent.ReplayParkedReq_Options_StopAt); limited && at.StopAt >= 0 {
			g.parkedUntil = min(g.parkedUntil, uint64(at.StopAt))
		}
		g.pump()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &persistent.ReplayParkedResp{}, nil
}

// RestartSubsystem implements the service: all consumers have to connect again, and all groups are read from the log.
func (gs *groups) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	err := gs.manage(ctx, "restart groups", "", "", func(Caller) error {
		gs.mu.Lock()
		defer gs.mu.Unlock()
		gs.forget()
		return gs.load(ctx)
	})
	if err != nil {
		return nil, err
	}
	return &shared.Empty{}, nil
}

// GetInfo implements the service.
func (gs *groups) GetInfo(ctx context.Context, r *persistent.GetInfoReq) (answer *persistent.GetInfoResp, _ error) {
	o := r.GetOptions()
	stream := streamOf(o.GetStreamIdentifier(), o.GetAll() != nil)
	err := gs.manage(ctx, "group info", stream, o.GetGroupName(), func(Caller) error {
		g, err := gs.find(ctx, stream, o.GetGroupName())
		if err != nil {
			return err
		}
		answer = &persistent.GetInfoResp{SubscriptionInfo: g.info(time.Now())}
		return nil
	})
	return answer, err
}

// List implements the service: all groups, or those of one stream.
func (gs *groups) List(ctx context.Context, r *persistent.ListReq) (answer *persistent.ListResp, _ error) {
	of := r.GetOptions().GetListForStream()
	stream := streamOf(of.GetStream(), of.GetAll() != nil)
	err := gs.manage(ctx, "list groups", stream, "", func(Caller) error {
		gs.mu.Lock()
		defer gs.mu.Unlock()
		if err := gs.load(ctx); err != nil {
			return err
		}
		answer = &persistent.ListResp{}
		for _, name := range slices.Sorted(maps.Keys(gs.all)) {
			if g := gs.all[name]; of == nil || g.config.Stream == stream {
				answer.Subscriptions = append(answer.Subscriptions, g.info(time.Now()))
			}
		}
		if of != nil && len(answer.Subscriptions) == 0 {
			return errNoGroup
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}
