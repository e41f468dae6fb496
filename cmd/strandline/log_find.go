package main

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// find holds the flags of `log find`.
type find struct {
	connection
	filter
	output
	choice
	text string
}

func newFind(env lookup, io streams) *cobra.Command {
	var o find
	c := &cobra.Command{
		Use:   "find",
		Short: "Find events by what they are, whom they are about, who did them, when, or a word of their sentence",
		Long: `Find events by what they are, whom they are about, who did them and when, which the server selects by, and by a word
of their sentence, which is looked for here. The oldest come first, or with --newest the newest.`,
		Example: `  strandline log find --type participant.added --credential-file data/root-credential.json
  strandline log find --newest --limit 5 --actor root --from 24h --credential-file data/root-credential.json
  strandline log find --text "heart_rate" --json --credential-file data/root-credential.json
  strandline log find --type observation.recorded --only subject --credential-file data/root-credential.json | sort -u`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), env, io) },
	}
	o.connection.flags(c)
	o.filter.flags(c)
	o.choice.flags(c, 20)
	o.output.flags(c)
	c.Flags().StringVar(&o.text, "text", "", "only events whose sentence holds this, in whatever case")
	return c
}

func (o *find) run(ctx context.Context, env lookup, io streams) error {
	if err := o.check(); err != nil {
		return err
	}
	client, err := o.open(env)
	if err != nil {
		return err
	}
	q, err := o.query(time.Now())
	if err != nil {
		return err
	}
	if o.text == "" && !o.newest {
		setLimit(q, o.probing(o.limit)) // else it is counted here
	}
	answer, err := client.lines(ctx, eventsPath(q))
	if err != nil {
		return err
	}
	defer answer.close()
	watch := newProgress(io.err, "find")
	defer watch.stop()
	to, p := bufio.NewWriter(io.out), paintFor(io.out, env)
	for line, err := range o.rows(ctx, answer, o.matcher(watch, answer)) {
		if err == nil {
			err = o.printEvent(to, p, line)
		}
		if err != nil {
			return errors.Join(err, to.Flush())
		}
	}
	if o.more {
		o.moreThan(o.limit, io.err)
	}
	return to.Flush()
}

// matcher tells which events are looked for, and shows how far the looking is.
func (o *find) matcher(watch *progress, answer *lines) func(line []byte) (bool, error) {
	text := strings.ToLower(o.text)
	return func(line []byte) (bool, error) {
		e, err := readEvent(line)
		if err != nil {
			return false, err
		}
		watch.at(e, answer.head)
		return strings.Contains(strings.ToLower(e.Sentence), text), nil
	}
}
