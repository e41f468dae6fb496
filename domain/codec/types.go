package codec

import (
	"encoding/json"
	"maps"
	"slices"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/domain/registry"
)

// Type is a type of event as it is stored now. Earlier versions are rewritten when they are read.
type Type struct {
	Name     string          // kind.verb, in the past tense
	Version  int             // of the schema, from 1
	Schema   json.RawMessage // JSON Schema, draft 2020-12
	Sample   domain.Event    // one that has every field
	Sentence string          // what it says to people, with words in braces to fill in

	encode    func(dst []byte, e domain.Event) ([]byte, error)
	decode    func(data []byte) (domain.Event, error)
	upcasters []upcaster // from version 1, from version 2, …
}

// Types are all types of event, ordered by name.
func Types() []Type {
	var all []Type
	for _, name := range slices.Sorted(maps.Keys(types)) {
		t := *types[name]
		t.Schema, _ = Schema(t.Name, t.Version) // each type has one, as a test makes sure
		all = append(all, t)
	}
	return all
}

// types never changes.
var types = byName(slices.Concat(registryTypes(), []Type{
	asJSON(sampleServed, "{actor} was answered {request}: {rows}"),
	asJSON(sampleRefused, "{actor} was refused {request}: {code}"),
	asJSON(sampleEnded, "{actor} was sent {rows} by a stream of answers"),
	asJSON(sampleFlooded, "{actor} sent {count} at once: {refused} refused"),
	asJSON(sampleIssued, "{actor} issued credential {id} to {origin}"),
	asJSON(sampleCredentialRevised, "{actor} changed {attributes} of credential {id}"),
	asJSON(sampleRevoked, "{actor} revoked credential {id}"),
	asJSON(sampleKeyIssued, "{actor} issued API key {id} to {origin}"),
	asJSON(sampleKeyRevoked, "{actor} revoked API key {id} of {origin}"),
	asJSON(sampleSet, "{actor} attached {key} to {owner}, aimed at {target}"),
	asJSON(sampleCleared, "{actor} removed {key} from {owner}, aimed at {target}"),
	asJSON(sampleGiven, "{actor} made credential {credential} {role} of {object}"),
	asJSON(sampleWithdrawn, "{actor} withdrew grant {id} on {object}"),
	recordedType,
	asJSON(sampleRetracted, "{actor} retracted {what} on {channel}{about}"),
	asJSON(sampleMade, "{actor} began plan {id} of {steps}"),
	asJSON(sampleDone, "{actor} finished plan {id}"),
	asJSON(sampleParked, "{actor} set {positions} aside from projection {projection}"),
	asJSON(sampleDiscarded, "{actor} discarded {positions} from projection {projection}"),
	asJSON(sampleRebuilt, "{actor} had projection {projection} built again"),
	asJSON(sampleReverted, "{actor} had projection {projection} served from the build before"),
	asJSON(sampleRetried, "{actor} had {positions} tried again by projection {projection}"),
}))

// recordedType is the one whose stored form has changed: version 1 was a list of objects, version 2 is columns.
var recordedType = Type{
	Name:      observation.Recorded{}.EventType(),
	Version:   2,
	Sample:    sampleRecorded,
	Sentence:  "{actor} sent {count} on {channel}{about}",
	encode:    encodeColumns,
	decode:    decodeColumns,
	upcasters: []upcaster{listToColumns},
}

// registryTypes are all kinds of object with all verbs: one Go type for each verb, one stored name for every kind. What has
// no attributes is never revised.
func registryTypes() []Type {
	var all []Type
	for _, kind := range registry.Kinds() {
		added, revised, removed := registrySamples(kind)
		all = append(all, asJSON(added, "{actor} added {kind} {id}{below}"), asJSON(removed, "{actor} removed {kind} {id}"))
		if len(revised.Attributes) > 0 {
			all = append(all, asJSON(revised, "{actor} changed {attributes} of {kind} {id}"))
		}
	}
	return all
}

// asJSON is a type in its first version, stored as encoding/json writes it.
func asJSON[E domain.Event](sample E, sentence string) Type {
	return Type{
		Name:     sample.EventType(),
		Version:  1,
		Sample:   sample,
		Sentence: sentence,
		encode:   encodeJSON,
		decode:   decodeJSON[E],
	}
}

func byName(all []Type) map[string]*Type {
	named := make(map[string]*Type, len(all))
	for _, t := range all {
		named[t.Name] = &t
	}
	return named
}
