package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// find holds the flags of `log find`.
type find struct {
	connection
	filter
	output
	text   string
	newest bool
	limit  int
}

// mostKept bounds how many events are kept in memory to be turned around.
const mostKept = 10_000

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
	o.output.flags(c)
	c.Flags().StringVar(&o.text, "text", "", "only events whose sentence holds this, in whatever case")
	c.Flags().BoolVar(&o.newest, "newest", false, "the newest first (default: the oldest)")
	c.Flags().IntVar(&o.limit, "limit", 20, "at most so many; 0 is all")
	return c
}

func (o *find) run(ctx context.Context, env lookup, io streams) error {
	if o.newest && (o.limit <= 0 || o.limit > mostKept) {
		return exitWith(exitUsage, errors.New("--newest needs a --limit from 1 to 10000, since the newest are read last"))
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
		setLimit(q, o.limit) // else it is counted here
	}
	answer, err := client.lines(ctx, eventsPath(q))
	if err != nil {
		return err
	}
	defer answer.close()
	to := bufio.NewWriter(io.out)
	watch := newProgress(io.err, "find")
	defer watch.stop()
	err = o.print(ctx, answer, to, paintFor(io.out, env), watch)
	return errors.Join(err, to.Flush())
}

func (o *find) print(ctx context.Context, answer *lines, to *bufio.Writer, p paint, watch *progress) error {
	var kept [][]byte // the newest, the oldest of them first
	found := 0
	for line, err := range answer.all(ctx) {
		if err != nil {
			return err
		}
		e, err := readEvent(line)
		if err != nil {
			return err
		}
		watch.at(e, answer.head)
		if !o.matches(e) {
			continue
		}
		if found++; o.newest {
			kept = append(kept, bytes.Clone(line))
			kept = kept[max(0, len(kept)-o.limit):]
			continue
		}
		if err := o.printEvent(to, p, line); err != nil {
			return err
		}
		if found == o.limit {
			return nil
		}
	}
	slices.Reverse(kept)
	for _, line := range kept {
		if err := o.printEvent(to, p, line); err != nil {
			return err
		}
	}
	return nil
}

func (o *find) matches(e event) bool {
	return o.text == "" || strings.Contains(strings.ToLower(e.Sentence), strings.ToLower(o.text))
}
