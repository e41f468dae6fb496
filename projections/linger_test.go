package projections_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"strandline/domain"
	"strandline/projections"
)

// TestEventsGatherUnlessSomebodyWaits has events come by the millisecond. As long as nobody waits for them they are applied
// by twenty at least; whoever waits, waits for no timer; and a burst is not held up by one either.
func TestEventsGatherUnlessSomebodyWaits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		db, m := table(t, dir, trace("trace", nil))
		var (
			transactions int
			last         time.Time
		)
		observe := func(_ string, began time.Time, _ []domain.Recorded) {
			if !began.Equal(last) {
				transactions, last = transactions+1, began
			}
		}
		r := projections.New(l, l.decode, []projections.Model{m}, projections.WithLogger(slog.New(slog.DiscardHandler)), projections.WithObserver(observe))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()

		const events = 1000
		for n := range events {
			l.sample(t, n)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if transactions > events/20+2 {
			t.Errorf("%d events that came by the millisecond took %d transactions, want at most %d", events, transactions, events/20+2)
		}

		for n := range 100 {
			time.Sleep(time.Millisecond)
			at, began := l.sample(t, events+n), time.Now()
			wait(t, db, at)
			if waited := time.Since(began); waited != 0 {
				t.Fatalf("waited %s for event %d, want no timer", waited, n)
			}
		}

		began := time.Now()
		for n := range 20_000 {
			l.sample(t, 2*events+n)
		}
		for head := l.head(t); db.Checkpoint().Before(head); synctest.Wait() {
			if late := time.Since(began); late > 30*time.Millisecond {
				t.Fatalf("a burst is applied up to %s of %s after %s", db.Checkpoint(), head, late)
			}
			time.Sleep(time.Millisecond)
		}
		if got := len(seen(t, db)); got != events+100+20_000 {
			t.Errorf("%d events were applied, want %d", got, events+100+20_000)
		}
	})
}
