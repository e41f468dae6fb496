package api

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/transport/rest"
)

func eventRoutes() []route {
	return []route{
		// Whoever has signed in may ask for events: which of them it gets to see is asked for each (decision 23).
		{method: "GET", path: "/strandline/v1/events", verb: policy.OwnList, handle: (*call).events, operation: operation{
			summary: "The log of events, oldest first",
			about: "A page, or with Accept: application/x-ndjson one event a line, without limit and in constant memory. Events that the caller " +
				"may not open are left out. A page of a rare selection may be empty and have a next all the same, and one of large events is short: the end is " +
				"where end is true. Lines go on with follow=true; an empty line every quarter of a minute says that nothing has happened.",
			query: slices.Concat([]parameter{
				{"after", "position", "begin after this position; at first leave it out"},
				{"limit", "integer", "at most so many events: of a page 100 unless told, and 1000 at most; of lines all unless told"},
				{"follow", "boolean", "go on with events as they happen, as lines of JSON"},
			}, eventFilters),
			answer: eventPage{}, lines: event{},
		}},
		{method: "GET", path: "/strandline/v1/streams/{name}", verb: policy.OwnList, handle: (*call).stream, operation: operation{
			summary: "The events of one stream",
			about: "A page, or with Accept: application/x-ndjson one event a line. A stream of which the caller may open nothing is not " +
				"found, as if nobody had written it.",
			query: []parameter{
				{"from", "revision", "begin at this revision; at first leave it out"},
				{"limit", "integer", "at most so many events: of a page 100 unless told, and 1000 at most; of lines all unless told"},
				{"direction", "forwards|backwards", "oldest first, unless told, or newest first"},
			},
			answer: streamPage{}, lines: event{},
		}},
	}
}

// event is a recorded event as clients see it. What there is none of is null.
type event struct {
	Position    domain.Position `json:"position"`
	Stream      string          `json:"stream"`
	Revision    uint64          `json:"revision" about:"place in its stream, from 0"`
	ID          domain.ID       `json:"id"`
	Type        string          `json:"type" about:"what happened, such as study.added"`
	Version     int             `json:"version" about:"of the schema of data, which goes by type and version"`
	Time        time.Time       `json:"time" about:"when it was recorded; never goes back"`
	Actor       string          `json:"actor" about:"who acted: an object's id, root, system or anonymous"`
	Credential  *string         `json:"credential" about:"id of the credential used"`
	APIKey      *string         `json:"api_key" about:"id of the program's API key"`
	Subject     *string         `json:"subject" about:"the participant whom it is about"`
	Correlation *domain.ID      `json:"correlation" about:"id of the request that led to it"`
	Causation   *domain.ID      `json:"causation" about:"id of the command or event that led to it"`
	Command     *string         `json:"command"`
	Data        json.RawMessage `json:"data,omitempty" about:"what happened, in the schema of its type; left out where it is sealed; null: a part of a large value, or of a newer version than this server's"`
	Sealed      bool            `json:"sealed,omitempty" about:"the data cannot be opened, most often because its key has been destroyed"`
	Sentence    string          `json:"sentence" about:"what happened, in words for people"`
	Reason      *string         `json:"reason" about:"why, in the words of whoever asked for it; with the first event of a request"`

	own bool // it says no more than that the caller has read from this route
}

// eventPage is one page of events.
type eventPage struct {
	Events []event          `json:"events"`
	Next   *domain.Position `json:"next" about:"to be given as after, for the page that follows; null where there is nothing left but that the caller has asked for events"`
	End    bool             `json:"end" about:"there was nothing more when the request came; later there may be"`
}

// events answers with the events that the caller may open: as a page, or as lines of JSON.
func (c *call) events() (rest.Answer, error) {
	s := c.selection()
	c.Meta.Details.Object = s.subject
	c.ReadFrom(c.Arrival)
	if c.query.flag("follow") || c.media == mediaLines {
		return c.lines(func(ctx context.Context, w *lineWriter) error { return c.log(ctx, s, w) }), nil
	}
	return c.page(s)
}

// longestScan is how many rows are looked at for one page.
const longestScan = 100_000

// page answers with one page.
func (c *call) page(s selection) (rest.Answer, error) {
	page, next := eventPage{Events: []event{}}, s.after
	scanned, size, weight, full := 0, c.query.page(), 0, false
	for r, err := range c.history(c.Context(), s) {
		switch {
		case err != nil:
			return rest.Answer{}, err
		case s.over(&r.Envelope):
			page.End = true
			return showsEvents(page, next)
		}
		next = r.Position
		if e, ok := c.selected(c.Context(), s, r); ok {
			page.Events, weight = append(page.Events, e), weight+len(e.Data)
		}
		if scanned++; len(page.Events) == size || scanned == c.scan || weight >= heavyPage {
			full = true
			break
		}
	}
	if !full && next.Before(c.Arrival) {
		next = c.Arrival
	}
	page.End = !next.Before(c.Arrival)
	return showsEvents(page, next)
}

// showsEvents answers with a page after which next is where to go on.
func showsEvents(page eventPage, next domain.Position) (rest.Answer, error) {
	other := slices.ContainsFunc(page.Events, func(e event) bool { return !e.own })
	page.Next = onward(next, page.End && !other)
	return shows(page, len(page.Events))
}

// selected is a record as the caller gets to see it; false if it is not selected, or not for the caller.
func (c *call) selected(ctx context.Context, s selection, r domain.Record) (event, bool) {
	if !s.wants(&r.Envelope) {
		return event{}, false
	}
	return c.shown(ctx, r)
}
