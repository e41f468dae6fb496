package commands_test

import (
	"context"
	"testing"

	"strandline/commands/policy"
	"strandline/domain/access"
)

func BenchmarkDoRecord(b *testing.B) {
	w := newWorld(b).settle()
	permit := w.permit(as(participant), policy.EventCreate, participant)
	m := meta("", 0)
	cmd := observed(`{"x":0.12,"y":-9.8,"z":0.4}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.bus.Do(context.Background(), permit, m, cmd); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDoAttach(b *testing.B) {
	w := newWorld(b).settle()
	values := []string{"1", "2"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := w.bus.Do(context.Background(), w.bus.System(), meta("", 0), attach(participant, "k", values[i%2])); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	w := newWorld(b).settle()
	m := meta("", 0)
	m.Principal, m.Request = as(study), [16]byte{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.bus.Record(context.Background(), m, access.Served{Rows: 1}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPermit(b *testing.B) {
	w := newWorld(b).settle()
	for name, tt := range map[string]struct {
		verb   policy.Verb
		object string
	}{
		"self":   {policy.EventCreate, participant},
		"denied": {policy.EventCreate, study},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = w.bus.Permit(as(participant), tt.verb, policy.Object{ID: tt.object})
			}
		})
	}
}
