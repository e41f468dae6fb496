package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"strandline/domain"
)

// projectionPath is where a projection is asked for, or told a word.
func projectionPath(name, word string) string {
	return "/strandline/v1/projections/" + url.PathEscape(name) + "/" + word
}

// projectionNames completes the names of projections.
func projectionNames(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []cobra.Completion{"audit", "directory", "documents", "series"}, cobra.ShellCompDirectiveNoFileComp
}

// changeOnline has a running server rebuild a projection, or revert it, and watches until it is done.
func changeOnline(ctx context.Context, o *connection, env lookup, name, word string, io streams) (projectionStatus, error) {
	c, err := o.open(env)
	if err != nil {
		return projectionStatus{}, err
	}
	if err := c.ask(ctx, http.MethodPost, projectionPath(name, word), nil, nil); err != nil {
		return projectionStatus{}, err
	}
	return c.watch(ctx, name, word, io)
}

// watch shows how far a rebuild or a way back is, until it is done, and returns how the projection is then, or has failed. One
// that another process fills cannot be watched here.
func (c *client) watch(ctx context.Context, name, word string, io streams) (projectionStatus, error) {
	watch := newProgress(io.err, word+" "+name)
	defer watch.stop()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		status, err := c.projection(ctx, name)
		switch {
		case ctx.Err() != nil:
			return status, exitWith(exitInterrupted, errors.New("interrupted: the server goes on with it; see 'strandline projection list'"))
		case err != nil:
			return status, err
		case status.Follows:
			return status, nil
		case status.Rebuilding == nil && status.Failed != "":
			return status, fmt.Errorf("the %s of %s failed, and what there was goes on serving: %s", word, name, visible(status.Failed))
		case status.Rebuilding == nil:
			watch.done()
			return status, nil
		}
		watch.show(status.Rebuilding.Share, time.Duration(status.Rebuilding.Remaining*float64(time.Second)))
		select {
		case <-time.After(pause):
		case <-ctx.Done(): // said above
		}
	}
}

// projection is one of the projections of a running server.
func (c *client) projection(ctx context.Context, name string) (projectionStatus, error) {
	list, err := c.projections(ctx)
	if err != nil {
		return projectionStatus{}, err
	}
	return named(list, name)
}

// parkedEvent is an event that a projection does not hold.
type parkedEvent struct {
	Position string `json:"position"`
	State    string `json:"state"`
	Stream   string `json:"stream"`
	Type     string `json:"type"`
	Error    string `json:"error"`
	Attempts int    `json:"attempts"`
}

func newProjectionParked(env lookup, io streams) *cobra.Command {
	var from connection
	var o output
	c := &cobra.Command{
		Use:   "parked NAME",
		Short: "List the events that a projection does not hold, and why",
		Example: "  strandline projection parked series" + asRoot + `
  strandline projection parked series --only position` + asRoot,
		Args: oneProjection, ValidArgsFunction: projectionNames,
		RunE: func(c *cobra.Command, args []string) error {
			client, err := from.open(env)
			if err != nil {
				return err
			}
			all, err := client.pages(c.Context(), projectionPath(args[0], "parked"), "parked", url.Values{})
			if err != nil {
				return err
			}
			if !o.forPeople() {
				return o.array(io.out, all)
			}
			return printParked(newTable(io.out, paintFor(io.out, env), "POSITION", "STATE", "TYPE", "STREAM", "<ATTEMPTS", "WHY"), all)
		},
	}
	from.flags(c)
	o.arrayFlags(c)
	return c
}

func printParked(t *table, all []json.RawMessage) error {
	for _, object := range all {
		var p parkedEvent
		if err := json.Unmarshal(object, &p); err != nil {
			return notAsExpected(err)
		}
		if err := t.row(colourNone, p.Position, p.State, p.Type, column(p.Stream), strconv.Itoa(p.Attempts), p.Error); err != nil {
			return err
		}
	}
	return t.flush()
}

func newProjectionPark(env lookup, io streams) *cobra.Command {
	return newMending(env, io, mending{word: "park", done: "set aside", needs: "the positions to set aside"}, &cobra.Command{
		Use:   "park NAME POSITION...",
		Short: "Leave events out of a projection until they are tried again, so that the rest can go on",
		Long: `Leave events out of a projection until they are tried again, so that the rest can go on. The projection is made again
without them, beside the one that serves. The decision is on the record.`,
		Example: "  strandline projection park series " + anObservation + asRoot,
	})
}

func newProjectionRetry(env lookup, io streams) *cobra.Command {
	return newMending(env, io, mending{word: "retry", done: "tried again"}, &cobra.Command{
		Use:   "retry NAME [POSITION...]",
		Short: "Try parked events again: those named, or all",
		Long: `Try events again that a projection does not hold: those named, or all that are parked or could not be applied. The
projection is made again, so that each is applied in its place.`,
		Example: "  strandline projection retry series" + asRoot,
	})
}

func newProjectionDiscard(env lookup, io streams) *cobra.Command {
	c := newMending(env, io, mending{word: "discard", done: "left out for good", needs: "the positions to leave out for good, or --all for all that are parked"}, &cobra.Command{
		Use:   "discard NAME POSITION... | --all",
		Short: "Leave parked events out of a projection for good",
		Long: `Leave parked events out of a projection for good. They stay in the log. The decision is on the record, and a projection
that is made again keeps to it.`,
		Example: "  strandline projection park series " + anObservation + asRoot + ` && strandline projection discard series --all` + asRoot,
	})
	return c
}

// anObservation is how an example finds the position of an event that a projection holds.
const anObservation = "$(strandline log find --type observation.recorded --newest --limit 1 --only position" + asRoot + ")"

// mending is a word that a projection is told about events.
type mending struct{ word, done, needs string }

// newMending completes a command that tells a projection what to do with events.
func newMending(env lookup, io streams, m mending, c *cobra.Command) *cobra.Command {
	var from connection
	var form output
	var all bool
	c.ValidArgsFunction = projectionNames
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(c, errors.New("name a projection"))
		}
		if m.needs != "" && len(args) == 1 && !all {
			return usage(c, errors.New("name "+m.needs))
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		q := url.Values{}
		for _, position := range args[1:] {
			if _, err := domain.ParsePosition(position); err != nil {
				return exitWith(exitUsage, fmt.Errorf("%q is no position: see 'strandline projection parked %s'", position, args[0]))
			}
			q.Add("position", position)
		}
		client, err := from.open(env)
		if err != nil {
			return err
		}
		if err := client.ask(c.Context(), http.MethodPost, projectionPath(args[0], m.word)+"?"+q.Encode(), nil, nil); err != nil {
			return err
		}
		p, err := client.watch(c.Context(), args[0], "rebuild", io)
		if err != nil {
			return err
		}
		return form.printProjection(p, fmt.Sprintf("%s: %s; %d parked, %d discarded", p.Name, m.done, p.Parked, p.Discarded), io.out)
	}
	from.flags(c)
	form.flags(c)
	if m.word == "discard" {
		c.Flags().BoolVar(&all, "all", false, "all that are parked")
	}
	return c
}
