package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/eventstore/esdb"
)

// eventLog is the event store of a node, with what operators want to know of it.
type eventLog interface {
	commands.EventStore
	Close() error
	Generation() domain.ID
	Failed() <-chan struct{}        // closed once nothing can be appended any more
	Err() error                     // why
	Full() bool                     // the disk was, at the last append
	Bytes() int64                   // on this machine's disk
	Pending() time.Duration         // for how long a write has not been answered
	Queued() (bytes int, limit int) // waiting to be written
}

// Where the event store is.
const (
	embeddedStore = "embedded"
	esdbScheme    = "esdb" // esdb:// or esdb+discover://
)

// storePlace holds the flag that says where the event store is.
type storePlace struct{ at address }

func (p *storePlace) flags(flags *pflag.FlagSet) {
	p.at = embeddedStore
	flags.Var(&p.at, "eventstore",
		"where events are stored: embedded, in DIR/log; or EventStoreDB, as esdb://USER:PASSWORD@HOST:2113")
}

// open connects to EventStoreDB; nil is the embedded store.
func (p *storePlace) open() (eventLog, error) {
	if p.at == embeddedStore || p.at == "" {
		return nil, nil
	}
	if !strings.HasPrefix(string(p.at), esdbScheme) {
		return nil, exitWith(exitUsage, fmt.Errorf("--eventstore is embedded, or an address as esdb://HOST:2113"))
	}
	store, err := esdb.Open(string(p.at))
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--eventstore: %w", err))
	}
	return remoteLog{Store: store, generation: generationOf(string(p.at))}, nil
}

// generationOf names the life of a store elsewhere, by where it is: read models of another one are of no use.
func generationOf(address string) (id domain.ID) {
	_, address, _ = strings.Cut(address, "://")
	if i := strings.LastIndex(address, "@"); i >= 0 {
		address = address[i+1:] // a changed password changes no events
	}
	address, _, _ = strings.Cut(address, "?")
	sum := sha256.Sum256([]byte("eventstore " + address))
	copy(id[:], sum[:])
	return id
}

// remoteLog is an event store on another machine, whose disk is that one's affair.
type remoteLog struct {
	*esdb.Store
	generation domain.ID
}

func (r remoteLog) Generation() domain.ID { return r.generation }
func (remoteLog) Failed() <-chan struct{} { return nil }
func (remoteLog) Err() error              { return nil }
func (remoteLog) Full() bool              { return false }
func (remoteLog) Bytes() int64            { return 0 }
func (remoteLog) Pending() time.Duration  { return 0 }
func (remoteLog) Queued() (int, int)      { return 0, 0 }

// reached waits until the event store can be asked: a while, as all may be starting together.
func reached(ctx context.Context, log eventLog, to *slog.Logger) error {
	for began, told := time.Now(), false; ; {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := log.Head(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > startPatience {
			return fmt.Errorf("--eventstore cannot be reached: %w; check its address, its credentials and tls=false", err)
		}
		if !told {
			told = true
			to.Warn("waiting for the event store", "error", err)
		}
		select {
		case <-time.After(startPause):
		case <-ctx.Done():
		}
	}
}

// Times of a node that starts: how long it waits for an event store elsewhere, and between two questions.
const (
	startPatience = time.Minute
	startPause    = 200 * time.Millisecond
)

// ownLog is the embedded store; false where events are stored elsewhere.
func (s *storage) ownLog() (*embedded.Store, bool) {
	own, ok := s.log.(*embedded.Store)
	return own, ok
}
