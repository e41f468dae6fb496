package commands_test

import (
	"context"
	"errors"
	"testing"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
)

// TestQuietIsRememberedAcrossRestarts: what had nothing to do, under its idempotency key, after a restart and a change.
func TestQuietIsRememberedAcrossRestarts(t *testing.T) {
	w := newWorld(t).settle()
	ctx := context.Background()
	w.must(attach(participant, "k", "1"))
	cmd, m := attach(participant, "k", "1"), meta("key", 1)
	if receipt, err := w.bus.Do(ctx, w.bus.System(), m, cmd); err != nil || receipt.Changed || receipt.Repeated {
		t.Fatalf("first = %+v, %v", receipt, err)
	}
	m.Principal = w.bus.System().Principal()
	m.Remember = true
	if _, err := w.bus.Record(ctx, m, access.Served{Outcome: access.OutcomeQuiet}); err != nil {
		t.Fatal(err)
	}
	if got := w.last(); got.ID != m.Request || got.Request.Digest == "" {
		t.Errorf("recorded %+v, request %+v; want the request's id and a digest", got.Envelope, got.Request)
	}
	w.must(attach(participant, "k", "2"))
	for range 2 {
		before := len(w.log())
		receipt, err := w.bus.Do(ctx, w.bus.System(), meta("key", 1), cmd)
		if err != nil || receipt.Changed || !receipt.Repeated || len(w.log()) != before {
			t.Errorf("again = %+v, %v, %d events", receipt, err, len(w.log())-before)
		}
		if _, found, err := w.bus.Earlier(ctx, m, cmd); !found || err != nil {
			t.Errorf("Earlier = %v, %v", found, err)
		}
		var mismatch *commands.IdempotencyMismatchError
		if _, err := w.bus.Do(ctx, w.bus.System(), meta("key", 2), attach(participant, "k", "3")); !errors.As(err, &mismatch) {
			t.Errorf("another body: %v", err)
		}
		w.restart()
	}

	// Two that came at once: the second is recorded beside the first, unless it is another request.
	m.Request = domain.ID{15: 8}
	before := len(w.log())
	if _, err := w.bus.Record(ctx, m, access.Served{Outcome: access.OutcomeQuiet}); err != nil || len(w.log()) != before+1 || w.last().ID != m.Request {
		t.Errorf("the same at once: %v, %d events", err, len(w.log())-before)
	}
	m.Digest[0]++
	var mismatch *commands.IdempotencyMismatchError
	if _, err := w.bus.Record(ctx, m, access.Served{Outcome: access.OutcomeQuiet}); !errors.As(err, &mismatch) || len(w.log()) != before+1 {
		t.Errorf("another at once: %v, %d events", err, len(w.log())-before)
	}
}
