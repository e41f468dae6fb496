package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"strandline/transport/redis"
	"strandline/transport/rest/api"
)

// presence is what this process tells of itself, and where it hears of others.
type presence struct {
	id        string
	started   time.Time
	clock     func() time.Time
	roles     duties
	addresses atomic.Pointer[[]string] // nil until it listens
	registry  *redis.Registry          // nil where there is no Redis
	log       *slog.Logger
}

func newPresence(clock func() time.Time, bell doorbell, log *slog.Logger) *presence {
	p := &presence{id: uuid.Must(uuid.NewV7()).String(), started: clock(), clock: clock, log: log} // fails only where no randomness is left
	if bell.link != nil {
		p.registry = bell.link.Registry()
	}
	return p
}

// at tells where the process answers requests.
func (p *presence) at(urls []string) { p.addresses.Store(&urls) }

// register has others know of this process until ctx ends.
func (p *presence) register(ctx context.Context) {
	if p.registry == nil {
		return
	}
	if err := p.registry.Register(ctx, p.self); err != nil {
		p.log.Error("this process cannot be registered", "error", err)
	}
}

// self is this process, which knows itself alive.
func (p *presence) self() redis.Service {
	s := redis.Service{ID: p.id, Name: "strandline", Roles: p.roles, Version: version(), Addresses: []string{},
		Started: p.started.UTC(), Heartbeat: p.clock().UTC()}
	if known := p.addresses.Load(); known != nil {
		s.Addresses = *known
	}
	return s
}

// services lists the processes that are registered, the oldest first. Without Redis it is this one.
func (p *presence) services() []api.Service {
	all := []api.Service{api.Service(p.self())}
	if p.registry == nil {
		return all
	}
	registered, err := p.registry.Services(context.Background())
	if err != nil {
		p.log.Debug("the registry of services cannot be read", "cause", err)
	}
	for _, s := range registered {
		if s.ID != p.id {
			all = append(all, api.Service(s))
		}
	}
	slices.SortFunc(all, func(a, b api.Service) int {
		return cmp.Or(a.Started.Compare(b.Started), strings.Compare(a.ID, b.ID))
	})
	return all
}
