package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newLog(env lookup, io streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "log",
		Short:   "Read the log of events of a running server",
		Example: "  strandline log tail --url http://127.0.0.1:8080 --credential-file data/root-credential.json",
		Args:    knownCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newTail(env, io))
	return c
}

// tail holds the flags of `log tail`.
type tail struct {
	connection
	after  string
	limit  int
	follow bool
	json   bool
}

func newTail(env lookup, io streams) *cobra.Command {
	var o tail
	c := &cobra.Command{
		Use:   "tail",
		Short: "Print each event as a sentence",
		Long: `Print each event as a sentence: its position, its time, and what happened. What a caller may not open is
left out; what can never be opened again is shown as sealed. Reading the log is itself on the record.`,
		Example: `  strandline log tail --url http://127.0.0.1:8080 --credential-file data/root-credential.json
  strandline log tail --after 1f --follow --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), env, io) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.after, "after", "", "begin after this position (default: at the start)")
	c.Flags().IntVar(&o.limit, "limit", 0, "end after so many events (default: all)")
	c.Flags().BoolVar(&o.follow, "follow", false, "go on with events as they happen, until interrupted")
	c.Flags().BoolVar(&o.json, "json", false, "print each event as a line of JSON")
	return c
}

func (o *tail) run(ctx context.Context, env lookup, io streams) error {
	client, err := o.open(env)
	if err != nil {
		return err
	}
	body, err := client.do(ctx, "GET", "/strandline/v1/events?"+o.query().Encode(), nil, "application/x-ndjson")
	if err != nil {
		return err
	}
	defer body.Close()
	err = o.print(body, io.out)
	if ctx.Err() != nil {
		return nil // interrupted, which is how following ends
	}
	return err
}

func (o *tail) query() url.Values {
	q := url.Values{}
	if o.after != "" {
		q.Set("after", o.after)
	}
	if o.limit > 0 {
		q.Set("limit", strconv.Itoa(o.limit))
	}
	if o.follow {
		q.Set("follow", "true")
	}
	return q
}

// event is what a line of the answer holds, as far as it is printed.
type event struct {
	Position string    `json:"position"`
	Time     time.Time `json:"time"`
	Sentence string    `json:"sentence"`
	Error    string    `json:"error"` // the last line of an answer that broke off
}

// print turns lines of JSON into sentences.
func (o *tail) print(from io.Reader, to io.Writer) error {
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the answer broke off: %w", err)
		}
		if err := o.printLine(line, to); err != nil {
			return err
		}
	}
}

func (o *tail) printLine(line []byte, to io.Writer) error {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("the server sent a line that is not an event: %w", err)
	}
	if e.Error != "" {
		return errors.New("the server could not go on: " + e.Error)
	}
	if o.json {
		_, err := to.Write(line)
		return err
	}
	_, err := fmt.Fprintf(to, "%s  %s  %s\n", e.Position, e.Time.UTC().Format("2006-01-02 15:04:05.000"), e.Sentence)
	return err
}
