package commands_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"testing"
	"time"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/codec"
	"strandline/domain/registry"
	"strandline/readmodels/directory"
	"strandline/transport/eventstore/memory"
	"strandline/transport/files/faultfs"
	"strandline/transport/keys"
	"strandline/transport/zstd"
)

// The people and things of the tests.
const (
	researcher  = "r0000000000000000001"
	rival       = "r0000000000000000002"
	study       = "s0000000000000000001"
	participant = "U0000000001"
	activity    = "a0000000000000000001"
)

// world is a bus with all around it, in memory.
type world struct {
	t         testing.TB
	store     commands.EventStore
	disk      commands.EventStore // below store, where that is wrapped
	keys      *keys.Store
	codec     *codec.Codec
	directory *directory.Directory
	bus       *commands.Bus
}

func newWorld(t testing.TB) *world {
	t.Helper()
	k, err := keys.Open(faultfs.New(1), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return worldOf(t, memory.New(), k)
}

func worldOf(t testing.TB, disk commands.EventStore, k *keys.Store) *world {
	t.Helper()
	z, err := zstd.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: disk, disk: disk, keys: k, codec: codec.New(k, k, z, z)}
	w.start()
	return w
}

// restart gives the world a new bus and a new directory, as a new process has them.
func (w *world) restart(options ...commands.Option) {
	w.t.Helper()
	w.start(options...)
	w.follow()
}

func (w *world) start(options ...commands.Option) {
	w.t.Helper()
	w.directory = directory.New()
	bus, err := commands.New(w.store, w.codec, w.keys, w.directory, options...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.bus = bus
}

// forwards adapts the store for the codec.
type forwards struct{ commands.EventStore }

func (f forwards) ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return f.EventStore.ReadStream(ctx, stream, from, limit, commands.Forwards)
}

func (w *world) decode(r domain.Record) domain.Recorded {
	w.t.Helper()
	recorded, err := w.codec.Decode(context.Background(), r, forwards{w.disk})
	if err != nil {
		w.t.Fatalf("decode %s: %v", r.Type, err)
	}
	return recorded
}

// log is everything that has been recorded, without parts.
func (w *world) log() []domain.Recorded {
	w.t.Helper()
	all, err := w.since(domain.Position{})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// since is what has been recorded after a position.
func (w *world) since(at domain.Position) ([]domain.Recorded, error) {
	var all []domain.Recorded
	for r, err := range w.disk.ReadAll(context.Background(), at, 0, commands.Forwards) {
		if err != nil {
			return nil, err
		}
		if !at.Before(r.Position) || r.ContentType == domain.Part {
			continue
		}
		recorded, err := w.codec.Decode(context.Background(), r, forwards{w.disk})
		if err != nil {
			return nil, err
		}
		all = append(all, recorded)
	}
	return all, nil
}

// types are the types of everything that has been recorded.
func (w *world) types() []string {
	w.t.Helper()
	var types []string
	for _, r := range w.log() {
		types = append(types, r.Type)
	}
	return types
}

// last is what was recorded last.
func (w *world) last() domain.Recorded {
	w.t.Helper()
	all := w.log()
	return all[len(all)-1]
}

// follow brings the directory to the head.
func (w *world) follow() {
	w.t.Helper()
	if err := w.tryFollow(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tryFollow() error {
	fresh, err := w.since(w.directory.Checkpoint())
	if len(fresh) > 0 {
		w.directory.Update(fresh[len(fresh)-1].Position, fresh)
	}
	return err
}

// must carries out a command for the system and follows.
func (w *world) must(cmd domain.Command) commands.Receipt {
	w.t.Helper()
	receipt, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, cmd)
	if err != nil {
		w.t.Fatalf("%s: %v", cmd.CommandName(), err)
	}
	w.follow()
	return receipt
}

// settle adds two researchers, and a study with a participant and an activity below the first.
func (w *world) settle() *world {
	w.t.Helper()
	w.must(add(registry.Researcher, researcher, "", ""))
	w.must(add(registry.Researcher, rival, "", ""))
	w.must(add(registry.Study, study, researcher, registry.Researcher))
	w.must(add(registry.Participant, participant, study, registry.Study))
	w.must(add(registry.Activity, activity, study, registry.Study))
	return w
}

func add(kind registry.Kind, id, parent string, of registry.Kind) registry.Add {
	c := registry.Add{Key: id, Kind: kind, ID: id, Parent: parent, ParentKind: of}
	if kind != registry.Participant {
		c.Attributes = registry.Attributes{"name": json.RawMessage(fmt.Sprintf("%q", "name of "+id))}
	}
	return c
}

var root = commands.Principal{Credential: "root's", Root: true}

func as(origin string) commands.Principal {
	return commands.Principal{Credential: "credential of " + origin, Origin: origin}
}

func (w *world) permit(p commands.Principal, verb policy.Verb, id string) commands.Permit {
	w.t.Helper()
	permit, err := w.bus.Permit(p, verb, policy.Object{ID: id})
	if err != nil {
		w.t.Fatalf("permit for %s on %q: %v", verb, id, err)
	}
	return permit
}

func meta(key string, body byte) commands.Meta {
	return commands.Meta{
		Request:        domain.ID{15: 7},
		Details:        domain.Request{Address: "192.0.2.1", Method: "POST", Route: "/x"},
		Dialect:        "lamp",
		APIKey:         "api key id",
		IdempotencyKey: key,
		Digest:         [32]byte{body},
	}
}

func fixedClock() time.Time { return time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC) }
