package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"syscall"
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
	seen   int // how many events have been printed, where they are followed
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
	limitFlag(c, &o.limit, 0, "end after so many events (default: all)")
	c.Flags().BoolVar(&o.follow, "follow", false, "go on with events as they happen, until interrupted; a server that comes back within a minute is followed on")
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
	if !o.follow {
		return o.print(ctx, client, q, io, paintFor(io.out, env))
	}
	q.Set("follow", "true")
	err = o.goOn(ctx, client, q, io, paintFor(io.out, env))
	if ctx.Err() != nil {
		return nil // interrupted, which is how following ends
	}
	return err
}

// longestGone is how long a server may be gone before following ends.
const longestGone = time.Minute

// goOn follows, after a server that went away again from where it was.
func (o *tail) goOn(ctx context.Context, client *client, q url.Values, io streams, p paint) error {
	left := false // the server was there, and has gone
	for pause, gone := time.Second, time.Now(); ; pause = min(2*pause, longestWait) {
		before := o.seen
		err := o.print(ctx, client, q, io, p)
		var refused *exitError
		if errors.As(err, &refused) || errors.Is(err, syscall.EPIPE) || o.full() || ctx.Err() != nil {
			return err
		}
		if o.seen > before || err == nil {
			left, pause, gone = true, time.Second, time.Now()
		}
		if !left || time.Since(gone) > longestGone {
			return err
		}
		fmt.Fprintf(io.err, "the server has gone away: looking again in %s\n", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// full tells whether as many events as were asked for have been printed.
func (o *tail) full() bool { return o.limit > 0 && o.seen >= o.limit }

// print prints the lines of the answer, each at once where they are followed.
func (o *tail) print(ctx context.Context, client *client, q url.Values, io streams, p paint) error {
	pick(q, "after", o.after)
	if o.limit > 0 {
		setLimit(q, o.limit-o.seen)
	}
	answer, err := client.lines(ctx, eventsPath(q))
	if err != nil {
		return err
	}
	defer answer.close()
	to := bufio.NewWriterSize(io.out, 32<<10)
	for line, err := range answer.all(ctx) {
		if err == nil {
			err = o.line(to, p, line)
		}
		if err != nil {
			return errors.Join(err, to.Flush()) // what was read before is shown, too
		}
	}
	return to.Flush()
}

func (o *tail) line(to *bufio.Writer, p paint, line []byte) error {
	if err := o.printEvent(to, p, line); err != nil || !o.follow {
		return err
	}
	e, err := readEvent(line)
	if err != nil {
		return err
	}
	o.after = e.Position
	o.seen++
	return to.Flush()
}
