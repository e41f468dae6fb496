package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// pages asks for a list page after page, and returns the objects that are its member.
func (c *client) pages(ctx context.Context, path, member string, q url.Values) (all []json.RawMessage, err error) {
	for {
		var page map[string]json.RawMessage
		if err := c.get(ctx, path+"?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		var objects []json.RawMessage
		if err := json.Unmarshal(page[member], &objects); err != nil {
			return nil, notAsExpected(fmt.Errorf("%s: %w", member, err))
		}
		all = append(all, objects...)
		var next string
		var end bool
		_ = json.Unmarshal(page["next"], &next) // a list that has no pages has no next
		_ = json.Unmarshal(page["end"], &end)
		if end || next == "" || next == q.Get("after") {
			return all, nil
		}
		q.Set("after", next)
	}
}

// array prints objects of the server's as one array, or a member of each.
func (o *output) array(to io.Writer, objects []json.RawMessage) error {
	if o.only != "" {
		for _, object := range objects {
			if err := o.member(to, object); err != nil {
				return err
			}
		}
		return nil
	}
	var b strings.Builder
	for i, object := range objects {
		if i > 0 {
			b.WriteString(",\n ")
		}
		b.Write(visibleJSON(object))
	}
	_, err := fmt.Fprintf(to, "[%s]\n", b.String())
	return err
}

// values is array for what this program has put together.
func (o *output) values(to io.Writer, list any) error {
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	var objects []json.RawMessage
	if err := json.Unmarshal(text, &objects); err != nil {
		return err
	}
	return o.array(to, objects)
}

// forPeople tells whether it is people who ask.
func (o *output) forPeople() bool { return !o.json && o.only == "" }

// arrayFlags are flags for lists that are printed as one array.
func (o *output) arrayFlags(c *cobra.Command) {
	o.flags(c)
	c.Flags().Lookup("json").Usage = "print JSON, one array"
}

// group is a command that does nothing but hold others.
func group(use, short, example string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: "  " + example,
		Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(below...)
	return c
}

// exactly refuses any other number of arguments, with the words for what is wanted.
func exactly(n int, wanted string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		for _, a := range args {
			if a == "" {
				return usage(c, fmt.Errorf("an argument is empty: name %s", wanted))
			}
		}
		if len(args) != n {
			return usage(c, fmt.Errorf("name %s", wanted))
		}
		return nil
	}
}

// pickMember adds a text to what is sent, unless it is empty.
func pickMember(body map[string]any, name, value string) {
	if value != "" {
		body[name] = value
	}
}

// validity holds the flags of how long something holds.
type validity struct{ from, to string }

const validityHelp = "as 2026-01-31, 2026-01-31T08:30:00Z, or so long from now: 90m, 24h, 30d"

func (v *validity) flags(c *cobra.Command) {
	c.Flags().StringVar(&v.from, "from", "", "it holds from this time on (default: now), "+validityHelp)
	c.Flags().StringVar(&v.to, "to", "", "it holds until before this time (default: until it is ended)")
}

// into puts the times into what is sent.
func (v *validity) into(body map[string]any, now time.Time) error {
	for flag, text := range map[string]string{"from": v.from, "to": v.to} {
		at, err := readMoment(flag, text, now, 1, validityHelp)
		if err != nil {
			return err
		}
		if at != "" {
			body[flag] = at
		}
	}
	return nil
}

// until is a time that something holds from or to, for people.
func until(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// orInstallation is the id of an object, for people.
func orInstallation(id *string) string {
	if id == nil {
		return "(installation)"
	}
	return *id
}
