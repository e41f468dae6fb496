package main

import (
	"bufio"
	"context"
	"time"

	"github.com/spf13/cobra"
)

// tail holds the flags of `log tail`.
type tail struct {
	connection
	filter
	output
	after  string
	limit  int
	follow bool
}

func newTail(env lookup, io streams) *cobra.Command {
	var o tail
	c := &cobra.Command{
		Use:   "tail",
		Short: "Print each event as a sentence",
		Long: `Print each event as a sentence: its position, its time, and what happened. What a caller may not open is
left out; what can never be opened again is shown as sealed. Reading the log is itself on the record.`,
		Example: `  strandline log tail --credential-file data/root-credential.json
  strandline log tail --after 1f --follow --json --credential-file data/root-credential.json
  strandline log tail --type access.refused --from 7d --credential-file data/root-credential.json
  strandline log tail --url https://127.0.0.1:8443 --ca data/tls/ca.pem --credential-file data/root-credential.json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), env, io) },
	}
	o.connection.flags(c)
	o.filter.flags(c)
	o.output.flags(c)
	c.Flags().StringVar(&o.after, "after", "", "begin after this position (default: at the start)")
	c.Flags().IntVar(&o.limit, "limit", 0, "end after so many events (default: all)")
	c.Flags().BoolVar(&o.follow, "follow", false, "go on with events as they happen, until interrupted")
	return c
}

func (o *tail) run(ctx context.Context, env lookup, io streams) error {
	client, err := o.open(env)
	if err != nil {
		return err
	}
	q, err := o.query(time.Now())
	if err != nil {
		return err
	}
	pick(q, "after", o.after)
	setLimit(q, o.limit)
	if o.follow {
		q.Set("follow", "true")
	}
	err = o.print(ctx, client, eventsPath(q), io, paintFor(io.out, env))
	if o.follow && ctx.Err() != nil {
		return nil // interrupted, which is how following ends
	}
	return err
}

// print prints the lines of the answer, each at once where they are followed.
func (o *tail) print(ctx context.Context, client *client, path string, io streams, p paint) error {
	answer, err := client.lines(ctx, path)
	if err != nil {
		return err
	}
	defer answer.close()
	to := bufio.NewWriterSize(io.out, 32<<10)
	for line, err := range answer.all(ctx) {
		if err == nil {
			err = o.printEvent(to, p, line)
		}
		if err == nil && o.follow {
			err = to.Flush()
		}
		if err != nil {
			_ = to.Flush() // what was read before is shown, too
			return err
		}
	}
	return to.Flush()
}
