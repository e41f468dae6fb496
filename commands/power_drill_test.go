package commands_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/plan"
	"strandline/domain/registry"
	"strandline/transport/eventstore/embedded"
	"strandline/transport/files/faultfs"
	"strandline/transport/keys"
)

// machine is a computer whose power can go: log and keys on one disk.
type machine struct {
	sys   *faultfs.FS
	store *embedded.Store
	*world
}

// boot starts the server of the machine. It fails only if the power goes meanwhile.
func boot(t *testing.T, sys *faultfs.FS) (*machine, error) {
	store, err := embedded.Open(sys, embedded.Options{SegmentSize: 256 << 10, VerifyRate: -1})
	if err != nil {
		return nil, err
	}
	k, err := keys.Open(sys, rand.Reader)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	m := &machine{sys, store, worldOf(t, store, k)}
	if err := m.tryFollow(); err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

// told is what somebody was told before the power went.
type told struct {
	key     string // of idempotency
	cmd     domain.Command
	then    []domain.Command // of a plan
	receipt commands.Receipt
}

// script is the work of one life: it adds, observes, attaches, some of it large, and makes plans.
func script(life int) []told {
	var work []told
	do := func(cmd domain.Command, then ...domain.Command) {
		work = append(work, told{key: fmt.Sprintf("%d-%d", life, len(work)), cmd: cmd, then: then})
	}
	researcher, study := fmt.Sprintf("r%019d", life), fmt.Sprintf("s%019d", life)
	subject := fmt.Sprintf("U%010d", life)
	do(add(registry.Researcher, researcher, "", ""),
		add(registry.Study, study, researcher, registry.Researcher),
		add(registry.Participant, subject, study, registry.Study))
	for i := range 3 {
		observation := observed(fmt.Sprint(i))
		observation.Subject = subject
		do(observation)
		do(attach(subject, "k", fmt.Sprint(i)))
	}
	do(attach(study, "large", incompressible(1300<<10)))
	do(add(registry.Sensor, fmt.Sprintf("n%019d", life), study, registry.Study))
	return work
}

// work does the script until the power goes, and returns what it was told.
func (m *machine) work(script []told) []told {
	ctx := context.Background()
	for i, s := range script {
		var err error
		if script[i].receipt, err = m.give(ctx, s); err != nil {
			return script[:i]
		}
		if m.tryFollow() != nil {
			return script[:i+1]
		}
	}
	return script
}

func (m *machine) give(ctx context.Context, s told) (commands.Receipt, error) {
	if len(s.then) > 0 {
		return m.bus.DoPlan(ctx, m.bus.System(), meta(s.key, 1), s.cmd, s.then...)
	}
	return m.bus.Do(ctx, m.bus.System(), meta(s.key, 1), s.cmd)
}

// check compares what the disk holds with what somebody was told.
func (m *machine) check(all []told) error {
	if err := m.bus.Resume(context.Background()); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if err := m.tryFollow(); err != nil {
		return err
	}
	if open := m.directory.OpenPlans(); len(open) > 0 {
		return fmt.Errorf("%d plans are still open", len(open))
	}
	seen, made := map[domain.ID]bool{}, 0
	log, err := m.since(domain.Position{})
	if err != nil {
		return err
	}
	for _, r := range log {
		if seen[r.ID] || r.Event == nil {
			return fmt.Errorf("%s at %v stands twice, or cannot be opened", r.Type, r.Position)
		}
		seen[r.ID] = true
		switch r.Event.(type) {
		case plan.Made:
			made++
		case plan.Done:
			made--
		}
	}
	if made != 0 {
		return fmt.Errorf("%d more plans made than done", made)
	}
	for _, s := range all {
		again, err := m.give(context.Background(), s)
		if err != nil || !again.Repeated || !slices.Equal(again.Events, s.receipt.Events) {
			return fmt.Errorf("%s %s: told %v, again %+v, %v", s.key, s.cmd.CommandName(), s.receipt.Events, again, err)
		}
	}
	return nil
}

// Whatever call the power goes at, on the log or on the keys: what somebody was told is there, can be opened, and is not
// done twice; a plan is there whole or not at all.
func TestDrillPowerCutUnderTheBus(t *testing.T) {
	lives, stride, outcomes := 2, 3, 1
	if os.Getenv("STRANDLINE_DRILL") == "long" {
		lives, stride, outcomes = 4, 1, 20
	}
	d := drill{t: t, lives: lives}
	for at, finished := 1, false; !finished; at += stride {
		for outcome := range outcomes {
			finished = d.crash(at, outcome)
		}
	}
	t.Logf("points %d, violations %d, slowest recovery %v", d.points, d.violations, d.slowest)
}

// drill counts.
type drill struct {
	t                  *testing.T
	lives              int
	points, violations int
	slowest            time.Duration
}

// crash lets the power go at the same call of several lives on one disk, and tells whether a life was over before it.
func (d *drill) crash(at, outcome int) (finished bool) {
	sys, all := faultfs.New(uint64(at)), []told(nil)
	for life := range d.lives {
		sys.CrashAt(at)
		if m, err := boot(d.t, sys); err == nil {
			all = append(all, m.work(script(life))...)
			finished = !sys.Crashed()
			m.stop()
		}
		sys = sys.Restart(uint64(at*1000 + outcome*10 + life))
		if err := d.recover(sys, all); err != nil {
			d.violations++
			d.t.Errorf("power gone at call %d of life %d, outcome %d: %v", at, life, outcome, err)
			return finished
		}
	}
	return finished
}

func (d *drill) recover(sys *faultfs.FS, all []told) error {
	d.points++
	start := time.Now()
	m, err := boot(d.t, sys)
	d.slowest = max(d.slowest, time.Since(start))
	if err != nil {
		return err
	}
	defer m.stop()
	return m.check(all)
}

// stop ends the server, whatever the state of its disk.
func (m *machine) stop() {
	_ = m.store.Close()
	_ = m.keys.Close()
}
