package projections_test

import (
	"testing"
	"time"

	"strandline/domain"
)

// TestLagsDoNotWait asks how far a projection is while its disk hangs.
func TestLagsDoNotWait(t *testing.T) {
	l := newLog()
	for n := range 10 {
		l.sample(t, n)
	}
	hanging, hangs := make(chan struct{}), make(chan struct{}, 10)
	_, m := table(t, t.TempDir(), trace("seen", func(domain.Recorded) error {
		hangs <- struct{}{}
		<-hanging
		return nil
	}))
	r, _ := run(t, l, l.decode, m)
	defer close(hanging)
	<-hangs
	asked := time.Now()
	lags, err := r.Lags(t.Context(), asked.Add(time.Minute))
	if err != nil || time.Since(asked) > time.Second || lags[0].Behind != 10 || lags[0].Lag < 59*time.Second {
		t.Errorf("a minute later: %+v, %v, after %s; want 10 behind by a minute, at once", lags, err, time.Since(asked))
	}
}
