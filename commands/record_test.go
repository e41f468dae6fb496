package commands_test

import (
	"context"
	"reflect"
	"testing"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/access"
)

func TestRecordPutsARequestOnTheRecordOnce(t *testing.T) {
	w := newWorld(t).settle()
	w.restart(commands.WithClock(fixedClock), commands.WithNode("n1"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the caller has gone: it is on the record all the same
	m := meta("", 0)
	m.Principal, m.Details.Object = as(study), participant
	before := len(w.log())
	var first domain.Position
	for range 2 {
		at, err := w.bus.Record(ctx, m, access.Served{Rows: 3})
		if err != nil {
			t.Fatal(err)
		}
		if first.IsZero() {
			first = at
		}
		if at != first {
			t.Errorf("recorded at %v, then at %v", first, at)
		}
	}
	got := w.last()
	key, err := w.keys.KeyFor(ctx, "audit-20260301")
	if err != nil {
		t.Fatal(err)
	}
	want := domain.Envelope{
		ID: m.Request, Type: "access.served", Version: 1, Stream: "access-n1-20260301", Time: got.Time,
		Actor: study, Credential: "credential of " + study, APIKey: "api key id", Dialect: "lamp",
		Correlation: m.Request, Subject: participant, Key: key, ContentType: domain.JSON,
	}
	if !reflect.DeepEqual(got.Envelope, want) {
		t.Errorf("envelope %+v\n    want %+v", got.Envelope, want)
	}
	if got.Position != first || !reflect.DeepEqual(got.Event, access.Served{Rows: 3}) || !reflect.DeepEqual(*got.Request, m.Details) {
		t.Errorf("recorded %+v with %+v at %v", got.Event, got.Request, got.Position)
	}
	if _, err := w.bus.Record(ctx, m, access.Ended{Rows: 4}); err != nil {
		t.Fatal(err)
	}
	if end := w.last(); end.Correlation != m.Request || end.ID == m.Request || len(w.log()) != before+2 {
		t.Errorf("end %+v, %d events", end.Envelope, len(w.log())-before)
	}
}

func TestActors(t *testing.T) {
	w := newWorld(t).settle()
	for want, p := range map[string]commands.Principal{
		"root":      root,
		study:       as(study),
		"anonymous": {Anonymous: true},
	} {
		if _, err := w.bus.Record(context.Background(), commands.Meta{Principal: p}, access.Refused{Code: "403.x"}); err != nil {
			t.Fatal(err)
		}
		if got := w.last().Actor; got != want {
			t.Errorf("actor %q, want %q", got, want)
		}
	}
	if got := w.bus.System().Principal().Actor(); got != "system" {
		t.Errorf("actor %q of the system", got)
	}
	if got := (commands.Principal{}).Actor(); got != "anonymous" {
		t.Errorf("actor %q of nobody", got)
	}
}
