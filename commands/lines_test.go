package commands_test

import (
	"context"
	"fmt"
	"testing"

	"strandline/commands"
	"strandline/domain/registry"
)

// Two nodes on one store: what one remembers of a stream, the other may have changed.
func TestRememberedStatesAreBroughtUpToDate(t *testing.T) {
	w := newWorld(t).settle()
	here := w.bus
	w.restart()
	there := w.bus
	ctx := context.Background()
	for i, step := range []struct {
		bus     *commands.Bus
		value   string
		changed bool
	}{
		{here, "1", true}, {here, "1", false}, {there, "1", false}, {there, "2", true}, {here, "1", true}, {here, "1", false},
		{there, "1", false}, {here, "2", true}, {there, "1", true},
	} {
		receipt, err := step.bus.Do(ctx, step.bus.System(), commands.Meta{}, attach(participant, "k", step.value))
		if err != nil || receipt.Changed != step.changed {
			t.Errorf("step %d: changed %v, %v; want %v", i, receipt.Changed, err, step.changed)
		}
	}
}

func TestRememberedStatesAreBounded(t *testing.T) {
	w := newWorld(t).settle()
	value := large(200 << 10)
	for i := range 300 {
		id := fmt.Sprintf("b%019d", i)
		w.must(add(registry.Activity, id, study, registry.Study))
		w.must(attach(id, "k", value))
		if got := w.bus.Remembered(); got > 33<<20 {
			t.Fatalf("%d bytes remembered after %d streams", got, i)
		}
	}
	if got := w.bus.Remembered(); got < 16<<20 {
		t.Errorf("%d bytes remembered: hardly anything", got)
	}
	for i := range 20 { // the first ones
		if receipt := w.must(attach(fmt.Sprintf("b%019d", i), "k", value)); receipt.Changed {
			t.Errorf("%d was forgotten", i)
		}
	}
}
