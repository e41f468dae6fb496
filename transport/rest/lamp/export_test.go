package lamp

import (
	"net/http"
	"net/url"
	"strconv"

	"strandline/domain/observation"
	"strandline/domain/registry"
	"strandline/readmodels/series"
)

// What tests of this package look at directly.

// ReadEvents reads events from a compacted body as their routes do.
func ReadEvents(activity bool, body []byte) ([]observation.Item, error) {
	return pick(activity).readItems(body)
}

// AppendEvent shows an item as its routes do.
func AppendEvent(activity bool, item observation.Item, light bool) []byte {
	return pick(activity).append(nil, &series.Sample{Time: item.Time, Series: item.Series, Value: item.Value}, light)
}

func pick(activity bool) channel {
	if activity {
		return activityEvents
	}
	return sensorEvents
}

// Attributes reads a body as the routes of a kind do, and shows the object again.
func Attributes(kind registry.Kind, body []byte, changing bool) (registry.Attributes, error) {
	for _, s := range []*shape{researchers, studies, participants, activities, sensors, activitySpecs, sensorSpecs} {
		if s.kind == kind {
			return s.attributes(body, changing)
		}
	}
	return nil, nil
}

// ReadCredential reads the body of a credential; ReadUpdate that of a change.
func ReadCredential(body []byte) error { _, err := readCredential(body); return err }

// ReadUpdate reads the body of a change of a credential.
func ReadUpdate(body []byte) error { _, err := readUpdate(body); return err }

// Part is a part of a tag's value.
func Part(value []byte, index string) ([]byte, error) { return part(value, index) }

// Entry is a schedule's entry with fresh notification ids 1, 2, 3, ….
func Entry(entry []byte) string {
	n := uint64(0)
	shown, _ := appendEntry(nil, entry, func() (uint64, error) { n++; return n, nil })
	return string(shown)
}

// Limit is what a limit parameter means.
func Limit(text string) int { return limit(text) }

// Route is a line of the table of routes.
type Route struct {
	Method, Path, Verb string
	Open, Object       bool
}

// Routes is the table of routes.
func Routes() []Route {
	var all []Route
	for _, r := range table() {
		all = append(all, Route{r.method, r.template(), string(r.verb), r.open, r.object != noObject})
	}
	return all
}

// Status is the status of a code.
func Status(code string) string { return strconv.Itoa(status(code)) }

// Match finds a request's route, as the first step of answering it.
func (d *Door) Match(r *http.Request) (path string, ok bool) {
	found, _ := d.route(r)
	if found == nil {
		return "", false
	}
	return found.path, true
}

// Bound is what a from or to parameter means.
func Bound(text string) (*int64, error) { return bound(url.Values{"from": {text}}, "from") }
