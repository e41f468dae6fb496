package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"strandline/domain"
)

// show holds the flags of `log show`.
type show struct {
	connection
	output
}

func newShow(env lookup, io streams) *cobra.Command {
	var o show
	c := &cobra.Command{
		Use:   "show POSITION",
		Short: "Print everything about one event",
		Long:  "Print everything about the event at a position, as 'log tail' and 'log find' print them: who, when, what, and why.",
		Example: `  strandline log show 1 --credential-file data/root-credential.json
  strandline log show 1 --json --credential-file data/root-credential.json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(c, errors.New("name one position"))
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c.Context(), env, args[0], io) },
	}
	o.connection.flags(c)
	o.output.flags(c)
	return c
}

func (o *show) run(ctx context.Context, env lookup, text string, io streams) error {
	at, err := domain.ParsePosition(text)
	if err != nil {
		return exitWith(exitUsage, fmt.Errorf("%q is no position: see the first column of 'strandline log tail'", text))
	}
	client, err := o.open(env)
	if err != nil {
		return err
	}
	object, err := client.eventAt(ctx, at)
	if err != nil {
		return err
	}
	if done, err := o.raw(io.out, object); done {
		return err
	}
	e, err := readEvent(object)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(io.out, e.layout(paintFor(io.out, env)))
	return err
}

// eventAt asks for the event at a position: the first after the place just before it.
func (c *client) eventAt(ctx context.Context, at domain.Position) (json.RawMessage, error) {
	q := url.Values{"limit": {"1"}}
	if before := justBefore(at); !before.IsZero() {
		q.Set("after", before.String())
	}
	var page struct{ Events []json.RawMessage }
	if err := c.get(ctx, eventsPath(q), &page); err != nil {
		return nil, err
	}
	for _, object := range page.Events {
		if e, err := readEvent(object); err != nil || e.Position == at.String() {
			return object, err
		}
	}
	return nil, exitWith(exitRefused, fmt.Errorf("there is no event at %s that this caller may open", at))
}

// justBefore is the place with nothing between it and a position.
func justBefore(p domain.Position) domain.Position {
	switch {
	case p.Prepare > 0:
		return domain.Position{Commit: p.Commit, Prepare: p.Prepare - 1}
	case p.Commit > 0:
		return domain.Position{Commit: p.Commit - 1, Prepare: math.MaxUint64}
	}
	return p
}

// layout is everything about an event, for people.
func (e event) layout(p paint) string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s  %s\n", p.faint(fmt.Sprintf("%-11s", name)), visible(value))
		}
	}
	field("position", e.Position)
	field("time", clockTime(e.Time)+" UTC")
	field("what", e.Sentence)
	field("type", fmt.Sprintf("%s, version %d", e.Type, e.Version))
	field("id", e.ID)
	field("stream", fmt.Sprintf("%s, revision %d", e.Stream, e.Revision))
	field("actor", e.Actor)
	field("credential", e.Credential)
	field("API key", e.APIKey)
	field("subject", e.Subject)
	field("command", e.Command)
	field("correlation", e.Correlation)
	field("causation", e.Causation)
	b.WriteString(e.content(p))
	if e.Correlation != "" {
		fmt.Fprintf(&b, "\nAll that the same request led to: strandline log find --correlation %s\n", visible(e.Correlation))
	}
	return b.String()
}

// content is what stands in the event.
func (e event) content(p paint) string {
	if e.Sealed {
		return p.faint("data       ") + "  sealed: its key has been destroyed, so that nobody can ever read it\n"
	}
	var text bytes.Buffer
	if json.Indent(&text, e.Data, "", "  ") != nil {
		return "" // there is none
	}
	return p.faint("data") + "\n" + visibleLines(text.String()) + "\n"
}
