package series_test

import (
	"errors"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/readmodels"
	"strandline/readmodels/series/seriestest"
)

func TestConformance(t *testing.T) {
	seriestest.Run(t, 20, func(t testing.TB) seriestest.World {
		w := newWorld(t)
		t.Cleanup(w.remove)
		return embedded{w}
	})
}

// embedded is a file as the suite knows it.
type embedded struct{ *world }

func (w embedded) Store() seriestest.Store { return w.store }
func (w embedded) Restart(t testing.TB)    { w.reopen(t) }

func (w embedded) Apply(t testing.TB, events []domain.Recorded) {
	t.Helper()
	if err := w.apply(events); err != nil {
		t.Fatal(err)
	}
}

func (w embedded) Fail(t testing.TB, events []domain.Recorded) {
	t.Helper()
	failed := errors.New("disk full")
	if err := w.transact(events, func(*readmodels.Tx) error { return failed }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
}

func (w embedded) Dump(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	if err := w.store.Dump(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
