package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// audited holds the flags of `audit`.
type audited struct {
	connection
	output
	actor, subject, object, outcome, route, request, from, to, after string
	newest                                                           bool
	limit                                                            int
}

func newAudit(env lookup, io streams) *cobra.Command {
	var o audited
	c := &cobra.Command{
		Use:   "audit",
		Short: "Print who asked what, and what came of it",
		Long: `Print one row for each request: when it came, what came of it, who asked, for what, about whom, and how many rows it was
shown. Only those requests are shown that the caller may see. Asking is itself on the record.`,
		Example: `  strandline audit --newest --limit 10 --credential-file data/root-credential.json
  strandline audit --outcome refused --from 7d --credential-file data/root-credential.json
  strandline audit --subject ` + aSubject + ` --reason "yearly review"` + asRoot + `
  strandline audit --actor root --json --credential-file data/root-credential.json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), env, io) },
	}
	o.connection.flags(c)
	c.Flags().StringVar(&o.actor, "actor", "", "only what this id asked; also root, system, anonymous")
	c.Flags().StringVar(&o.subject, "subject", "", "only requests about this person")
	c.Flags().StringVar(&o.object, "object", "", "only requests that named this object")
	c.Flags().StringVar(&o.outcome, "outcome", "", "only requests of which this came: done, served, refused, quiet, flooded")
	c.Flags().StringVar(&o.request, "request", "", "only the request with this id, which answers tell in the header Strandline-Request")
	c.Flags().StringVar(&o.route, "route", "", "only requests of this route, such as /participant/{id}")
	c.Flags().StringVar(&o.from, "from", "", "only from this time on: "+momentHelp)
	c.Flags().StringVar(&o.to, "to", "", "only before this time")
	c.Flags().StringVar(&o.after, "after", "", "begin after this place: next of a page of the API")
	c.Flags().BoolVar(&o.newest, "newest", false, "the newest first (default: the oldest)")
	limitFlag(c, &o.limit, 100, "at most so many; 0 is all")
	o.output.flags(c)
	_ = c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions([]cobra.Completion{"done", "served", "refused", "quiet", "flooded"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// auditRecord is what people are shown of a request.
type auditRecord struct {
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Method  string    `json:"method"`
	Route   string    `json:"route"`
	Object  string    `json:"object"`
	Subject string    `json:"subject"`
	Outcome string    `json:"outcome"`
	Status  int       `json:"status"`
	Rows    int       `json:"rows"`
	Address string    `json:"address"`
}

func (o *audited) run(ctx context.Context, env lookup, io streams) error {
	q, err := o.query(time.Now())
	if err != nil {
		return err
	}
	client, err := o.open(env)
	if err != nil {
		return err
	}
	answer, err := client.lines(ctx, "/strandline/v1/audit?"+q.Encode())
	if err != nil {
		return err
	}
	defer answer.close()
	watch := newProgress(io.err, "audit")
	defer watch.stop()
	to := bufio.NewWriter(io.out)
	shown := newTable(to, paintFor(io.out, env), "TIME (UTC)", "OUTCOME", "<STATUS", "ACTOR", "REQUEST", "OBJECT", "SUBJECT", "<ROWS", "FROM")
	rows := 0
	for line, err := range answer.all(ctx) {
		if rows == o.limit && o.limit > 0 && err == nil {
			o.moreThan(o.limit, io.err)
			break
		}
		if err == nil {
			err = o.row(to, shown, watch, line)
		}
		if err != nil {
			return errors.Join(err, o.end(to, shown, rows > 0))
		}
		rows++
	}
	return o.end(to, shown, true)
}

func (o *audited) query(now time.Time) (url.Values, error) {
	from, err := moment("from", o.from, now)
	if err != nil {
		return nil, err
	}
	to, err := moment("to", o.to, now)
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	for name, value := range map[string]string{
		"actor": o.actor, "subject": o.subject, "object": o.object, "outcome": o.outcome, "route": o.route, "request": o.request, "from": from, "to": to, "after": o.after,
	} {
		pick(q, name, value)
	}
	if o.newest {
		q.Set("order", "newest")
	}
	setLimit(q, o.probing(o.limit))
	return q, nil
}

func readAuditRecord(line []byte) (r auditRecord, err error) {
	if err := json.Unmarshal(line, &r); err != nil {
		return r, notAsExpected(err)
	}
	if r.Time.IsZero() {
		return r, notAsExpected(errors.New("a record without a time"))
	}
	return r, nil
}

func (o *audited) row(to io.Writer, shown *table, watch *progress, line []byte) error {
	r, err := readAuditRecord(line)
	if err != nil {
		return err
	}
	watch.since(r.Time)
	if done, err := o.raw(to, line); done {
		return err
	}
	status, colour := "", colourNone
	if r.Status != 0 {
		status = strconv.Itoa(r.Status)
	}
	if r.Outcome == "refused" {
		colour = colourRed
	}
	return shown.row(colour, clockTime(r.Time), r.Outcome, status, r.Actor, r.Method+" "+r.Route, r.Object, r.Subject, strconv.Itoa(r.Rows), r.Address)
}

// end writes what has not been written yet.
func (o *audited) end(to *bufio.Writer, shown *table, something bool) error {
	if something && !o.json && o.only == "" {
		if err := shown.flush(); err != nil {
			return err
		}
	}
	return to.Flush()
}
