package commands_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/registry"
)

const (
	third      = "r0000000000000000003"
	itsStudy   = "s0000000000000000003"
	itsSubject = "U0000000003"
)

// enrol is a plan of four: a researcher, its study, a participant in it, and a login for that.
func enrol() (domain.Command, []domain.Command) {
	return add(registry.Researcher, third, "", ""), []domain.Command{
		add(registry.Study, itsStudy, third, registry.Researcher),
		add(registry.Participant, itsSubject, itsStudy, registry.Study),
		account.Issue{ID: "login", Origin: itsSubject, AccessKey: "k", SecretHash: "$argon2id$x"},
	}
}

var enrolled = []string{"plan.made", "researcher.added", "study.added", "participant.added", "credential.issued", "plan.done"}

// visible are those of the plan's objects that can be seen.
func (w *world) visible() []string {
	w.follow()
	var seen []string
	for _, id := range []string{third, itsStudy, itsSubject} {
		if _, ok := w.directory.Object(id); ok {
			seen = append(seen, id)
		}
	}
	if _, ok := w.directory.Credential("login"); ok {
		seen = append(seen, "login")
	}
	return seen
}

func TestPlanIsCarriedOut(t *testing.T) {
	w := newWorld(t)
	first, then := enrol()
	m := meta("", 0)
	receipt, err := w.bus.DoPlan(context.Background(), w.permit(root, policy.ResearcherCreate, ""), m, first, then...)
	if err != nil {
		t.Fatal(err)
	}
	log := w.log()
	if !slices.Equal(w.types(), enrolled) || len(w.visible()) != 4 {
		t.Fatalf("recorded %v, visible %v", w.types(), w.visible())
	}
	owners := []string{third, third, third, itsSubject, itsSubject, third}
	for i, e := range log {
		key, err := w.keys.KeyFor(context.Background(), owners[i])
		if err != nil {
			t.Fatal(err)
		}
		subject := ""
		if owners[i] == itsSubject {
			subject = itsSubject
		}
		want := e.Envelope
		want.Actor, want.Credential, want.Correlation, want.CommandID, want.Command = "root", "root's", m.Request, log[0].CommandID, "researcher.add"
		want.Key, want.Subject, want.Dialect = key, subject, "lamp"
		if i > 1 {
			want.Causation = log[0].ID
		}
		if !reflect.DeepEqual(e.Envelope, want) {
			t.Errorf("envelope %+v\n    want %+v", e.Envelope, want)
		}
		if (e.Request != nil) != (i == 0) {
			t.Errorf("%s: request %+v", e.Type, e.Request)
		}
		if receipt.Events[i] != e.Position {
			t.Errorf("receipt %v at %d, event at %v", receipt.Events[i], i, e.Position)
		}
	}
	if receipt.Position != log[5].Position || !receipt.Changed || receipt.Repeated {
		t.Errorf("receipt %+v", receipt)
	}
}

// kill is a place in the writing of a plan: before or after its n-th append.
type kill struct {
	commands.EventStore
	left  int
	after bool
}

func (k *kill) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	k.left--
	switch {
	case k.left > 0:
		return k.EventStore.Append(ctx, stream, expected, records)
	case k.left == 0 && k.after:
		if _, err := k.EventStore.Append(ctx, stream, expected, records); err != nil {
			return commands.Appended{}, err
		}
	}
	return commands.Appended{}, errKilled
}

// Each point is a plan killed before or after its n-th append, then resumed, itself killed before or after its m-th one,
// then resumed for good.
func TestDrillPlanKilledBetweenAnyTwoAppends(t *testing.T) {
	points := 0
	for n := 1; n <= 5; n++ {
		for m := 0; m <= 5; m++ {
			for _, after := range []bool{false, true} {
				points++
				t.Run(fmt.Sprintf("plan %d resumer %d after %v", n, m, after), func(t *testing.T) { killAndResume(t, n, m, after) })
			}
		}
	}
	t.Logf("points %d", points)
}

func killAndResume(t *testing.T, n, m int, after bool) {
	ctx := context.Background()
	w := newWorld(t)
	permit := w.permit(root, policy.ResearcherCreate, "")
	w.store = &kill{w.disk, n, after}
	w.restart()
	first, then := enrol()
	if _, err := w.bus.DoPlan(ctx, permit, meta("", 0), first, then...); !errors.Is(err, errKilled) {
		t.Fatalf("DoPlan = %v", err)
	}
	planned := len(w.log()) > 0
	finished := func() bool { return slices.Contains(w.types(), "plan.done") }
	if seen := w.visible(); len(seen) > 0 && !finished() {
		t.Fatalf("visible before the plan is done: %v", seen)
	}

	if m > 0 {
		w.store = &kill{w.disk, m, after}
		w.restart()
		if err := w.bus.Resume(ctx); err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("first Resume = %v", err)
		}
		if seen := w.visible(); len(seen) > 0 && !finished() {
			t.Fatalf("visible before the plan is done: %v", seen)
		}
	}

	w.store = w.disk
	for range 2 { // the second one has nothing to do
		w.restart()
		if err := w.bus.Resume(ctx); err != nil {
			t.Fatalf("Resume = %v", err)
		}
		w.follow()
	}
	want := enrolled
	if !planned {
		want = nil
	}
	if got := w.types(); !slices.Equal(got, want) {
		t.Errorf("recorded %v, want %v", got, want)
	}
	if got := len(w.visible()); planned && got != 4 || !planned && got != 0 {
		t.Errorf("%d objects are visible", got)
	}
	for _, e := range w.log() {
		if e.Actor != "root" || e.Correlation != meta("", 0).Request || e.Dialect != "lamp" {
			t.Errorf("%s by %s for %v in %s", e.Type, e.Actor, e.Correlation, e.Dialect)
		}
	}
}

func TestPlanRepeatedUnderItsKey(t *testing.T) {
	ctx := context.Background()
	first, then := enrol()
	for n := 1; n <= 6; n++ {
		w := newWorld(t)
		permit := w.permit(root, policy.ResearcherCreate, "")
		w.store = &kill{w.disk, n, false}
		w.restart()
		if _, err := w.bus.DoPlan(ctx, permit, meta("key", 1), first, then...); n < 6 && !errors.Is(err, errKilled) {
			t.Fatalf("killed at %d: %v", n, err)
		}
		w.store = w.disk
		w.restart()
		for _, repeated := range []bool{n > 1, true} {
			receipt, err := w.bus.DoPlan(ctx, permit, meta("key", 1), first, then...)
			if err != nil || len(receipt.Events) != 6 || receipt.Position != receipt.Events[5] || receipt.Repeated != repeated {
				t.Errorf("killed at %d: again = %+v, %v", n, receipt, err)
			}
			if got := w.types(); !slices.Equal(got, enrolled) {
				t.Errorf("killed at %d: recorded %v", n, got)
			}
		}
	}
}

func TestPlansThatCannotBe(t *testing.T) {
	w := newWorld(t).settle()
	ctx := context.Background()
	fresh := add(registry.Study, itsStudy, researcher, registry.Researcher)
	for name, tt := range map[string]struct {
		first domain.Command
		then  []domain.Command
		want  error
	}{
		"first is refused":            {add(registry.Study, study, researcher, registry.Researcher), []domain.Command{fresh}, registry.ErrExists},
		"a step is refused":           {fresh, []domain.Command{add(registry.Participant, "no such form", itsStudy, registry.Study)}, domain.ErrInvalid},
		"a step's stream is there":    {fresh, []domain.Command{add(registry.Activity, activity, study, registry.Study)}, domain.ErrRejected},
		"a step has nothing to do":    {fresh, []domain.Command{registry.Revise{}}, domain.ErrNotFound},
		"two steps share a stream":    {fresh, []domain.Command{attach(itsStudy, "a", "1"), attach(itsStudy, "b", "1")}, domain.ErrInvalid},
		"there are no steps":          {fresh, nil, domain.ErrInvalid},
		"a step is of no such stream": {fresh, []domain.Command{strange{}}, domain.ErrInvalid},
	} {
		before := len(w.log())
		if _, err := w.bus.DoPlan(ctx, w.bus.System(), commands.Meta{}, tt.first, tt.then...); !errors.Is(err, tt.want) {
			t.Errorf("%s: DoPlan = %v, want %v", name, err, tt.want)
		}
		if got := len(w.log()) - before; got != 0 {
			t.Errorf("%s: %d events", name, got)
		}
	}
	if _, err := w.bus.Do(ctx, w.bus.System(), commands.Meta{}, strange{}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("Do of a command without a decider = %v", err)
	}
}

// strange is a command that nobody decides.
type strange struct{}

func (strange) Stream() string      { return "strange-1" }
func (strange) CommandName() string { return "strange.do" }
