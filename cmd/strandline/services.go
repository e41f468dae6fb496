package main

import (
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"strandline/transport/rest/api"
)

// presence is what this process tells of itself.
type presence struct {
	id        string
	started   time.Time
	clock     func() time.Time
	addresses atomic.Pointer[[]string] // nil until it listens
}

func newPresence(clock func() time.Time) *presence {
	return &presence{id: uuid.Must(uuid.NewV7()).String(), started: clock(), clock: clock} // fails only where no randomness is left
}

// at tells where the process answers requests.
func (p *presence) at(urls []string) { p.addresses.Store(&urls) }

// services lists this process, which is the only one: it knows itself alive.
func (p *presence) services() []api.Service {
	addresses := []string{}
	if known := p.addresses.Load(); known != nil {
		addresses = *known
	}
	return []api.Service{{
		ID: p.id, Name: "strandline", Roles: []string{"api", "project"}, Version: version(), Addresses: addresses,
		Started: p.started.UTC(), Heartbeat: p.clock().UTC(),
	}}
}
