package esdb

import (
	"encoding/json"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"strandline/domain"
	"strandline/transport/eventstore/external"
)

// metadata is an envelope beside its event. The names with a dollar are those that EventStoreDB's own tools know.
type metadata struct {
	Strandline  int       `json:"strandline"` // version of this form
	Version     int       `json:"version,omitempty"`
	ContentType uint8     `json:"content,omitempty"`
	Actor       string    `json:"actor,omitempty"`
	Credential  string    `json:"credential,omitempty"`
	APIKey      string    `json:"apiKey,omitempty"`
	Dialect     string    `json:"dialect,omitempty"`
	CommandID   domain.ID `json:"commandId,omitzero"`
	Command     string    `json:"command,omitempty"`
	Correlation domain.ID `json:"$correlationId,omitzero"`
	Causation   domain.ID `json:"$causationId,omitzero"`
	Subject     string    `json:"subject,omitempty"`
	Key         string    `json:"key,omitempty"`
	Untyped     bool      `json:"untyped,omitempty"` // the type is empty, which EventStoreDB refuses
	Extra       []byte    `json:"extra,omitempty"`
}

// form is the version of metadata that is written.
const form = 1

// untyped stands for the empty type.
const untyped = "-"

// event is a record as EventStoreDB takes it.
func event(r domain.Record) (esdb.EventData, error) {
	e := esdb.EventData{EventID: uuid.UUID(r.ID), EventType: r.Type, ContentType: esdb.ContentTypeBinary, Data: r.Data}
	if r.ContentType == domain.External {
		others, err := external.Unpack(r)
		if err != nil {
			return e, err
		}
		if others.JSON {
			e.ContentType = esdb.ContentTypeJson
		}
		e.Data, e.Metadata = others.Data, others.Metadata
		return e, nil
	}
	m := metadata{
		Strandline: form, Version: r.Version, ContentType: uint8(r.ContentType), Actor: r.Actor, Credential: r.Credential, APIKey: r.APIKey,
		Dialect: r.Dialect, CommandID: r.CommandID, Command: r.Command, Correlation: r.Correlation, Causation: r.Causation,
		Subject: r.Subject, Key: r.Key, Untyped: r.Type == "", Extra: r.Extra,
	}
	if m.Untyped {
		e.EventType = untyped
	}
	var err error
	e.Metadata, err = json.Marshal(m)
	return e, err
}

// record is an event as EventStoreDB gives it.
func record(e *esdb.RecordedEvent) domain.Record {
	r := domain.Record{
		Position: domain.Position{Commit: e.Position.Commit, Prepare: e.Position.Prepare},
		Envelope: domain.Envelope{ID: domain.ID(e.EventID), Type: e.EventType, Stream: e.StreamID, Revision: e.EventNumber, Time: e.CreatedDate},
		Data:     e.Data,
	}
	var m metadata
	if json.Unmarshal(e.UserMetadata, &m) != nil || m.Strandline == 0 {
		r.Version, r.ContentType = 1, domain.External
		r.Data = external.Event{JSON: e.ContentType == "application/json", Metadata: e.UserMetadata, Data: e.Data}.Pack()
		return r
	}
	r.Version, r.ContentType, r.Actor, r.Credential, r.APIKey = m.Version, domain.ContentType(m.ContentType), m.Actor, m.Credential, m.APIKey
	r.Dialect, r.CommandID, r.Command, r.Correlation, r.Causation = m.Dialect, m.CommandID, m.Command, m.Correlation, m.Causation
	r.Subject, r.Key, r.Extra = m.Subject, m.Key, m.Extra
	if m.Untyped {
		r.Type = ""
	}
	return r
}
