package commands_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/registry"
)

func rename(id, name string) registry.Revise {
	return registry.Revise{Key: id, Kind: registry.Study, ID: id, Attributes: registry.Attributes{"name": json.RawMessage(fmt.Sprintf("%q", name))}}
}

// doExpecting carries out a command that expects one of the given positions.
func (w *world) doExpecting(cmd domain.Command, expected ...domain.Position) (commands.Receipt, error) {
	m := commands.Meta{Expected: expected}
	return w.bus.Do(context.Background(), w.bus.System(), m, cmd)
}

func TestACommandIsRefusedWhereWhatItExpectsHasChanged(t *testing.T) {
	w := newWorld(t).settle()
	first := w.must(rename(study, "first")).Position
	long := w.must(rename(study, strings.Repeat("x", 700<<10))).Position // in parts
	for _, restart := range []bool{false, true} {
		if restart {
			w.restart()
		}
		for _, cmd := range []domain.Command{rename(study, "other"), rename(study, "first"), registry.Remove{Key: study, Kind: registry.Study, ID: study}} {
			if _, err := w.doExpecting(cmd, first); !errors.Is(err, commands.ErrChanged) || !errors.Is(err, domain.ErrRejected) {
				t.Errorf("%s after a change: %v, want %v", cmd.CommandName(), err, commands.ErrChanged)
			}
		}
	}
	receipt, err := w.doExpecting(rename(study, "second"), first, long)
	if err != nil || !receipt.Changed {
		t.Fatalf("with the latest among those expected: %+v, %v", receipt, err)
	}
	if again, err := w.doExpecting(rename(study, "second"), receipt.Position); err != nil || again.Changed {
		t.Errorf("nothing to do, as expected: %+v, %v", again, err)
	}
}

func TestAPlanIsNoChangeOfWhatItBringsIntoBeing(t *testing.T) {
	w := newWorld(t)
	second := add(registry.Study, study, researcher, registry.Researcher)
	receipt, err := w.bus.DoPlan(context.Background(), w.bus.System(), commands.Meta{}, add(registry.Researcher, researcher, "", ""), second)
	if err != nil {
		t.Fatal(err)
	}
	w.follow()
	added := receipt.Events[1]
	for _, restart := range []bool{false, true} {
		if restart {
			w.restart()
		}
		cmd := registry.Revise{Key: researcher, Kind: registry.Researcher, ID: researcher, Attributes: registry.Attributes{"name": json.RawMessage(fmt.Sprintf(`"%v"`, restart))}}
		done, err := w.doExpecting(cmd, added)
		if err != nil {
			t.Fatalf("expecting %v after %v: %v", added, receipt.Events, err)
		}
		added = done.Position
	}
}

// TestOfManyWhoExpectTheSameOneWins holds at the append, not at a look before it.
func TestOfManyWhoExpectTheSameOneWins(t *testing.T) {
	w := newWorld(t).settle()
	at := w.must(rename(study, "first")).Position
	var mu sync.Mutex
	var group sync.WaitGroup
	won := 0
	for i := range 50 {
		group.Go(func() {
			_, err := w.doExpecting(rename(study, fmt.Sprint("name ", i)), at)
			if err != nil && !errors.Is(err, commands.ErrChanged) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			}
		})
	}
	group.Wait()
	if won != 1 {
		t.Errorf("%d of 50 won, want 1", won)
	}
}
