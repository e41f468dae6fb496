package codec_test

import (
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/attachment"
	"strandline/domain/codec"
	"strandline/domain/observation"
	"strandline/domain/registry"
)

func TestSentencesOfSamples(t *testing.T) {
	want := map[string]string{
		"researcher.added":      "root added researcher 8zr5hq2k9v7x4w3n6m1t",
		"researcher.revised":    "root changed name of researcher 8zr5hq2k9v7x4w3n6m1t",
		"researcher.removed":    "root removed researcher 8zr5hq2k9v7x4w3n6m1t",
		"study.added":           "root added study 4ht9vx2m7kq8z3w5n6r1 to 8zr5hq2k9v7x4w3n6m1t",
		"study.revised":         "root changed isMessagingEnabled, name of study 4ht9vx2m7kq8z3w5n6r1",
		"study.removed":         "root removed study 4ht9vx2m7kq8z3w5n6r1",
		"participant.added":     "root added participant U0123456789 to 4ht9vx2m7kq8z3w5n6r1",
		"participant.removed":   "root removed participant U0123456789",
		"activity.added":        "root added activity q3w5n6r14ht9vx2m7k8z to 4ht9vx2m7kq8z3w5n6r1",
		"activity.revised":      "root changed category, name, schedule, settings, spec of activity q3w5n6r14ht9vx2m7k8z",
		"activity.removed":      "root removed activity q3w5n6r14ht9vx2m7k8z",
		"sensor.added":          "root added sensor q3w5n6r14ht9vx2m7k8z to 4ht9vx2m7kq8z3w5n6r1",
		"sensor.revised":        "root changed name, settings, spec of sensor q3w5n6r14ht9vx2m7k8z",
		"sensor.removed":        "root removed sensor q3w5n6r14ht9vx2m7k8z",
		"activity_spec.added":   "root added activity specification lamp.survey",
		"activity_spec.revised": "root changed category, description, executable, settings, static_data, temporal_slices of activity specification lamp.survey",
		"activity_spec.removed": "root removed activity specification lamp.survey",
		"sensor_spec.added":     "root added sensor specification lamp.accelerometer",
		"sensor_spec.revised":   "root changed settings_schema of sensor specification lamp.accelerometer",
		"sensor_spec.removed":   "root removed sensor specification lamp.accelerometer",
		"api_key.issued":        "root issued API key 8d1f0c2d8e3a to 4ht9vx2m7kq8z3w5n6r1",
		"api_key.revoked":       "root revoked API key 8d1f0c2d8e3a of 4ht9vx2m7kq8z3w5n6r1",
		"credential.issued":     "root issued credential 6b1f0c2d8e3a to participant U0123456789",
		"credential.revised":    "root changed secret and description of credential 6b1f0c2d8e3a",
		"credential.revoked":    "root revoked credential 6b1f0c2d8e3a",
		"attachment.set":        "root attached lamp.dashboard.credential_roles to 8zr5hq2k9v7x4w3n6m1t, aimed at itself",
		"attachment.cleared":    "root removed lamp.name from 8zr5hq2k9v7x4w3n6m1t, aimed at all below it",
		"grant.given":           "root made credential 6b1f0c2d8e3a auditor of 4ht9vx2m7kq8z3w5n6r1",
		"grant.withdrawn":       "root withdrew grant 018f4e5a-7b3 on 4ht9vx2m7kq8z3w5n6r1",
		"observation.recorded":  "root sent 4 observations on lamp.sensor for participant U0123456789",
		"observation.retracted": "root retracted some observations of q3w5n6r14ht9vx2m7k8z on lamp.activity for participant U0123456789",
		"access.served":         "root was answered POST /participant/{id}/sensor_event: nothing to do",
		"access.refused":        "root was refused POST /participant/{id}/sensor_event: 403.no-such-credentials",
		"access.ended":          "root was sent 1200 rows by a stream of answers",
		"access.flooded":        "root sent 900 requests at once: 860 refused",
		"plan.made":             "root began plan 018f4e5a-7b3 of 1 step",
		"plan.done":             "root finished plan 018f4e5a-7b3",
		"projection.parked":     "root set event 1f aside from projection series",
		"projection.discarded":  "root discarded 2 events from projection series",
		"projection.reverted":   "root had projection series served from the build before",
		"projection.rebuilt":    "root had projection series built again",
		"projection.retried":    "root had 2 events tried again by projection series",
	}
	for _, typ := range codec.Types() {
		r := domain.Recorded{Envelope: domain.Envelope{Type: typ.Name, Actor: "root"}, Request: details(), Event: typ.Sample}
		if got := codec.Sentence(r); got != want[typ.Name] {
			t.Errorf("%s: %q; want %q", typ.Name, got, want[typ.Name])
		}
	}
}

func TestSentences(t *testing.T) {
	one := observation.Recorded{Subject: "U0123456789", Channel: "lamp.sensor", Items: make([]observation.Item, 1)}
	many := observation.Recorded{Subject: "U0123456789", Channel: "lamp.sensor", Items: make([]observation.Item, 100)}
	spec := registry.Removed{Kind: registry.SensorSpec, ID: "a\x1b[2J\n{actor}"}
	tests := []struct {
		actor string
		event domain.Event
		want  string
	}{
		{"U0123456789", many, "participant U0123456789 sent 100 observations on lamp.sensor"},
		{"U0123456789", one, "participant U0123456789 sent 1 observation on lamp.sensor"},
		{"4ht9vx2m7kq8z3w5n6r1", one, "4ht9vx2m7kq8z3w5n6r1 sent 1 observation on lamp.sensor for participant U0123456789"},
		{"U0123456789", access.Served{Rows: 1}, "participant U0123456789 was answered a request: 1 row"},
		{"anonymous", access.Refused{Code: "401.missing-credentials"}, "somebody unknown was refused a request: 401.missing-credentials"},
		{"anonymous", access.Flooded{Count: 2, Refused: []access.Refusals{{Code: "a", Count: 1}, {Code: "b", Count: 1}}}, "somebody unknown sent 2 requests at once: all refused"},
		{"system", attachment.Cleared{Target: "Study", Key: "a"}, "the system removed a from the installation, aimed at Study"},
		{"root", observation.Retracted{Subject: "U0123456789", Channel: "lamp.sensor"}, "root retracted all observations on lamp.sensor for participant U0123456789"},
		{"root", spec, `root removed sensor specification "a\x1b[2J\n{actor}"`},
	}
	for _, tt := range tests {
		r := domain.Recorded{Envelope: domain.Envelope{Type: tt.event.EventType(), Actor: tt.actor}, Event: tt.event}
		if got := codec.Sentence(r); got != tt.want {
			t.Errorf("%q; want %q", got, tt.want)
		}
	}
}

func TestSentencesWithoutEvent(t *testing.T) {
	for want, r := range map[string]domain.Recorded{
		"root did something that can no longer be read (study.added): its key has been destroyed": {Envelope: domain.Envelope{Type: "study.added", Actor: "root"}, Sealed: true},
		"root did something that this version cannot read (rule.fired, version 3)":                {Envelope: domain.Envelope{Type: "rule.fired", Version: 3, Actor: "root"}, Unknown: true},
		"root sent a part of what follows":                                                        {Envelope: domain.Envelope{Type: codec.PartType, Actor: "root"}},
	} {
		if got := codec.Sentence(r); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// TestSentencesKeepSecrets: neither what was measured or attached nor what anybody signs in with is in a sentence.
func TestSentencesKeepSecrets(t *testing.T) {
	for _, typ := range codec.Types() {
		got := codec.Sentence(domain.Recorded{Envelope: domain.Envelope{Type: typ.Name, Actor: "root"}, Request: details(), Event: typ.Sample})
		for _, secret := range []string{"argon2id", "somebody@example.org", "Temporary Login", "0.0123", "lamp.heart_rate", "Ada", "Sleep", "192.0.2.7", "1600000000000"} {
			if strings.Contains(got, secret) {
				t.Errorf("%q tells %s", got, secret)
			}
		}
		if strings.ContainsAny(strings.ReplaceAll(got, "/participant/{id}/", ""), "{}") {
			t.Errorf("%q has a word that is not filled in", got)
		}
	}
}
