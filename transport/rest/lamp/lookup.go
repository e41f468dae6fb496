package lamp

import (
	"strconv"

	"strandline/domain/rawjson"
	"strandline/domain/registry"
	"strandline/transport/rest"
)

// enabledTag says whether a researcher works with the messaging of a partner.
const enabledTag = "to.unityhealth.psychiatry.enabled"

// tabled is a study with its name, as the dashboard's tables show it.
type tabled struct {
	registry.Object
	name []byte // raw
}

// tabled are the studies of the named researcher, or the one that the query names.
func (c *call) tabled() ([]tabled, error) {
	only := c.Request().URL.Query().Get("study_id")
	var found []tabled
	for _, o := range c.below(c.object, registry.Study) {
		if only != "" && o.ID != only {
			continue
		}
		documents, err := c.Documents.Get(c.Context(), registry.Study, o.ID)
		if err != nil {
			return nil, err
		}
		name := []byte(`""`)
		for _, d := range documents {
			name = nameIn(d.Body, name)
		}
		found = append(found, tabled{o, name})
	}
	return found, nil
}

// nameIn is the name among attributes, as it was sent.
func nameIn(attributes, fallback []byte) []byte {
	for name, raw := range rawjson.Members(attributes) {
		if name == "name" {
			return raw
		}
	}
	return fallback
}

// lookupParticipants is the dashboard's table of participants (contract, section 9).
func lookupParticipants(c *call) (rest.Answer, error) {
	c.ready(c.Documents)
	studies, err := c.tabled()
	if err != nil {
		return rest.Answer{}, err
	}
	setting, err := c.tag(c.object, enabledTag)
	if err != nil {
		return rest.Answer{}, err
	}
	if setting == nil {
		setting = []byte("false")
	}
	body, rows := append(c.Buffer(), `{"studies":[`...), 0
	for i, s := range studies {
		found := c.Directory.Children(s.ID, registry.Participant)
		body = s.appendParticipants(separate(body, i), found)
		rows += len(found)
	}
	body = append(body, `],"unityhealth_settings":`...)
	return answer(append(append(body, setting...), '}'), rows), nil
}

func (s *tabled) appendParticipants(dst []byte, found []registry.Object) []byte {
	dst = append(dst, `{"participant_count":`...)
	dst = strconv.AppendInt(dst, int64(len(found)), 10)
	dst = append(append(dst, `,"id":"`...), s.ID...)
	dst = append(append(dst, `","name":`...), s.name...)
	dst = append(dst, `,"participants":[`...)
	for i, o := range found {
		dst = append(append(separate(dst, i), `{"id":"`...), o.ID...)
		dst = append(s.appendStudy(append(dst, '"')), '}')
	}
	return append(dst, ']', '}')
}

// appendStudy appends to which study a row belongs.
func (s *tabled) appendStudy(dst []byte) []byte {
	dst = append(append(dst, `,"study_id":"`...), s.ID...)
	return append(append(dst, `","study_name":`...), s.name...)
}

// tables are the words of the tables of activities and sensors.
var tables = map[registry.Kind]struct{ count, rows string }{
	registry.Activity: {"activity_count", "activities"},
	registry.Sensor:   {"sensor_count", "sensors"},
}

// lookup is the dashboard's table of activities or sensors, without their settings (contract, section 9).
func lookup(s *shape) func(*call) (rest.Answer, error) {
	words := tables[s.kind]
	return func(c *call) (rest.Answer, error) {
		c.ready(c.Documents)
		studies, err := c.tabled()
		if err != nil {
			return rest.Answer{}, err
		}
		counts, items, rows := []byte{}, []byte{}, 0
		for i, study := range studies {
			objects, err := c.Documents.Get(c.Context(), s.kind, idsOf(c.Directory.Children(study.ID, s.kind))...)
			if err != nil {
				return rest.Answer{}, err
			}
			counts = study.appendCount(separate(counts, i), words.count, len(objects))
			for _, o := range objects {
				items = append(append(separate(items, rows), `{"id":"`...), o.ID...)
				items = s.appendFields(append(items, '"'), o.Body, light)
				items = append(study.appendStudy(items), '}')
				rows++
			}
		}
		body := append(append(c.Buffer(), `{"studies":[`...), counts...)
		body = append(append(append(body, `],"`...), words.rows...), `":[`...)
		return answer(append(append(body, items...), ']', '}'), rows), nil
	}
}

func (s *tabled) appendCount(dst []byte, word string, n int) []byte {
	dst = append(append(dst, `{"`...), word...)
	dst = strconv.AppendInt(append(dst, '"', ':'), int64(n), 10)
	return append(s.appendStudy(dst), '}')
}

// serverInfo tells clients how to sign in (contract, section 3.4).
func serverInfo(*call) (rest.Answer, error) {
	return rest.Answer{Status: 200, Body: []byte(`{"authScheme":"basic"}`)}, nil
}
