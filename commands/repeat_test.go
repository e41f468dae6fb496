package commands_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/registry"
)

func TestSameKeyAgainChangesNothing(t *testing.T) {
	w := newWorld(t).settle()
	ctx := context.Background()
	for name, cmd := range map[string]domain.Command{
		"without state":    observed("1"),
		"with state":       attach(participant, "k", "1"),
		"in several parts": attach(participant, "l", incompressible(5<<18)),
		"a creation":       add(registry.Sensor, "n0000000000000000001", study, registry.Study),
	} {
		first, err := w.bus.Do(ctx, w.bus.System(), meta(name, 1), cmd)
		if err != nil || !first.Changed || first.Repeated {
			t.Fatalf("%s: first = %+v, %v", name, first, err)
		}
		got := w.last()
		if got.ID[6]>>4 != 8 || got.CommandID[6]>>4 != 8 {
			t.Errorf("%s: ids %v and %v are not UUIDs of version 8", name, got.ID, got.CommandID)
		}
		// Whatever has happened since.
		if _, err := w.bus.Do(ctx, w.bus.System(), commands.Meta{}, attach(participant, "k", fmt.Sprintf("%q", name))); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"at once", "after a restart"} {
			before := len(w.log())
			again, err := w.bus.Do(ctx, w.bus.System(), meta(name, 1), cmd)
			first.Repeated = true
			if err != nil || !reflect.DeepEqual(again, first) || len(w.log()) != before {
				t.Errorf("%s, %s: again = %+v, %v; first %+v; %d events", name, when, again, err, first, len(w.log())-before)
			}
			w.restart()
		}
	}
}

func TestSameKeyForAnotherRequestIsRefused(t *testing.T) {
	w := newWorld(t).settle()
	ctx := context.Background()
	creation := add(registry.Sensor, "n0000000000000000001", study, registry.Study)
	for _, cmd := range []domain.Command{observed("1"), attach(participant, "k", "1"), creation} {
		if _, err := w.bus.Do(ctx, w.bus.System(), meta("key", 1), cmd); err != nil {
			t.Fatal(err)
		}
		before := len(w.log())
		_, err := w.bus.Do(ctx, w.bus.System(), meta("key", 2), cmd)
		var mismatch *commands.IdempotencyMismatchError
		if !errors.As(err, &mismatch) || !errors.Is(err, domain.ErrInvalid) || len(w.log()) != before {
			t.Errorf("%s with another body: %v, %d events", cmd.CommandName(), err, len(w.log())-before)
		}
	}
	_, err := w.bus.DoPlan(ctx, w.bus.System(), meta("key", 2), creation, add(registry.Sensor, "n0000000000000000002", study, registry.Study))
	if mismatch := (*commands.IdempotencyMismatchError)(nil); !errors.As(err, &mismatch) {
		t.Errorf("a plan with another body: %v", err)
	}
}

func TestKeysOfOthersAndOtherRoutesAreOtherKeys(t *testing.T) {
	w := newWorld(t).settle()
	ctx := context.Background()
	before := len(w.log())
	elsewhere := meta("key", 1)
	elsewhere.Details.Route = "/y"
	for i, do := range []struct {
		permit commands.Permit
		meta   commands.Meta
	}{
		{w.permit(as(study), policy.EventCreate, participant), meta("key", 1)},
		{w.permit(as(researcher), policy.EventCreate, participant), meta("key", 1)},
		{w.permit(root, policy.EventCreate, participant), meta("key", 1)},
		{w.permit(root, policy.EventCreate, participant), meta("key2", 1)},
		{w.permit(root, policy.EventCreate, participant), elsewhere},
	} {
		if receipt, err := w.bus.Do(ctx, do.permit, do.meta, observed("1")); err != nil || receipt.Repeated {
			t.Errorf("%d: %+v, %v", i, receipt, err)
		}
	}
	if got := len(w.log()) - before; got != 5 {
		t.Errorf("%d events, want 5", got)
	}
}

func TestSameKeyManyTimesAtOnceIsOneEvent(t *testing.T) {
	w := newWorld(t).settle()
	for _, cmd := range []domain.Command{observed("1"), attach(participant, "k", "1")} {
		before := len(w.log())
		var all sync.WaitGroup
		receipts := make([]commands.Receipt, 16)
		for i := range receipts {
			all.Go(func() {
				var err error
				if receipts[i], err = w.bus.Do(context.Background(), w.bus.System(), meta("key", 1), cmd); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, r := range receipts {
			if r.Position != w.last().Position {
				t.Errorf("receipt %+v, event at %v", r, w.last().Position)
			}
		}
		if got := len(w.log()) - before; got != 1 {
			t.Errorf("%s: %d events, want 1", cmd.CommandName(), got)
		}
	}
}

func TestIDsComeAgainWithTheirKeyOnly(t *testing.T) {
	w := newWorld(t).settle()
	draw := func(m commands.Meta) string {
		id := make([]byte, 100)
		if _, err := io.ReadFull(w.bus.IDs(m), id); err != nil {
			t.Fatal(err)
		}
		return string(id)
	}
	other := meta("key", 1)
	other.Principal = as(study)
	same := draw(meta("key", 1))
	if draw(meta("key", 2)) != same {
		t.Error("the same key gave other ids")
	}
	for name, m := range map[string]commands.Meta{"another key": meta("yek", 1), "another caller": other, "no key": meta("", 1)} {
		if draw(m) == same {
			t.Errorf("%s gave the same ids", name)
		}
	}
	if first, second := draw(meta("", 1)), draw(meta("", 1)); first == second {
		t.Error("ids without a key came again")
	}
}

// Whatever is done in whatever order, with restarts: a key used before changes nothing and tells what it told first.
func TestRepeatingNeverChangesAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t).settle()
		told := map[string]commands.Receipt{}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "restart") {
				w.restart()
			}
			n := rapid.IntRange(0, 3).Draw(rt, "n")
			key := fmt.Sprintf("key%d", n)
			var cmd domain.Command = attach(participant, key, fmt.Sprint(n))
			if n%2 == 0 {
				cmd = observed(fmt.Sprint(n))
			}
			before := len(w.log())
			receipt, err := w.bus.Do(context.Background(), w.bus.System(), meta(key, byte(n)), cmd)
			if err != nil {
				rt.Fatal(err)
			}
			first, seen := told[key]
			if !seen {
				told[key] = receipt
				first = receipt
			}
			if receipt.Repeated != seen || receipt.Position != first.Position || seen != (len(w.log()) == before) {
				rt.Fatalf("%s: %+v, first %+v, %d events", key, receipt, first, len(w.log())-before)
			}
		}
	})
}

func TestRemovalCanBeRepeated(t *testing.T) {
	w := newWorld(t).settle()
	ctx := context.Background()
	cmd := registry.Remove{Key: participant, Kind: registry.Participant, ID: participant}
	m := meta("key", 1)
	m.Principal = as(study)
	if _, found, err := w.bus.Earlier(ctx, m, cmd); found || err != nil {
		t.Errorf("before: %v, %v", found, err)
	}
	first, err := w.bus.Do(ctx, w.permit(m.Principal, policy.ParticipantDelete, participant), m, cmd)
	if err != nil {
		t.Fatal(err)
	}
	w.follow()
	if _, err := w.bus.Permit(m.Principal, policy.ParticipantDelete, policy.Object{ID: participant}); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("Permit = %v", err)
	}
	again, found, err := w.bus.Earlier(ctx, m, cmd)
	if !found || err != nil || again.Position != first.Position {
		t.Errorf("Earlier = %+v, %v, %v; first %+v", again, found, err, first)
	}
	m.Digest[0]++
	if _, _, err := w.bus.Earlier(ctx, m, cmd); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("with another body: %v", err)
	}
	m.Principal = as(researcher)
	if _, found, err := w.bus.Earlier(ctx, m, cmd); found || err != nil {
		t.Errorf("for somebody else: %v, %v", found, err)
	}
}

func TestLargeValueRepeatedAfterACrash(t *testing.T) {
	for _, cmd := range []domain.Command{observed(incompressible(5 << 19)), attach(participant, "k", incompressible(5<<19))} {
		w := newWorld(t).settle()
		w.store = &breaking{w.disk, 2}
		w.restart()
		if _, err := w.bus.Do(context.Background(), w.bus.System(), meta("key", 1), cmd); !errors.Is(err, errKilled) {
			t.Fatalf("Do = %v", err)
		}
		w.store = w.disk
		w.restart()
		for _, repeated := range []bool{false, true} {
			receipt, err := w.bus.Do(context.Background(), w.bus.System(), meta("key", 1), cmd)
			if err != nil || receipt.Repeated != repeated || receipt.Position != w.last().Position || len(receipt.Events) != 1 {
				t.Errorf("again = %+v, %v", receipt, err)
			}
		}
		if got := len(w.log()); got != 6 || w.last().Event == nil {
			t.Errorf("%d events, the last %+v", got, w.last().Event)
		}
	}
}
