package redis_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/domain"
	"strandline/transport/redis"
)

// registered waits until the registry names exactly these ids.
func registered(t *testing.T, r *redis.Registry, within time.Duration, want ...string) []redis.Service {
	t.Helper()
	slices.Sort(want)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		all, err := r.Services(t.Context())
		var ids []string
		for _, s := range all {
			ids = append(ids, s.ID)
		}
		slices.Sort(ids)
		if err == nil && slices.Equal(ids, want) {
			return all
		}
		if time.Since(began) > within {
			t.Fatalf("registered are %v, %v; want %v", ids, err, want)
		}
	}
}

// TestRegistry has services come, stop and die, and Redis be flushed and away.
func TestRegistry(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	client := s.client()
	defer client.Close()
	registry := redis.NewRegistry(client, quiet)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var running sync.WaitGroup
	defer running.Wait()
	register := func(id string) context.CancelFunc {
		ctx, stop := context.WithCancel(t.Context())
		running.Go(func() {
			if err := registry.Register(ctx, func() redis.Service {
				return redis.Service{ID: id, Name: "thing-maker", Roles: []string{"make"}, Version: "1", Addresses: []string{"http://a"}, Started: at, Heartbeat: at}
			}); err != nil {
				t.Error(err)
			}
		})
		return stop
	}
	stopA, stopB := register("a"), register("b")
	defer stopA()
	all := registered(t, registry, 5*time.Second, "a", "b")
	if got := all[0]; got.Name != "thing-maker" || !slices.Equal(got.Roles, []string{"make"}) || !slices.Equal(got.Addresses, []string{"http://a"}) || !got.Started.Equal(at) {
		t.Errorf("registered is %+v", got)
	}
	stopB()
	registered(t, registry, 2*time.Second, "a") // at once: sooner than its life ends
	for id, text := range map[string]string{
		"c": `{"id":"c","name":"other","roles":["x"],"version":"2","addresses":[],"started":"2026-03-01T12:00:00Z","heartbeat":"2026-03-01T12:00:00Z"}`,
		"d": `{"id":"c","name":"other"}`, "e": `{"id":"e","name":"No Name"}`, "f": `no JSON`, "g": `{"id":"g","name":"` + strings.Repeat("n", 20_000) + `"}`,
	} {
		client.SAdd(t.Context(), "strandline:services", id)
		client.Set(t.Context(), "strandline:service:"+id, text, 700*time.Millisecond)
	}
	registered(t, registry, 0, "a", "c") // what is written wrongly is left out
	registered(t, registry, 5*time.Second, "a")
	for began := time.Now(); client.SCard(t.Context(), "strandline:services").Val() != 1; time.Sleep(20 * time.Millisecond) {
		if registered(t, registry, 0, "a"); time.Since(began) > 5*time.Second {
			t.Fatal("the dead are kept in the set of services")
		}
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	registered(t, registry, 5*time.Second, "a")
	s.kill()
	if _, err := registry.Services(t.Context()); err == nil {
		t.Error("services are known while Redis is away")
	}
	s.start()
	registered(t, registry, 5*time.Second, "a")
}

// TestRegistryRefuses has no service registered that nobody could tell apart.
func TestRegistryRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := s.client() // nobody is asked
	defer client.Close()
	for _, refused := range []redis.Service{{}, {ID: "a"}, {ID: "a b", Name: "n"}, {ID: "a", Name: "N"}, {ID: strings.Repeat("a", 300), Name: "n"}, {Name: "n"}} {
		if err := redis.NewRegistry(client, quiet).Register(t.Context(), func() redis.Service { return refused }); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%+v: %v, want domain.ErrInvalid", refused, err)
		}
	}
}
