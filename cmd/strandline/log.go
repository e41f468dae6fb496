package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"strandline/domain/codec"
)

func newLog(env lookup, io streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "log",
		Short:   "Read the log of events of a running server",
		Example: "  strandline log tail --credential-file data/root-credential.json",
		Args:    knownCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newTail(env, io), newShow(env, io), newFind(env, io), newStats(env, io))
	return c
}

// event is what a line of the log holds, as far as people are shown it.
type event struct {
	Position    string          `json:"position"`
	Stream      string          `json:"stream"`
	Revision    uint64          `json:"revision"`
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	Version     int             `json:"version"`
	Time        time.Time       `json:"time"`
	Actor       string          `json:"actor"`
	Credential  string          `json:"credential"`
	APIKey      string          `json:"api_key"`
	Subject     string          `json:"subject"`
	Correlation string          `json:"correlation"`
	Causation   string          `json:"causation"`
	Command     string          `json:"command"`
	Data        json.RawMessage `json:"data"`
	Sealed      bool            `json:"sealed"`
	Sentence    string          `json:"sentence"`
}

// readEvent reads a line of the log.
func readEvent(line []byte) (e event, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return e, notAsExpected(err)
	}
	if e.Position == "" {
		return e, notAsExpected(errors.New("an event without a position"))
	}
	return e, nil
}

// printEvent prints a line of the log in the form that was asked for.
func (o *output) printEvent(to io.Writer, p paint, line []byte) error {
	if done, err := o.raw(to, line); done {
		return err
	}
	e, err := readEvent(line)
	if err != nil {
		return err
	}
	colour := colourNone
	if e.Type == "access.refused" {
		colour = colourRed
	}
	_, err = fmt.Fprintf(to, "%s  %s  %s\n", p.faint(visible(e.Position)), p.faint(clockTime(e.Time)), p.with(colour, visible(e.Sentence)))
	return err
}

// filter holds the flags that select events.
type filter struct {
	stream, kind, subject, actor, correlation, from, to string
}

func (f *filter) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.stream, "stream", "", "only events of this stream")
	c.Flags().StringVar(&f.kind, "type", "", "only events of this type, such as study.added")
	c.Flags().StringVar(&f.subject, "subject", "", "only events about this person or thing")
	c.Flags().StringVar(&f.actor, "actor", "", "only what this id did; also root, system, anonymous")
	c.Flags().StringVar(&f.correlation, "correlation", "", "only what the request with this id led to")
	c.Flags().StringVar(&f.from, "from", "", "only events from this time on: "+momentHelp)
	c.Flags().StringVar(&f.to, "to", "", "only events before this time")
	// The flag is of this command, so that it can be completed.
	_ = c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(eventTypes(), cobra.ShellCompDirectiveNoFileComp))
}

// eventTypes names the types of events that this program knows.
func eventTypes() (names []cobra.Completion) {
	for _, t := range codec.Types() {
		names = append(names, t.Name)
	}
	return names
}

// query is what the server is asked to select by.
func (f *filter) query(now time.Time) (url.Values, error) {
	from, err := moment("from", f.from, now)
	if err != nil {
		return nil, err
	}
	to, err := moment("to", f.to, now)
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	for name, value := range map[string]string{
		"stream": f.stream, "type": f.kind, "subject": f.subject, "actor": f.actor, "correlation": f.correlation, "from": from, "to": to,
	} {
		pick(q, name, value)
	}
	return q, nil
}

// pick adds a value to a query, unless it is empty.
func pick(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// setLimit adds a limit to a query; 0 is none.
func setLimit(q url.Values, limit int) {
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
}

// eventsPath is where events are asked for.
func eventsPath(q url.Values) string { return "/strandline/v1/events?" + q.Encode() }
