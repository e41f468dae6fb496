package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"strandline/commands"
	"strandline/commands/policy"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/attachment"
	"strandline/domain/observation"
	"strandline/domain/registry"
)

func observed(value string) observation.Record {
	return observation.Record{Subject: participant, Channel: observation.LAMPSensor,
		Items: []observation.Item{{Series: "lamp.steps", Value: json.RawMessage(value)}}}
}

func attach(owner, key, value string) attachment.Attach {
	return attachment.Attach{Owner: owner, Target: attachment.Self, Key: key, Value: json.RawMessage(value)}
}

func TestDoRecordsWhoDidWhatForWhom(t *testing.T) {
	w := newWorld(t).settle()
	m := meta("", 0)
	receipt, err := w.bus.Do(context.Background(), w.permit(as(study), policy.EventCreate, participant), m, observed("1"))
	if err != nil {
		t.Fatal(err)
	}
	got := w.last()
	if !receipt.Changed || receipt.Position != got.Position || len(receipt.Events) != 1 {
		t.Errorf("receipt %+v, event at %v", receipt, got.Position)
	}
	if !reflect.DeepEqual(got.Event, observation.Recorded(observed("1"))) || !reflect.DeepEqual(*got.Request, m.Details) {
		t.Errorf("recorded %+v with %+v", got.Event, got.Request)
	}
	key, err := w.keys.KeyFor(context.Background(), participant)
	if err != nil {
		t.Fatal(err)
	}
	want := domain.Envelope{
		ID: got.ID, Type: "observation.recorded", Version: 2, Stream: "observation-U0000000001-lamp.sensor", Time: got.Time,
		Actor: study, Credential: "credential of " + study, APIKey: "api key id", Dialect: "lamp",
		CommandID: got.CommandID, Command: "observation.record", Correlation: m.Request, Causation: got.CommandID,
		Subject: participant, Key: key, ContentType: domain.JSON,
	}
	if !reflect.DeepEqual(got.Envelope, want) {
		t.Errorf("envelope %+v\n    want %+v", got.Envelope, want)
	}
	if got.ID[6]>>4 != 7 || got.CommandID[6]>>4 != 7 || got.ID == got.CommandID {
		t.Errorf("ids %v and %v are not two UUIDs of version 7", got.ID, got.CommandID)
	}
}

func TestQuietAndRefusedCommandsRecordNothing(t *testing.T) {
	w := newWorld(t).settle()
	w.must(attach(participant, "k", "1"))
	before := len(w.log())
	ctx := context.Background()
	receipt, err := w.bus.Do(ctx, w.bus.System(), commands.Meta{}, attach(participant, "k", "1"))
	if err != nil || receipt.Changed || !receipt.Position.IsZero() {
		t.Errorf("setting the same again = %+v, %v", receipt, err)
	}
	if _, err := w.bus.Do(ctx, w.bus.System(), commands.Meta{}, add(registry.Study, study, researcher, registry.Researcher)); !errors.Is(err, registry.ErrExists) {
		t.Errorf("adding again = %v", err)
	}
	if got := len(w.log()); got != before {
		t.Errorf("%d events came of it", got-before)
	}
}

func TestPayloadsAreSealedUnderTheRightKey(t *testing.T) {
	w := newWorld(t).settle()
	issue := func(origin string) account.Issue {
		return account.Issue{ID: "c" + origin, Origin: origin, AccessKey: "k" + origin, SecretHash: "$argon2id$x"}
	}
	aimed := attachment.Attach{Owner: researcher, Target: participant, Key: "k", Value: json.RawMessage("2")}
	spec := registry.Add{Key: "hash", Kind: registry.SensorSpec, ID: "lamp.x"}
	for _, tt := range []struct {
		name           string
		cmd            domain.Command
		subject, owner string
	}{
		{"observation", observed("1"), participant, participant},
		{"participant's tag", attach(participant, "k", "1"), participant, participant},
		{"researcher's tag aimed at a participant", aimed, participant, participant},
		{"researcher's tag", attach(researcher, "k", "1"), "", researcher},
		{"activity's tag", attach(activity, "k", "1"), "", researcher},
		{"installation's tag", attach("", "k", "1"), "", commands.Installation},
		{"participant's credential", issue(participant), participant, participant},
		{"study's credential", issue(study), "", researcher},
		{"root's credential", issue(""), "", commands.Installation},
		{"specification", spec, "", commands.Installation},
		{"activity revised", registry.Revise{Key: activity, Kind: registry.Activity, ID: activity, Attributes: registry.Attributes{"name": json.RawMessage(`"new"`)}}, "", researcher},
		{"spec revised", registry.Revise{Key: "hash", Kind: registry.SensorSpec, ID: "lamp.x", Attributes: registry.Attributes{"settings_schema": json.RawMessage(`{}`)}}, "", commands.Installation},
		{"participant removed", registry.Remove{Key: participant, Kind: registry.Participant, ID: participant}, participant, participant},
	} {
		w.must(tt.cmd)
		key, err := w.keys.KeyFor(context.Background(), tt.owner)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.last(); got.Subject != tt.subject || got.Key != key || got.Event == nil {
			t.Errorf("%s: subject %q under key %s, want %q under %s of %s", tt.name, got.Subject, got.Key, tt.subject, key, tt.owner)
		}
	}
	if _, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, observed("1")); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("observation of a removed participant = %v", err)
	}
}

func TestNothingIsRecordedAboutTheForgotten(t *testing.T) {
	w := newWorld(t).settle()
	w.must(attach(participant, "k", "1"))
	if err := w.keys.Destroy(context.Background(), participant); err != nil {
		t.Fatal(err)
	}
	w.restart()
	for r := range w.disk.ReadAll(context.Background(), domain.Position{}, 0, commands.Backwards) {
		if d := w.decode(r); d.Subject == participant && !d.Sealed {
			t.Errorf("%s can still be opened", d.Type)
		}
	}
	// The directory cannot tell that there was such a participant.
	if _, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, attach(participant, "k", "2")); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("attaching = %v", err)
	}
	if _, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, add(registry.Participant, participant, study, registry.Study)); !errors.Is(err, domain.ErrRejected) {
		t.Errorf("adding again = %v", err)
	}
}

func TestPermitCoversItsVerbAndObjectOnly(t *testing.T) {
	w := newWorld(t).settle()
	w.must(add(registry.Participant, "U0000000002", study, registry.Study))
	ctx := context.Background()
	permit := w.permit(as(study), policy.EventCreate, participant)
	other := observed("1")
	other.Subject = "U0000000002"
	for name, tt := range map[string]struct {
		permit commands.Permit
		cmd    domain.Command
	}{
		"another verb":   {permit, attach(participant, "k", "1")},
		"another object": {permit, other},
		"no permit":      {commands.Permit{}, observed("1")},
	} {
		before := len(w.log())
		_, err := w.bus.Do(ctx, tt.permit, meta("", 0), tt.cmd)
		_, planErr := w.bus.DoPlan(ctx, tt.permit, meta("", 0), tt.cmd)
		if err == nil || planErr == nil || len(w.log()) != before {
			t.Errorf("%s: Do = %v, DoPlan = %v, %d events", name, err, planErr, len(w.log())-before)
		}
	}
	if _, err := w.bus.Do(ctx, permit, meta("", 0), observed("1")); err != nil {
		t.Error(err)
	}
}

func TestPermitAsksExistenceFirst(t *testing.T) {
	w := newWorld(t).settle()
	for _, tt := range []struct {
		name   string
		p      commands.Principal
		object policy.Object
		want   error
	}{
		{"own", as(researcher), policy.Object{ID: study}, nil},
		{"foreign", as(rival), policy.Object{ID: study}, domain.ErrForbidden},
		{"missing", as(rival), policy.Object{ID: "nobody"}, domain.ErrNotFound},
		{"missing, to nobody", commands.Principal{}, policy.Object{ID: "nobody"}, domain.ErrNotFound},
		{"nobody", commands.Principal{}, policy.Object{ID: study}, domain.ErrForbidden},
		{"of another kind", root, policy.Object{Kind: registry.Sensor, ID: study}, domain.ErrNotFound},
	} {
		if _, err := w.bus.Permit(tt.p, policy.StudyView, tt.object); !errors.Is(err, tt.want) {
			t.Errorf("%s: Permit = %v, want %v", tt.name, err, tt.want)
		}
	}
}

// interloper writes to the stream of an append just before it, a number of times.
type interloper struct {
	commands.EventStore
	w     *world
	times int
}

func (i *interloper) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	if strings.HasPrefix(stream, "attachment-") && i.times > 0 {
		i.times--
		other := records[0]
		other.ID = domain.ID{1, 15: byte(i.times)}
		sealed, err := i.w.codec.Encode(other.Envelope, nil, attachment.Set(attach(participant, fmt.Sprint("other", i.times), "1")))
		if err != nil {
			return commands.Appended{}, err
		}
		if _, err := i.EventStore.Append(ctx, stream, domain.Any, sealed); err != nil {
			return commands.Appended{}, err
		}
	}
	return i.EventStore.Append(ctx, stream, expected, records)
}

func TestDecidesAgainWhenTheStreamHasMoved(t *testing.T) {
	for _, tt := range []struct {
		times int
		want  error
	}{{0, nil}, {1, nil}, {3, nil}, {4, domain.ErrUnavailable}} {
		w := newWorld(t).settle()
		w.store = &interloper{w.disk, w, tt.times}
		w.restart()
		_, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, attach(participant, "mine", "1"))
		if !errors.Is(err, tt.want) {
			t.Errorf("moved %d times: %v, want %v", tt.times, err, tt.want)
		}
	}
}

// An interloper who does the very same makes the second attempt quiet.
func TestSecondAttemptSeesWhatTheFirstDidNot(t *testing.T) {
	w := newWorld(t).settle()
	w.store = &interloper{w.disk, w, 1}
	w.restart()
	receipt, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, attach(participant, "other0", "1"))
	if err != nil || receipt.Changed {
		t.Errorf("Do = %+v, %v; want quiet", receipt, err)
	}
}

func TestManyWritersToOneStreamAllSucceed(t *testing.T) {
	w := newWorld(t).settle()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if _, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, attach(participant, fmt.Sprint(i), "1")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(w.log()); got != 5+50 {
		t.Errorf("%d events, want 55", got)
	}
}

func TestTurnIsNotWaitedForLongerThanTheCallerDoes(t *testing.T) {
	w := newWorld(t).settle()
	inside, leave := make(chan struct{}), make(chan struct{})
	w.store = &gate{w.disk, inside, leave}
	w.restart()
	done := make(chan error)
	go func() {
		_, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, attach(participant, "k", "1"))
		done <- err
	}()
	<-inside
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.bus.Do(ctx, w.bus.System(), commands.Meta{}, attach(participant, "k", "2")); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for the turn = %v", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// gate holds appends.
type gate struct {
	commands.EventStore
	inside, leave chan struct{}
}

func (g *gate) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	g.inside <- struct{}{}
	<-g.leave
	return g.EventStore.Append(ctx, stream, expected, records)
}

func large(n int) string { return `"` + strings.Repeat("x", n) + `"` }

// incompressible is JSON that zstd cannot shrink much.
func incompressible(n int) string {
	var text bytes.Buffer
	state := uint64(1)
	text.WriteByte('"')
	for text.Len() < n {
		state = state*6364136223846793005 + 1442695040888963407
		text.WriteByte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[state>>58])
	}
	text.WriteByte('"')
	return text.String()
}

func TestLargeValues(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value string
	}{
		{"one record", large(1000)},
		{"parts in one append", large(300 << 10)},
		{"parts in several appends", incompressible(5 << 19)},
	} {
		w := newWorld(t).settle()
		for _, cmd := range []domain.Command{observed(tt.value), attach(participant, "k", tt.value)} {
			for _, name := range []string{"first", "second"} {
				if a, ok := cmd.(attachment.Attach); ok {
					a.Key = name
					cmd = a
				}
				receipt := w.must(cmd)
				got := w.last()
				if len(receipt.Events) != 1 || receipt.Position != got.Position {
					t.Errorf("%s, %s: receipt %+v, event at %v", tt.name, name, receipt, got.Position)
				}
				var stored json.RawMessage
				switch e := got.Event.(type) {
				case observation.Recorded:
					stored = e.Items[0].Value
				case attachment.Set:
					stored = e.Value
				}
				if string(stored) != tt.value {
					t.Errorf("%s, %s: %d bytes of %d came back", tt.name, name, len(stored), len(tt.value))
				}
			}
		}
	}
}

func TestLargeAndSmallUploadsToOneStreamAtOnce(t *testing.T) {
	w := newWorld(t).settle()
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			value := "1"
			if i%6 == 0 {
				value = incompressible(5 << 18)
			}
			if _, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, observed(value)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(w.log()); got != 5+24 {
		t.Errorf("%d events, want 29", got)
	}
}

// breaking fails the n-th append and all after it, as a process does that has been killed.
type breaking struct {
	commands.EventStore
	left int
}

var errKilled = errors.New("killed")

func (b *breaking) Append(ctx context.Context, stream string, expected domain.Expected, records []domain.Record) (commands.Appended, error) {
	if b.left == 0 {
		return commands.Appended{}, errKilled
	}
	b.left--
	return b.EventStore.Append(ctx, stream, expected, records)
}

func TestPartsWithoutTheirEndMeanNothing(t *testing.T) {
	value := incompressible(5 << 19)
	w := newWorld(t).settle()
	w.store = &breaking{w.disk, 2}
	w.restart()
	if _, err := w.bus.Do(context.Background(), w.bus.System(), commands.Meta{}, attach(participant, "k", value)); !errors.Is(err, errKilled) {
		t.Fatalf("Do = %v", err)
	}
	if got := len(w.log()); got != 5 {
		t.Errorf("%d events, want the 5 before", got)
	}
	w.store = w.disk
	w.restart()
	if receipt := w.must(attach(participant, "k", value)); !receipt.Changed {
		t.Error("the second try was quiet")
	}
	if got, ok := w.last().Event.(attachment.Set); !ok || string(got.Value) != value {
		t.Error("the second try cannot be read back")
	}
}

func TestSeveralLargeEventsAtOnceAreRefused(t *testing.T) {
	w := newWorld(t).settle()
	first := attach(participant, "k", incompressible(600<<10))
	second := attach(activity, "k", incompressible(600<<10))
	before := len(w.log())
	_, err := w.bus.DoPlan(context.Background(), w.bus.System(), commands.Meta{}, first, second)
	if !errors.Is(err, domain.ErrAppendTooLarge) || len(w.log()) != before {
		t.Errorf("DoPlan = %v, %d events", err, len(w.log())-before)
	}
}
