package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/transport/rest"
)

func eventRoutes() []route {
	return []route{
		// Whoever has signed in may ask for events: which of them it gets to see is asked for each (decision 23).
		{method: "GET", path: "/strandline/v1/events", verb: policy.OwnList, handle: (*call).events, operation: operation{
			summary: "The log of events, as one page or as lines of JSON",
			query: []parameter{
				{"after", "position", "begin after this position, at first at the start"},
				{"limit", "integer", "at most so many events"},
				{"follow", "boolean", "go on with events as they happen, as lines of JSON"},
			},
			answer: eventPage{}, lines: event{},
		}},
	}
}

// longestScan bounds how many rows are looked at for one page, whoever may see them.
const longestScan = 100_000

// event is a recorded event as clients see it.
type event struct {
	Position    domain.Position `json:"position"`
	Stream      string          `json:"stream"`
	Revision    uint64          `json:"revision"`
	ID          domain.ID       `json:"id"`
	Type        string          `json:"type"`
	Version     int             `json:"version"`
	Time        time.Time       `json:"time"`
	Actor       string          `json:"actor"`
	Credential  string          `json:"credential,omitempty"`
	APIKey      string          `json:"api_key,omitempty"`
	Subject     string          `json:"subject,omitempty"`
	Correlation domain.ID       `json:"correlation,omitzero"`
	Causation   domain.ID       `json:"causation,omitzero"`
	Command     string          `json:"command,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	Sealed      bool            `json:"sealed,omitempty"` // its key has been destroyed: nobody can ever read it
	Sentence    string          `json:"sentence"`
}

// eventPage is one page of events.
type eventPage struct {
	Events []event         `json:"events"`
	Next   domain.Position `json:"next" about:"to be given as after, for the page that follows"`
}

// selection is which events are asked for.
type selection struct {
	after  domain.Position
	limit  int // 0 is no limit
	follow bool
}

// events answers with the events that the caller may open: as a page, or as lines of JSON without end.
func (c *call) events() (rest.Answer, error) {
	s := selection{after: c.query.position("after"), limit: c.query.number("limit"), follow: c.query.flag("follow")}
	if !s.follow && c.media != mediaLines {
		return c.page(s)
	}
	return rest.Answer{
		Status:  http.StatusOK,
		Headers: []string{"Content-Type", mediaLines},
		Stream:  func(ctx context.Context, to *rest.Stream) (int, error) { return c.stream(ctx, s, to) },
	}, nil
}

// page answers with one page. The position to read on after is always given, so that a caller can come back for more.
func (c *call) page(s selection) (rest.Answer, error) {
	s.limit = c.query.page()
	page := eventPage{[]event{}, s.after}
	scanned := 0
	for r, err := range c.history(c.Context(), s.after) {
		if err != nil {
			return rest.Answer{}, err
		}
		page.Next = r.Position
		if e, ok := c.shown(c.Context(), r); ok {
			page.Events = append(page.Events, e)
		}
		if scanned++; len(page.Events) == s.limit || scanned == longestScan {
			break
		}
	}
	return shows(page, len(page.Events))
}

// stream writes lines, if there are not too many streams already.
func (c *call) stream(ctx context.Context, s selection, to *rest.Stream) (int, error) {
	lines := json.NewEncoder(to)
	lines.SetEscapeHTML(false)
	select {
	case c.streams <- struct{}{}:
	default:
		busy := &rest.BusyError{With: "streams of events", After: 10 * time.Second}
		return 0, c.breakOff(ctx, busy, lines)
	}
	defer func() { <-c.streams }()
	ctx, stop := c.untilStop(ctx)
	defer stop()
	return c.write(ctx, s, to, lines)
}

// write writes lines until the head that there was at the request's arrival, or with follow until ctx ends.
func (c *call) write(ctx context.Context, s selection, to *rest.Stream, lines *json.Encoder) (rows int, err error) {
	for r, err := range c.feed(ctx, s, to) {
		if err != nil {
			return rows, c.breakOff(ctx, err, lines)
		}
		e, ok := c.shown(ctx, r)
		if !ok {
			continue
		}
		if lines.Encode(e) != nil {
			return rows, nil // the client has gone away
		}
		if rows++; rows == s.limit {
			return rows, nil
		}
	}
	return rows, nil
}

// broken is the last line of an answer that did not come to its end.
type broken struct {
	Error string `json:"error" about:"what went wrong, and what to do about it"`
	Code  string `json:"code"`
}

// breakOff tells the client that there would have been more, and why there is not.
func (c *call) breakOff(ctx context.Context, err error, lines *json.Encoder) error {
	if ctx.Err() != nil {
		return nil // the client has gone away, or the server stops
	}
	p := worded(err)
	return errors.Join(err, lines.Encode(broken{p.Title + " " + p.Remedy, p.Code}))
}
