package main

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newServices(env lookup, io streams) *cobra.Command {
	var from connection
	var o output
	c := &cobra.Command{
		Use:   "services",
		Short: "List the processes that make up the installation",
		Example: "  strandline services" + asRoot + `
  strandline services --json` + asRoot,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := from.open(env)
			if err != nil {
				return err
			}
			all, err := client.pages(c.Context(), "/strandline/v1/services", "services", url.Values{})
			if err != nil {
				return err
			}
			if !o.forPeople() {
				return o.array(io.out, all)
			}
			return printServices(newTable(io.out, paintFor(io.out, env), "NAME", "VERSION", "DOES", "ADDRESSES", "STARTED (UTC)", "ALIVE (UTC)", "ID"), all)
		},
	}
	from.flags(c)
	o.arrayFlags(c)
	return c
}

func printServices(t *table, all []json.RawMessage) error {
	for _, object := range all {
		var s struct {
			ID, Name, Version  string
			Roles, Addresses   []string
			Started, Heartbeat time.Time
		}
		if err := json.Unmarshal(object, &s); err != nil {
			return notAsExpected(err)
		}
		if err := t.row(colourNone, s.Name, s.Version, strings.Join(s.Roles, " "), strings.Join(s.Addresses, " "),
			clockTime(s.Started), clockTime(s.Heartbeat), s.ID); err != nil {
			return err
		}
	}
	return t.flush()
}
