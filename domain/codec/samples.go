package codec

import (
	"encoding/json"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/attachment"
	"strandline/domain/grant"
	"strandline/domain/observation"
	"strandline/domain/plan"
	"strandline/domain/projection"
	"strandline/domain/registry"
)

// Ids that samples share.
const (
	sampleResearcher  = "8zr5hq2k9v7x4w3n6m1t"
	sampleStudy       = "4ht9vx2m7kq8z3w5n6r1"
	sampleObject      = "q3w5n6r14ht9vx2m7k8z"
	sampleParticipant = "U0123456789"
	sampleHash        = "6b1f0c2d8e3a4957b0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f4051627"
	sampleKey         = "8d1f0c2d8e3a49576b1f0c2d"
	samplePlan        = "018f4e5a-7b3c-7d2e-9f10-112233445566"
)

// Samples, one for each type. Each has every field, so that a golden file shows them all.
var (
	sampleServed  = access.Served{Rows: 100, Outcome: access.OutcomeQuiet}
	sampleRefused = access.Refused{Code: "403.no-such-credentials", Attempted: sampleHash}
	sampleEnded   = access.Ended{Rows: 1200}
	sampleFlooded = access.Flooded{
		Count:   900,
		From:    1_600_000_000_000,
		To:      1_600_000_000_999,
		Refused: []access.Refusals{{Code: "401.missing-credentials", Count: 800}, {Code: "404.api-endpoint-unimplemented", Count: 60}},
	}

	sampleIssued = account.Issued{
		ID:          sampleHash,
		Origin:      sampleParticipant,
		AccessKey:   "somebody@example.org",
		SecretHash:  "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
		Description: json.RawMessage(`"Temporary Login"`),
	}
	sampleCredentialRevised = account.Revised{
		ID:          sampleHash,
		SecretHash:  "$argon2id$v=19$m=19456,t=2,p=1$dGxhc3RsYXN0bGFzdGxhcw$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
		Description: json.RawMessage(`null`),
	}
	sampleRevoked = account.Revoked{ID: sampleHash}

	sampleKeyIssued = apikey.Issued{
		ID:         sampleKey,
		Origin:     sampleStudy,
		SecretHash: sampleHash,
		Name:       "Nightly export",
		From:       1_600_000_000_000,
		To:         1_700_000_000_000,
	}
	sampleKeyRevoked = apikey.Revoked{ID: sampleKey, Origin: sampleStudy}

	sampleSet = attachment.Set{
		Owner:  sampleResearcher,
		Target: attachment.Self,
		Key:    "lamp.dashboard.credential_roles",
		Value:  json.RawMessage(`{"somebody@example.org":{"role":"edit","name":"A <b> & \u0000 \ud83d\ude00 é","photo":1.50}}`),
	}
	sampleCleared = attachment.Cleared{Owner: sampleResearcher, Target: attachment.Descendants, Key: "lamp.name"}

	sampleGiven = grant.Given{
		ID:         samplePlan,
		Object:     sampleStudy,
		Credential: sampleHash,
		Role:       grant.Auditor,
		From:       1_600_000_000_000,
		To:         1_700_000_000_000,
	}
	sampleWithdrawn = grant.Withdrawn{ID: samplePlan, Object: sampleStudy}

	sampleParked    = projection.Parked{Projection: "series", Positions: []domain.Position{{Commit: 31, Prepare: 31}}}
	sampleDiscarded = projection.Discarded{Projection: "series", Positions: []domain.Position{{Commit: 31, Prepare: 31}, {Commit: 4096, Prepare: 4090}}}
	sampleRebuilt   = projection.Rebuilt{Projection: "series"}
	sampleReverted  = projection.Reverted{Projection: "series"}
	sampleRetried   = projection.Retried(sampleDiscarded)

	sampleRecorded = observation.Recorded{
		Subject: sampleParticipant,
		Channel: observation.LAMPSensor,
		Items: []observation.Item{
			{Time: ms(1_600_000_000_000), Series: "lamp.accelerometer", Value: json.RawMessage(`{"x":0.0123,"y":-0.98,"z":1e-3}`)},
			{Time: ms(1_600_000_000_000), Series: "lamp.accelerometer", Value: json.RawMessage(`{"x":0.0123,"y":-0.98,"z":1e-3}`)},
			{Time: nil, Series: "lamp.heart_rate", Value: json.RawMessage(`72`)},
			{Time: ms(-1), Series: "a \"name\" <é>", Value: json.RawMessage(`["\u0000",null,{}]`)},
		},
	}
	sampleRetracted = observation.Retracted{
		Subject: sampleParticipant,
		Channel: observation.LAMPActivity,
		Series:  sampleObject,
		From:    ms(1_600_000_000_000),
		To:      ms(1_600_000_000_001),
	}

	sampleMade = plan.Made{
		ID: samplePlan,
		Steps: []plan.Step{{
			EventID: domain.ID{0x01, 0x8f, 0x4e, 0x5a, 0x7b, 0x3c, 0x7d, 0x2e, 0x9f, 0x10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x67},
			Stream:  "registry-" + sampleResearcher,
			Type:    "researcher.added",
			Version: 1,
			Subject: sampleParticipant,
			Data:    json.RawMessage(`{"kind":"researcher","id":"` + sampleResearcher + `","attributes":{"name":"A & B"}}`),
		}},
	}
	sampleDone = plan.Done{ID: samplePlan}
)

// registrySamples are the samples of one kind, with every attribute that it may have.
func registrySamples(kind registry.Kind) (registry.Added, registry.Revised, registry.Removed) {
	id, parent := sampleObject, ""
	switch kind {
	case registry.Researcher:
		id = sampleResearcher
	case registry.Study:
		id, parent = sampleStudy, sampleResearcher
	case registry.Participant:
		id, parent = sampleParticipant, sampleStudy
	case registry.Activity, registry.Sensor:
		parent = sampleStudy
	case registry.ActivitySpec:
		id = "lamp.survey"
	case registry.SensorSpec:
		id = "lamp.accelerometer"
	}
	attributes := sampleAttributes(kind)
	return registry.Added{Kind: kind, ID: id, Parent: parent, Attributes: attributes, Plan: samplePlan},
		registry.Revised{Kind: kind, ID: id, Attributes: attributes},
		registry.Removed{Kind: kind, ID: id}
}

func sampleAttributes(kind registry.Kind) registry.Attributes {
	switch kind {
	case registry.Researcher:
		return registry.Attributes{"name": json.RawMessage(`"Ada & Co"`)}
	case registry.Study:
		return registry.Attributes{"name": json.RawMessage(`"Sleep"`), "isMessagingEnabled": json.RawMessage(`true`)}
	case registry.Activity:
		return registry.Attributes{
			"spec":     json.RawMessage(`"lamp.survey"`),
			"name":     json.RawMessage(`"Evening"`),
			"settings": json.RawMessage(`[{"text":"How are you?","type":"likert"}]`),
			"schedule": json.RawMessage(`[{"start_date":"2026-01-01T00:00:00.000Z","time":"2026-01-01T20:00:00.000Z","custom_time":null,"repeat_interval":"daily","notification_ids":[17]}]`),
			"category": json.RawMessage(`["assess"]`),
		}
	case registry.Sensor:
		return registry.Attributes{
			"spec":     json.RawMessage(`"lamp.accelerometer"`),
			"name":     json.RawMessage(`"Motion"`),
			"settings": json.RawMessage(`{"frequency":5}`),
		}
	case registry.ActivitySpec:
		return registry.Attributes{
			"description":     json.RawMessage(`"A survey"`),
			"executable":      json.RawMessage(`null`),
			"static_data":     json.RawMessage(`{}`),
			"temporal_slices": json.RawMessage(`{}`),
			"settings":        json.RawMessage(`{}`),
			"category":        json.RawMessage(`null`),
		}
	case registry.SensorSpec:
		return registry.Attributes{"settings_schema": json.RawMessage(`{}`)}
	}
	return nil
}

func ms(t int64) *int64 { return &t }
