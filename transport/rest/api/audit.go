package api

import (
	"cmp"
	"context"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/readmodels/audit"
	"strandline/transport/rest"
)

// Audit is what the dialect asks of readmodels/audit.
type Audit interface {
	Wait(ctx context.Context, position domain.Position) error
	Checkpoint() domain.Position
	Page(ctx context.Context, q audit.Query, may func(audit.Record) bool) (audit.Page, error)
}

func auditRoutes() []route {
	return []route{
		// Whoever has signed in may ask for records: which of them it gets to see is asked for each (decision 23).
		{method: "GET", path: "/strandline/v1/audit", verb: policy.OwnList, handle: (*call).audit, operation: operation{
			summary: "Who did or saw what: one record for each request",
			about: "A page, or with Accept: application/x-ndjson one record a line. Root sees all records, others those of requests for " +
				"objects whose records they may see, or about them. A page of a rare selection may be empty and have a next all the same: " +
				"the end is where end is true. Pages never skip or repeat a record while requests go on.",
			query: []parameter{
				{"actor", "string", "by this object, or by root, system or anonymous, only"},
				{"subject", "string", "about this participant only"},
				{"object", "string", "for the object of this id only"},
				{"outcome", "done|served|refused|quiet|flooded", "that ended so only"},
				{"route", "string", "on this route only, written as in the records, such as /participant/{id}/sensor_event"},
				{"request", "uuid", "the one request of this id, which each answer tells in the header Strandline-Request"},
				{"from", "time", "recorded at this time or later"},
				{"to", "time", "recorded before this time"},
				{"order", "oldest|newest", "oldest first, unless told, or newest first"},
				{"after", "string", "begin after the page that gave this as next"},
				{"limit", "integer", "at most so many records: of a page 100 unless told, and 1000 at most; of lines all unless told"},
			},
			answer: recordPage{}, lines: record{},
		}},
	}
}

// record is an audit record as clients see it. What there is none of is null.
type record struct {
	Time       time.Time         `json:"time" about:"when the first event of the request was recorded"`
	Request    domain.ID         `json:"request" about:"id of the request; of the event where there was no request"`
	Actor      string            `json:"actor" about:"who asked: an object's id, root, system or anonymous"`
	Credential *string           `json:"credential" about:"id of the credential used"`
	APIKey     *string           `json:"api_key" about:"id of the program's API key"`
	Address    *string           `json:"address" about:"where the request came from"`
	Agent      *string           `json:"agent" about:"what the program calls itself"`
	Method     *string           `json:"method"`
	Route      *string           `json:"route" about:"the path, without what stands in it"`
	Object     *string           `json:"object" about:"the id that the request named"`
	Subject    *string           `json:"subject" about:"the participant whom it was about"`
	Command    *string           `json:"command" about:"what was to be changed"`
	Reason     *string           `json:"reason" about:"why, in the caller's words"`
	Outcome    string            `json:"outcome" enum:"done,served,refused,quiet,flooded" about:"done: something was changed; served: something was shown; refused; quiet: there was nothing to do; flooded: many requests of nobody known, counted"`
	Code       *string           `json:"code" about:"why it was refused"`
	Status     *int              `json:"status" about:"the HTTP status of the answer"`
	Rows       int               `json:"rows" about:"how many objects or observations were shown; of a flood, how many requests there were"`
	Events     []domain.Position `json:"events" about:"of all that the request led to"`
}

// recordPage is one page of audit records.
type recordPage struct {
	Records []record `json:"records"`
	Next    *string  `json:"next" about:"to be given as after, for the page that follows; null where there is nothing left but that the caller has asked for records"`
	End     bool     `json:"end" about:"there was nothing more when the request came; oldest first there may be later"`
}

// audit answers with the audit records that the caller may see: as a page, or as lines of JSON.
func (c *call) audit() (rest.Answer, error) {
	q, err := c.records()
	if err != nil {
		return rest.Answer{}, err
	}
	c.Meta.Details.Object = cmp.Or(q.Object, q.Subject, q.Actor)
	c.ready(c.Audit)
	if c.media == mediaLines {
		return c.lines(func(ctx context.Context, w *lineWriter) error { return c.allRecords(ctx, q, w) }), nil
	}
	q.Limit = c.query.page()
	found, err := c.Audit.Page(c.Context(), q, c.mayView)
	if err != nil {
		return rest.Answer{}, err
	}
	page := recordPage{Records: []record{}, End: found.End}
	own := 0
	for _, r := range found.Records {
		page.Records = append(page.Records, shownRecord(r))
		if c.isOwn(r.Credential, r.Route) {
			own++
		}
	}
	page.Next = onward(recordCursor(found.Last), found.End && own == len(found.Records))
	return shows(page, len(page.Records))
}

// records reads the query.
func (c *call) records() (audit.Query, error) {
	q := c.query
	after, err := readRecordCursor(q.text("after"))
	return audit.Query{
		After: after, Newest: q.text("order") == "newest", Request: q.id("request"), Actor: q.text("actor"), Subject: q.text("subject"),
		Object: q.text("object"), Outcome: q.text("outcome"), Route: q.text("route"), From: q.time("from"), To: q.time("to"),
	}, err
}

// allRecords writes records page by page.
func (c *call) allRecords(ctx context.Context, q audit.Query, w *lineWriter) error {
	for {
		page, err := c.Audit.Page(ctx, q, c.mayView)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if err := w.write(shownRecord(r)); err != nil {
				return err
			}
		}
		if page.End {
			return nil
		}
		if err := w.lookUp(); err != nil {
			return err
		}
		q.After = page.Last
	}
}

// mayView asks the policy for a record: whoever may view everything may view this, else it depends on the object that
// the request named, and on whom it was about.
func (c *call) mayView(r audit.Record) bool {
	return c.allowed(policy.AuditView, policy.Object{}) ||
		c.allowed(policy.AuditView, policy.Object{ID: r.Object}) || c.allowed(policy.AuditView, policy.Object{ID: r.Subject})
}

func shownRecord(r audit.Record) record {
	return record{
		Time: r.Time, Request: r.Request, Actor: r.Actor, Credential: orNull(r.Credential), APIKey: orNull(r.APIKey),
		Address: orNull(r.Address), Agent: orNull(r.Agent), Method: orNull(r.Method), Route: orNull(r.Route), Object: orNull(r.Object),
		Subject: orNull(r.Subject), Command: orNull(r.Command), Reason: orNull(r.Reason),
		Outcome: r.Outcome, Code: orNull(r.Code), Status: orNull(r.Status), Rows: r.Rows, Events: r.Events,
	}
}
