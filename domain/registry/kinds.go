package registry

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Kinds are all kinds, outermost first.
func Kinds() []Kind {
	return []Kind{Researcher, Study, Participant, Activity, Sensor, ActivitySpec, SensorSpec}
}

// rule is what holds for the objects of a kind.
type rule struct {
	parent     Kind              // of the parent, empty if there is none
	id         func(string) bool // whether an id has the right form
	again      bool              // whether a removed one may be added again, as something new
	attributes map[string]attribute
}

// attribute is what holds for one attribute.
type attribute struct {
	form  form
	fixed bool // it never changes
}

// rules is the table of kinds. It never changes.
var rules = map[Kind]rule{
	Researcher: {
		id:         isDrawn,
		attributes: map[string]attribute{"name": {form: isText}},
	},
	Study: {
		parent: Researcher,
		id:     isDrawn,
		attributes: map[string]attribute{
			"name":               {form: isText},
			"isMessagingEnabled": {form: isBoolean},
		},
	},
	Participant: {
		parent: Study,
		id:     isParticipant,
	},
	Activity: {
		parent: Study,
		id:     isDrawn,
		attributes: map[string]attribute{
			"spec":     {form: isText, fixed: true},
			"name":     {form: isText},
			"settings": {form: isAnything},
			"schedule": {form: isList},
			"category": {form: isList.orNull},
		},
	},
	Sensor: {
		parent: Study,
		id:     isDrawn,
		attributes: map[string]attribute{
			"spec":     {form: isText},
			"name":     {form: isText},
			"settings": {form: isAnything},
		},
	},
	ActivitySpec: {
		id:    isName,
		again: true,
		attributes: map[string]attribute{
			"description":     {form: isText.orNull},
			"executable":      {form: isText.orNull},
			"static_data":     {form: isStructure.orNull},
			"temporal_slices": {form: isStructure.orNull},
			"settings":        {form: isStructure.orNull},
			"category":        {form: isList.orNull},
		},
	},
	SensorSpec: {
		id:         isName,
		again:      true,
		attributes: map[string]attribute{"settings_schema": {form: isStructure.orNull}},
	},
}

// isSpec tells the kinds whose ids are names that clients choose.
func isSpec(k Kind) bool { return k == ActivitySpec || k == SensorSpec }

// isDrawn tells the ids that this server draws: 20 characters of Crockford's alphabet, which has no i, l, o, u.
func isDrawn(id string) bool {
	return len(id) == 20 && strings.Trim(id, "0123456789abcdefghjkmnpqrstvwxyz") == ""
}

// isParticipant tells the ids of participants: U and ten digits.
func isParticipant(id string) bool {
	return len(id) == 11 && id[0] == 'U' && strings.Trim(id[1:], "0123456789") == ""
}

// isName tells the names that clients may choose.
func isName(id string) bool {
	return id != "" && len(id) <= 256 && utf8.ValidString(id)
}

// form tells whether JSON text, which is valid, is of a certain type.
type form func(raw json.RawMessage) bool

func (f form) orNull(raw json.RawMessage) bool { return string(raw) == "null" || f(raw) }

var (
	isText      form = startsWith(`"`)
	isList      form = startsWith(`[`)
	isStructure form = startsWith(`{[`)
	isBoolean   form = startsWith(`tf`)
	isAnything  form = func(raw json.RawMessage) bool { return len(raw) > 0 }
)

// startsWith tells the type of JSON text by its first byte.
func startsWith(any string) form {
	return func(raw json.RawMessage) bool { return len(raw) > 0 && strings.IndexByte(any, raw[0]) >= 0 }
}
