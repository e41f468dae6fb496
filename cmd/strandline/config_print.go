package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newConfig(to streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "Show what the server would be set to",
		Example: "  strandline config print --config strandline.yaml",
		Args:    knownCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigPrint(to))
	return c
}

func newConfigPrint(to streams) *cobra.Command {
	var o serve
	var asJSON bool
	c := &cobra.Command{
		Use:   "print",
		Short: "Print each setting of serve, and where its value comes from",
		Long: `Print each setting of serve, and where its value comes from: a flag, the environment, a line of the file that --config
names, or the default. It takes the flags of serve, and refuses what serve would refuse: unknown settings and variables,
and values that make no sense, as far as that can be told without opening anything. Secrets are not shown.`,
		Example: `  strandline config print --config strandline.yaml --listen 127.0.0.1:9090
  strandline config print --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := printSettings(c.Flags(), asJSON, to); err != nil {
				return err
			}
			return o.sane() // last, so that it is shown where a value comes from
		},
	}
	o.flags(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	aside(c.Flags(), "json")
	return c
}

// sane refuses values that serve would refuse, as far as that can be told without opening anything.
func (o *serve) sane() error {
	log, err := o.logging.logger(io.Discard)
	if err != nil {
		return err
	}
	if err := o.check(log); err != nil {
		return err
	}
	if _, err := o.does(log); err != nil {
		return err
	}
	if _, err := o.engines.influx.parse(); err != nil {
		return err
	}
	return isPlainAddress(o.listen)
}

// setting is a setting as it is shown.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`          // default, file, environment or flag
	Where  string `json:"where,omitempty"` // FILE:LINE, or the variable
}

// shownSettings lists what the settings have come to.
func shownSettings(flags *pflag.FlagSet) (all []setting) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Annotations[annotationAside] != nil {
			return
		}
		value := f.Value.String()
		if isSecret(f) && value != "" {
			value = "********"
		}
		if a, ok := f.Value.(*address); ok {
			value = a.shown()
		}
		from := originOf(f)
		all = append(all, setting{f.Name, value, from.kind, from.where})
	})
	return all
}

func printSettings(flags *pflag.FlagSet, asJSON bool, to streams) error {
	all := shownSettings(flags)
	if asJSON {
		lines := json.NewEncoder(to.out)
		lines.SetIndent("", "  ")
		return lines.Encode(map[string][]setting{"settings": all})
	}
	w := tabwriter.NewWriter(to.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SETTING\tVALUE\tSOURCE")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, origin{kind: s.Source, where: s.Where})
	}
	return w.Flush()
}
