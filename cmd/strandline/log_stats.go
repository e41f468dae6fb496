package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// stats holds the flags of `log stats`.
type stats struct {
	connection
	filter
	output
}

func newStats(env lookup, io streams) *cobra.Command {
	var o stats
	c := &cobra.Command{
		Use:   "stats",
		Short: "Count events by type, day and actor",
		Long: `Count events by type, by day and by actor, as far as the caller may open them. The log is read once, in constant memory:
actors beyond the first ten thousand are counted together.`,
		Example: `  strandline log stats --credential-file data/root-credential.json
  strandline log stats --type observation.recorded --from 7d --json --credential-file data/root-credential.json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), env, io) },
	}
	o.connection.flags(c)
	o.filter.flags(c)
	o.output.flags(c)
	return c
}

func (o *stats) run(ctx context.Context, env lookup, io streams) error {
	client, err := o.open(env)
	if err != nil {
		return err
	}
	q, err := o.query(time.Now())
	if err != nil {
		return err
	}
	answer, err := client.lines(ctx, eventsPath(q))
	if err != nil {
		return err
	}
	defer answer.close()
	counted := newCounts()
	watch := newProgress(io.err, "count")
	defer watch.stop()
	for line, err := range answer.all(ctx) {
		if err != nil {
			return err
		}
		e, err := readEvent(line)
		if err != nil {
			return err
		}
		counted.add(e)
		watch.at(e, answer.head)
	}
	watch.done()
	return o.print(counted.summary(), io.out, paintFor(io.out, env))
}

// counts is what has been counted.
type counts struct {
	events, streams     int
	first, last         event
	kinds, days, actors map[string]int
}

// mostCounted bounds how many names are told apart, and others is what the rest goes under.
const (
	mostCounted = 10_000
	others      = "(others)"
)

func newCounts() *counts {
	return &counts{kinds: map[string]int{}, days: map[string]int{}, actors: map[string]int{}}
}

func (c *counts) add(e event) {
	if c.events++; c.events == 1 {
		c.first = e
	}
	c.last = e
	if e.Revision == 0 {
		c.streams++ // every stream has one first event
	}
	count(c.kinds, e.Type)
	count(c.days, e.Time.UTC().Format(time.DateOnly))
	count(c.actors, e.Actor)
}

func count(in map[string]int, name string) {
	if _, known := in[name]; !known && len(in) >= mostCounted {
		name = others
	}
	in[name]++
}

// summary is what `log stats --json` prints.
type summary struct {
	Events  int          `json:"events"`
	Streams int          `json:"streams"` // that began among these events
	First   *place       `json:"first"`
	Last    *place       `json:"last"`
	Types   []typeCount  `json:"types"`  // the most frequent first
	Days    []dayCount   `json:"days"`   // in UTC, the first first
	Actors  []actorCount `json:"actors"` // the busiest first
}

type place struct {
	Position string    `json:"position"`
	Time     time.Time `json:"time"`
}

type typeCount struct {
	Type   string `json:"type"`
	Events int    `json:"events"`
}

type dayCount struct {
	Day    string `json:"day"`
	Events int    `json:"events"`
}

type actorCount struct {
	Actor  string `json:"actor"`
	Events int    `json:"events"`
}

func (c *counts) summary() summary {
	s := summary{Events: c.events, Streams: c.streams, Types: []typeCount{}, Days: []dayCount{}, Actors: []actorCount{}}
	if c.events > 0 {
		s.First, s.Last = &place{c.first.Position, c.first.Time}, &place{c.last.Position, c.last.Time}
	}
	for _, name := range byCount(c.kinds) {
		s.Types = append(s.Types, typeCount{name, c.kinds[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(c.days)) {
		s.Days = append(s.Days, dayCount{name, c.days[name]})
	}
	for _, name := range byCount(c.actors) {
		s.Actors = append(s.Actors, actorCount{name, c.actors[name]})
	}
	return s
}

// byCount orders names, the most frequent first.
func byCount(in map[string]int) []string {
	return slices.SortedFunc(maps.Keys(in), func(a, b string) int {
		return cmp.Or(cmp.Compare(in[b], in[a]), cmp.Compare(a, b))
	})
}

func (o *stats) print(s summary, to io.Writer, p paint) error {
	if o.json || o.only != "" {
		return o.value(to, s)
	}
	if s.Events == 0 {
		_, err := fmt.Fprintln(to, "no events that this caller may open")
		return err
	}
	if _, err := fmt.Fprintf(to, "%d events, %d streams begun, from %s (%s) to %s (%s)\n", s.Events, s.Streams,
		visible(s.First.Position), clockTime(s.First.Time), visible(s.Last.Position), clockTime(s.Last.Time)); err != nil {
		return err
	}
	kinds, days, actors := newBars(to, p, "TYPE"), newBars(to, p, "DAY"), newBars(to, p, "ACTOR")
	for _, t := range s.Types {
		kinds.add(t.Type, t.Events)
	}
	for _, d := range s.Days {
		days.add(d.Day, d.Events)
	}
	for _, a := range s.Actors[:min(len(s.Actors), mostShown)] {
		actors.add(a.Actor, a.Events)
	}
	for _, b := range []*bars{kinds, days, actors} {
		if err := b.print(); err != nil {
			return err
		}
	}
	if rest := len(s.Actors) - mostShown; rest > 0 {
		_, err := fmt.Fprintf(to, "and %d more actors: see --json\n", rest)
		return err
	}
	return nil
}

// mostShown is how many actors people are shown.
const mostShown = 20

// bars is a table of counts that can be looked at instead of read.
type bars struct {
	to     io.Writer
	paint  paint
	title  string
	names  []string
	counts []int
}

func newBars(to io.Writer, p paint, title string) *bars { return &bars{to: to, paint: p, title: title} }

func (b *bars) add(name string, n int) {
	b.names, b.counts = append(b.names, name), append(b.counts, n)
}

func (b *bars) print() error {
	if _, err := fmt.Fprintln(b.to); err != nil {
		return err
	}
	t := newTable(b.to, b.paint, b.title, "<EVENTS", "")
	most := slices.Max(b.counts)
	for i, name := range b.names {
		if err := t.row(colourNone, name, strconv.Itoa(b.counts[i]), bar(b.counts[i], most)); err != nil {
			return err
		}
	}
	return t.flush()
}

// widestBar is the bar of the largest count, in characters.
const widestBar = 30

// bar is a bar in eighths of a character.
func bar(n, most int) string {
	eighths := (n*widestBar*8 + most - 1) / most
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return text
}
