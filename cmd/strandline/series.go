package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// seriesFlags are the flags of `series`.
type seriesFlags struct {
	connection
	output
	names, channels []string
	from, to        string
	limit           int
	window, field   string
	aggregate       []string
	latest          bool
}

// aSubject is how an example finds somebody of whom there are readings.
const aSubject = "$(strandline log find --type observation.recorded --limit 1 --only subject" + asRoot + ")"

func newSeries(env lookup, io streams) *cobra.Command {
	var o seriesFlags
	c := &cobra.Command{
		Use:   "series SUBJECT",
		Short: "Print what was observed of a person, or sum it up in windows of time",
		Long: `Print what was observed of a person, oldest first. With --window it is summed up in windows of time, and drawn. Values
that are objects are summed up by their member value, or by the one that --field names.`,
		Example: `  strandline series ` + aSubject + ` --name lamp.heart_rate --limit 5 --credential-file data/root-credential.json
  strandline series ` + aSubject + ` --name lamp.heart_rate --window 1d --field value --credential-file data/root-credential.json
  strandline series ` + aSubject + ` --from 7d --window 6h --aggregate count,mean --field value --json --credential-file data/root-credential.json`,
		Args:              oneSubject,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c.Context(), env, args[0], io) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.from, "from", "", "only from this time on: "+momentHelp)
	c.Flags().StringVar(&o.to, "to", "", "only before this time")
	limitFlag(c, &o.limit, 100, "at most so many rows; 0 is all")
	c.Flags().StringVar(&o.window, "window", "", "sum up in windows of this length: 5m, 1h, 1d, 1w")
	c.Flags().StringSliceVar(&o.aggregate, "aggregate", nil, "of each window: some of count, min, max, mean, last (default: all)")
	c.Flags().StringVar(&o.field, "field", "", "sum up this member of values that are objects, a path with dots")
	_ = c.RegisterFlagCompletionFunc("aggregate", cobra.FixedCompletions(allAggregates, cobra.ShellCompDirectiveNoFileComp))
	c.AddCommand(newSeriesLatest(env, io))
	return c
}

func newSeriesLatest(env lookup, io streams) *cobra.Command {
	o := seriesFlags{latest: true}
	c := &cobra.Command{
		Use:               "latest SUBJECT",
		Short:             "Print the latest reading of each series of a person",
		Example:           `  strandline series latest ` + aSubject + ` --credential-file data/root-credential.json`,
		Args:              oneSubject,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c.Context(), env, args[0], io) },
	}
	o.flags(c)
	return c
}

// flags adds those that both commands have.
func (o *seriesFlags) flags(c *cobra.Command) {
	o.connection.flags(c)
	o.output.flags(c)
	c.Flags().StringArrayVar(&o.names, "name", nil, "only series with this name, such as lamp.heart_rate; may be repeated")
	c.Flags().StringArrayVar(&o.channels, "channel", nil, "only series of this channel, such as lamp.sensor; may be repeated")
}

func oneSubject(c *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usage(c, errors.New("name one subject, such as U0123456789"))
	}
	return nil
}

func (o *seriesFlags) run(ctx context.Context, env lookup, subject string, io streams) error {
	path, err := o.path(subject, time.Now())
	if err != nil {
		return err
	}
	client, err := o.open(env)
	if err != nil {
		return err
	}
	answer, err := client.lines(ctx, path)
	if err != nil {
		return err
	}
	defer answer.close()
	shown := o.printer(io.out, paintFor(io.out, env))
	rows := 0
	for line, err := range answer.all(ctx) {
		if err != nil && rows > 0 {
			err = errors.Join(shown.end(), err)
		}
		if err != nil {
			return err
		}
		if rows == o.limit && o.limit > 0 {
			o.moreThan(o.limit, io.err)
			break
		}
		rows++
		if err := o.row(shown, io.out, line); err != nil {
			return err
		}
	}
	return shown.end()
}

// path is what is asked for: one row more than is shown, so that it is known whether there are more.
func (o *seriesFlags) path(subject string, now time.Time) (string, error) {
	path := "/strandline/v1/subjects/" + url.PathEscape(subject) + "/series"
	q := url.Values{"name": o.names, "channel": o.channels}
	if o.latest {
		return path + "/latest?" + q.Encode(), nil
	}
	for name, text := range map[string]string{"from": o.from, "to": o.to} {
		at, err := moment(name, text, now)
		if err != nil {
			return "", err
		}
		pick(q, name, at)
	}
	setLimit(q, o.probing(o.limit))
	pick(q, "window", o.window)
	pick(q, "field", o.field)
	pick(q, "aggregate", strings.Join(o.aggregate, ","))
	return path + "?" + q.Encode(), nil
}

func (o *seriesFlags) row(shown rowPrinter, to io.Writer, line []byte) error {
	if done, err := o.raw(to, line); done {
		return err
	}
	return shown.row(line)
}

// rowPrinter shows rows to people.
type rowPrinter interface {
	row(line []byte) error
	end() error
}

func (o *seriesFlags) printer(to io.Writer, p paint) rowPrinter {
	switch {
	case o.json || o.only != "":
		return silent{}
	case o.window != "":
		return newWindowPrinter(to, p, o.aggregate)
	}
	return samplePrinter{newTable(to, p, "TIME (UTC)", "CHANNEL", "NAME", "VALUE", "POSITION")}
}

// silent shows nothing: what there is has been printed as it came.
type silent struct{}

func (silent) row([]byte) error { return nil }
func (silent) end() error       { return nil }

// samplePrinter shows samples.
type samplePrinter struct{ table *table }

func (s samplePrinter) row(line []byte) error {
	var x struct {
		Time                    *int64
		Channel, Name, Position string
		Value                   json.RawMessage
	}
	if err := json.Unmarshal(line, &x); err != nil {
		return notAsExpected(err)
	}
	at := "unknown"
	if x.Time != nil {
		at = clockTime(time.UnixMilli(*x.Time))
	}
	return s.table.row(colourNone, at, x.Channel, x.Name, column(string(x.Value)), x.Position)
}

func (s samplePrinter) end() error { return s.table.flush() }

// column is the beginning of a text, as long as fits in a column.
func column(text string) string {
	const width = 60
	if letters := []rune(text); len(letters) > width {
		return string(letters[:width-1]) + "…"
	}
	return text
}
