package policy

import "slices"

// Verb is something that a caller may ask for. The list is closed: a route names one of these verbs, and a verb that no
// rule names is allowed to root alone.
type Verb string

// The verbs. Those ending in list and create are asked of the object whose parts are listed or which gets a new part,
// all others of the object itself.
const (
	ServerView Verb = "server.view" // what the server says about itself to anybody
	OwnList    Verb = "own.list"    // all objects of a kind that the caller may view: each is asked for by its own verb

	ResearcherList   Verb = "researcher.list"
	ResearcherCreate Verb = "researcher.create"
	ResearcherView   Verb = "researcher.view"
	ResearcherUpdate Verb = "researcher.update"
	ResearcherDelete Verb = "researcher.delete"
	ResearcherLookup Verb = "researcher.lookup" // the dashboard's tables

	StudyList   Verb = "study.list"
	StudyCreate Verb = "study.create"
	StudyView   Verb = "study.view"
	StudyUpdate Verb = "study.update"
	StudyDelete Verb = "study.delete"

	ParticipantList   Verb = "participant.list"
	ParticipantCreate Verb = "participant.create"
	ParticipantView   Verb = "participant.view"
	ParticipantUpdate Verb = "participant.update"
	ParticipantDelete Verb = "participant.delete"

	ActivityList   Verb = "activity.list"
	ActivityCreate Verb = "activity.create"
	ActivityView   Verb = "activity.view"
	ActivityUpdate Verb = "activity.update"
	ActivityDelete Verb = "activity.delete"

	SensorList   Verb = "sensor.list"
	SensorCreate Verb = "sensor.create"
	SensorView   Verb = "sensor.view"
	SensorUpdate Verb = "sensor.update"
	SensorDelete Verb = "sensor.delete"

	SpecView   Verb = "spec.view" // one or all; asked of the installation, since an unknown name is no error
	SpecCreate Verb = "spec.create"
	SpecUpdate Verb = "spec.update"
	SpecDelete Verb = "spec.delete"

	CredentialList   Verb = "credential.list"
	CredentialCreate Verb = "credential.create"
	CredentialUpdate Verb = "credential.update"
	CredentialDelete Verb = "credential.delete"

	KeyList   Verb = "api_key.list" // API keys that sign in for the object
	KeyCreate Verb = "api_key.create"
	KeyDelete Verb = "api_key.delete"

	ParentView Verb = "parent.view" // the ancestors of an object

	EventList   Verb = "event.list" // observations
	EventCreate Verb = "event.create"
	EventDelete Verb = "event.delete"

	TagList Verb = "tag.list"
	TagView Verb = "tag.view"
	TagSet  Verb = "tag.set" // setting to null, which deletes, included

	ExternalAppend Verb = "external.append" // events of others, to streams of theirs; asked of the installation

	PayloadOpen Verb = "event.open" // stored events with their sealed payloads (decision 23)
	AuditView   Verb = "audit.view" // who did or saw what

	GrantList    Verb = "grant.list"    // who holds which role on the object
	GrantShare   Verb = "grant.share"   // giving and withdrawing the roles reader and writer
	GrantOwner   Verb = "grant.owner"   // giving and withdrawing the role owner
	GrantAuditor Verb = "grant.auditor" // giving and withdrawing the role auditor: for root alone (decision 23)

	NodeManage Verb = "node.manage" // projections, integrity, backup, status in detail
)

var verbs = []Verb{
	ServerView, OwnList,
	ResearcherList, ResearcherCreate, ResearcherView, ResearcherUpdate, ResearcherDelete, ResearcherLookup,
	StudyList, StudyCreate, StudyView, StudyUpdate, StudyDelete,
	ParticipantList, ParticipantCreate, ParticipantView, ParticipantUpdate, ParticipantDelete,
	ActivityList, ActivityCreate, ActivityView, ActivityUpdate, ActivityDelete,
	SensorList, SensorCreate, SensorView, SensorUpdate, SensorDelete,
	SpecView, SpecCreate, SpecUpdate, SpecDelete,
	CredentialList, CredentialCreate, CredentialUpdate, CredentialDelete,
	KeyList, KeyCreate, KeyDelete,
	ParentView, EventList, EventCreate, EventDelete, TagList, TagView, TagSet,
	ExternalAppend, PayloadOpen, AuditView, GrantList, GrantShare, GrantOwner, GrantAuditor, NodeManage,
}

// Verbs lists all verbs.
func Verbs() []Verb { return slices.Clone(verbs) }
