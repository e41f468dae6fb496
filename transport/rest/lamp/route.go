package lamp

import (
	"strings"

	"strandline/commands/policy"
	"strandline/domain/registry"
	"strandline/transport/rest"
)

// names says what the path of a route names.
type names int

const (
	noObject      names = iota // nothing: what is asked of the installation
	inTree                     // an object by its id
	specification              // a specification by its name
)

// route is one line of the contract.
type route struct {
	label        string // who calls it, in the words of the contract
	method, path string
	open         bool          // for anybody: credentials are not looked at
	verb         policy.Verb   // what the caller must be allowed to do
	object       names         // to what
	kind         registry.Kind // of which kind it must be, empty for any
	installation bool          // the word null may stand for the installation
	handle       func(*call) (rest.Answer, error)
	shown        string // the path as the record has it: its template
}

// parameter is the name of the path's first parameter that is no kind word: the one that names the object.
func (r *route) parameter() string {
	if r.object == specification {
		return "name"
	}
	return "id"
}

// kindWords stand before an id where any kind of object will do (contract, section 5.8).
const kindWords = "{kind:type|researcher|study|participant|activity|sensor}"

// channels are the two kinds of events that participants have.
var channels = []channel{sensorEvents, activityEvents}

// table is all routes, those that are hot first, because the router looks at them in order.
func table() []*route {
	routes := events()
	routes = append(routes, tags()...)
	routes = append(routes, tree()...)
	routes = append(routes, parts(activities)...)
	routes = append(routes, parts(sensors)...)
	routes = append(routes, specs(activitySpecs)...)
	routes = append(routes, specs(sensorSpecs)...)
	routes = append(routes, credentials()...)
	return append(routes, dashboard()...)
}

// events are the routes of the contract's section 6.
func events() []*route {
	var routes []*route
	for _, ch := range channels {
		routes = append(routes,
			&route{label: "SDK", method: "POST", path: "/participant/{id}/" + ch.word, verb: policy.EventCreate,
				object: inTree, kind: registry.Participant, handle: ch.create},
			&route{label: "SDK", method: "GET", path: "/participant/{id}/" + ch.word, verb: policy.EventList,
				object: inTree, kind: registry.Participant, handle: ch.list},
			&route{label: "SDK+", method: "DELETE", path: "/participant/{id}/" + ch.word, verb: policy.EventDelete,
				object: inTree, kind: registry.Participant, handle: ch.remove},
			&route{label: "SDK+", method: "GET", path: "/study/{id}/" + ch.word, verb: policy.EventList,
				object: inTree, kind: registry.Study, handle: ch.listBelow},
		)
	}
	return append(routes,
		&route{label: "DASH", method: "GET", path: "/researcher/{id}/sensor_event", verb: policy.EventList,
			object: inTree, kind: registry.Researcher, handle: sensorEvents.list},
		&route{label: "SRV", method: "POST", path: "/researcher/{id}/sensor_event", verb: policy.EventCreate,
			object: inTree, kind: registry.Researcher, handle: sensorEvents.create},
		&route{label: "SDK+", method: "GET", path: "/researcher/{id}/activity_event", verb: policy.EventList,
			object: inTree, kind: registry.Researcher, handle: activityEvents.listBelow},
	)
}

// tags are the routes of section 7: one store under two names.
func tags() []*route {
	var routes []*route
	for _, word := range []string{"attachment", "tag"} {
		base := "/" + kindWords + "/{id}/" + word
		routes = append(routes,
			&route{label: "SDK", method: "GET", path: base + "/{key}", verb: policy.TagView,
				object: inTree, installation: true, handle: viewTag},
			&route{label: "SDK", method: "GET", path: base, verb: policy.TagList,
				object: inTree, installation: true, handle: listTags},
			&route{label: "SDK", method: "PUT", path: base + "/{key}/{target}", verb: policy.TagSet,
				object: inTree, installation: true, handle: setTag},
			&route{label: "SRV", method: "GET", path: base + "/{key}/{index}", verb: policy.TagView,
				object: inTree, installation: true, handle: viewTagPart},
		)
	}
	return routes
}

// tree are the routes of sections 5.1 to 5.3 and 5.8.
func tree() []*route {
	return []*route{
		{label: "SDK", method: "GET", path: "/" + kindWords + "/{id}/parent", verb: policy.ParentView,
			object: inTree, installation: true, handle: viewParent},

		{label: "SDK", method: "GET", path: "/researcher", verb: policy.ResearcherList, handle: listAll(researchers)},
		{label: "SDK", method: "POST", path: "/researcher", verb: policy.ResearcherCreate, handle: createResearcher},
		{label: "SDK", method: "GET", path: "/researcher/{id}", verb: policy.ResearcherView,
			object: inTree, kind: registry.Researcher, handle: view(researchers)},
		{label: "SDK", method: "PUT", path: "/researcher/{id}", verb: policy.ResearcherUpdate,
			object: inTree, kind: registry.Researcher, handle: update(researchers)},
		{label: "SDK", method: "DELETE", path: "/researcher/{id}", verb: policy.ResearcherDelete,
			object: inTree, kind: registry.Researcher, handle: remove},

		{label: "SDK", method: "GET", path: "/researcher/{id}/study", verb: policy.StudyList,
			object: inTree, kind: registry.Researcher, handle: listBelow(studies)},
		{label: "SDK", method: "POST", path: "/researcher/{id}/study", verb: policy.StudyCreate,
			object: inTree, kind: registry.Researcher, handle: create(studies)},
		{label: "SDK", method: "GET", path: "/study/{id}", verb: policy.StudyView,
			object: inTree, kind: registry.Study, handle: view(studies)},
		{label: "SDK", method: "PUT", path: "/study/{id}", verb: policy.StudyUpdate,
			object: inTree, kind: registry.Study, handle: update(studies)},
		{label: "SDK", method: "DELETE", path: "/study/{id}", verb: policy.StudyDelete,
			object: inTree, kind: registry.Study, handle: remove},
		{label: "SDK+", method: "GET", path: "/study", verb: policy.OwnList, handle: listOwn(studies, policy.StudyView)},

		{label: "SDK", method: "GET", path: "/study/{id}/participant", verb: policy.ParticipantList,
			object: inTree, kind: registry.Study, handle: listBelow(participants)},
		{label: "SDK", method: "POST", path: "/study/{id}/participant", verb: policy.ParticipantCreate,
			object: inTree, kind: registry.Study, handle: createParticipant},
		{label: "SDK", method: "GET", path: "/participant/{id}", verb: policy.ParticipantView,
			object: inTree, kind: registry.Participant, handle: view(participants)},
		{label: "SDK", method: "PUT", path: "/participant/{id}", verb: policy.ParticipantUpdate,
			object: inTree, kind: registry.Participant, handle: unimplemented},
		{label: "SDK", method: "DELETE", path: "/participant/{id}", verb: policy.ParticipantDelete,
			object: inTree, kind: registry.Participant, handle: remove},
		{label: "SRV", method: "GET", path: "/activity/{id}/participant", verb: policy.ParticipantList,
			object: inTree, kind: registry.Activity, handle: listBeside(participants, policy.ParticipantView)},
		{label: "SRV", method: "GET", path: "/sensor/{id}/participant", verb: policy.ParticipantList,
			object: inTree, kind: registry.Sensor, handle: listBeside(participants, policy.ParticipantView)},
		{label: "SDK+", method: "GET", path: "/participant", verb: policy.OwnList,
			handle: listOwn(participants, policy.ParticipantView)},
		{label: "SDK+", method: "GET", path: "/researcher/{id}/participant", verb: policy.ParticipantList,
			object: inTree, kind: registry.Researcher, handle: listBelow(participants)},
	}
}

// verbs are what may be done to one kind of object.
type verbs struct{ list, create, view, update, remove policy.Verb }

// parts are the routes of sections 5.4 and 5.5: what a study is made of besides its participants.
func parts(s *shape) []*route {
	word := string(s.kind)
	verbs := partVerbs[s.kind]
	return []*route{
		{label: "SDK", method: "GET", path: "/study/{id}/" + word, verb: verbs.list,
			object: inTree, kind: registry.Study, handle: listBelow(s)},
		{label: "SDK", method: "GET", path: "/participant/{id}/" + word, verb: verbs.list,
			object: inTree, kind: registry.Participant, handle: listBeside(s, verbs.view)},
		{label: "SDK", method: "POST", path: "/study/{id}/" + word, verb: verbs.create,
			object: inTree, kind: registry.Study, handle: create(s)},
		{label: "SDK", method: "GET", path: "/" + word + "/{id}", verb: verbs.view,
			object: inTree, kind: s.kind, handle: view(s)},
		{label: "SDK", method: "PUT", path: "/" + word + "/{id}", verb: verbs.update,
			object: inTree, kind: s.kind, handle: update(s)},
		{label: "SDK", method: "DELETE", path: "/" + word + "/{id}", verb: verbs.remove,
			object: inTree, kind: s.kind, handle: remove},
		{label: "SDK+", method: "GET", path: "/" + word, verb: policy.OwnList, handle: listOwn(s, verbs.view)},
		{label: "SDK+", method: "GET", path: "/researcher/{id}/" + word, verb: verbs.list,
			object: inTree, kind: registry.Researcher, handle: listBelow(s)},
	}
}

var partVerbs = map[registry.Kind]verbs{
	registry.Activity: {policy.ActivityList, policy.ActivityCreate, policy.ActivityView, policy.ActivityUpdate, policy.ActivityDelete},
	registry.Sensor:   {policy.SensorList, policy.SensorCreate, policy.SensorView, policy.SensorUpdate, policy.SensorDelete},
}

// specs are the routes of section 5.6. An unknown name is no error on view, so that is asked of the installation.
func specs(s *shape) []*route {
	all := "/" + string(s.kind)
	one := all + "/{name}"
	return []*route{
		{label: "SDK", method: "GET", path: all, verb: policy.SpecView, handle: listAll(s)},
		{label: "SDK", method: "POST", path: all, verb: policy.SpecCreate, handle: createSpec(s)},
		{label: "SDK", method: "GET", path: one, verb: policy.SpecView, handle: viewSpec(s)},
		{label: "SDK", method: "PUT", path: one, verb: policy.SpecUpdate,
			object: specification, kind: s.kind, handle: updateSpec(s)},
		{label: "SDK", method: "DELETE", path: one, verb: policy.SpecDelete,
			object: specification, kind: s.kind, handle: removeSpec(s)},
	}
}

// credentials are the routes of section 5.7.
func credentials() []*route {
	base := "/" + kindWords + "/{id}/credential"
	one := base + "/{access_key}"
	return []*route{
		{label: "SDK", method: "GET", path: base, verb: policy.CredentialList,
			object: inTree, installation: true, handle: listCredentials},
		{label: "SDK", method: "POST", path: base, verb: policy.CredentialCreate,
			object: inTree, installation: true, handle: createCredential},
		{label: "SDK", method: "PUT", path: one, verb: policy.CredentialUpdate,
			object: inTree, installation: true, handle: updateCredential},
		{label: "SDK", method: "DELETE", path: one, verb: policy.CredentialDelete,
			object: inTree, installation: true, handle: removeCredential},
	}
}

// dashboard are the routes of section 9, and the document of section 8.3.
func dashboard() []*route {
	return []*route{
		{label: "DASH", method: "GET", path: "/researcher/{id}/_lookup/participant", verb: policy.ResearcherLookup,
			object: inTree, kind: registry.Researcher, handle: lookupParticipants},
		{label: "DASH", method: "GET", path: "/researcher/{id}/_lookup/activity", verb: policy.ResearcherLookup,
			object: inTree, kind: registry.Researcher, handle: lookup(activities)},
		{label: "DASH", method: "GET", path: "/researcher/{id}/_lookup/sensor", verb: policy.ResearcherLookup,
			object: inTree, kind: registry.Researcher, handle: lookup(sensors)},
		{label: "DASH", method: "GET", path: "/server-info", open: true, verb: policy.ServerView, handle: serverInfo},
		{label: "SDK", method: "GET", path: "/", open: true, verb: policy.ServerView, handle: viewAPI},
	}
}

// template is the route's path as people read it: parameters without their patterns.
func (r *route) template() string { return strings.ReplaceAll(r.path, kindWords, "{kind}") }
