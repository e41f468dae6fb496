package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
)

// times: a clock that is set back must not show in the log.
func times(s suite) {
	var mu sync.Mutex
	now := time.Date(2031, 1, 2, 3, 4, 5, 123456789, time.FixedZone("east", 7200))
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	turn := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	instance := s.factory(s.T, clock)
	store := instance.EventStore
	first := time.Date(2031, 1, 2, 1, 4, 5, 123456700, time.UTC)
	s.append(store, "thing-1", domain.Any, records(2)...)
	turn(-time.Hour)
	s.append(store, "thing-2", domain.Any, record())
	turn(2 * time.Hour)
	s.append(store, "thing-1", domain.Any, record())
	turn(-3 * time.Hour)
	if instance.Reopen != nil {
		store = instance.Reopen()
	}
	s.append(store, "thing-1", domain.Any, record())
	const decade = 10 * 365 * 24 * time.Hour
	turn(-decade)
	s.append(store, "thing-2", domain.Any, record())
	turn(2 * decade)
	s.append(store, "thing-2", domain.Any, record())
	turn(-decade)
	if instance.Reopen != nil {
		store = instance.Reopen()
	}
	s.append(store, "thing-2", domain.Any, record())
	late := first.Add(decade - 2*time.Hour)
	want := []time.Time{first, first, first, first.Add(time.Hour), first.Add(time.Hour), first.Add(time.Hour), late, late}
	for i, r := range s.all(store) {
		if !r.Time.Equal(want[i]) || r.Time.Location() != time.UTC {
			s.Errorf("time of record %d = %v; want %v", i, r.Time, want[i])
		}
	}
}

// cancelled: every call returns within 100 ms of its context's end, with the context's error.
func cancelled(s suite) {
	store := s.open()
	for range 40 {
		s.append(store, "thing-1", domain.Any, records(50)...)
	}
	calls := map[string]func(context.Context) error{
		"append": func(ctx context.Context) error {
			_, err := store.Append(ctx, "thing-2", domain.Any, records(1))
			return err
		},
		"read stream": func(ctx context.Context) error {
			return drain(func() error {
				_, err := collect(store.ReadStream(ctx, "thing-1", 0, 0, commands.Forwards))
				return err
			})
		},
		"read all": func(ctx context.Context) error {
			return drain(func() error {
				_, err := collect(store.ReadAll(ctx, domain.Position{}, 0, commands.Backwards))
				return err
			})
		},
		"follow": func(ctx context.Context) (last error) {
			for _, err := range store.Follow(ctx, domain.Position{}) {
				last = err
			}
			return last
		},
		"find": func(ctx context.Context) error {
			return drain(func() error { _, err := store.Find(ctx, "thing-1", record().ID); return ignore(err) })
		},
		"head": func(ctx context.Context) error {
			return drain(func() error { _, err := store.Head(ctx); return err })
		},
	}
	for name, call := range calls {
		s.Run(name, func(t *testing.T) {
			ended, end := context.WithCancel(t.Context())
			end()
			expectEnd(t, ended, call)
			if name == "append" {
				return // it is either done or not begun: nothing to interrupt
			}
			later, stop := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer stop()
			expectEnd(t, later, call)
		})
	}
}

// drain repeats call until it fails, so that the context ends somewhere inside it.
func drain(call func() error) error {
	for {
		if err := call(); err != nil {
			return err
		}
	}
}

func ignore(err error) error {
	if errors.Is(err, domain.ErrNotFound) {
		return nil
	}
	return err
}

func expectEnd(t *testing.T, ctx context.Context, call func(context.Context) error) {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- call(ctx) }()
	<-ctx.Done()
	select {
	case err := <-result:
		if !errors.Is(err, ctx.Err()) {
			t.Errorf("returned %v; want %v", err, ctx.Err())
		}
	case <-time.After(100*time.Millisecond + grace):
		t.Errorf("has not returned 100 ms after its context's end")
	}
}

// grace is what a loaded test machine may add to 100 ms.
const grace = 400 * time.Millisecond
