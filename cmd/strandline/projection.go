package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"strandline/domain"
	"strandline/projections"
)

func newProjection(env lookup, io streams) *cobra.Command {
	return group("projection", "List, mend, rebuild and dump what is made of the log", "strandline projection list"+asRoot,
		newProjectionList(env, io), newProjectionRebuild(env, io), newProjectionRevert(env, io), newProjectionDump(io),
		newProjectionParked(env, io), newProjectionPark(env, io), newProjectionRetry(env, io), newProjectionDiscard(env, io))
}

// projectionStatus is what the server tells about a projection.
type projectionStatus struct {
	Name       string  `json:"name"`
	Version    int     `json:"version"`
	Checkpoint string  `json:"checkpoint"`
	LagEvents  uint64  `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
	Parked     int     `json:"parked"`
	Discarded  int     `json:"discarded,omitempty"`
	Stalled    string  `json:"stalled,omitempty"`
	Failed     string  `json:"failed,omitempty"`  // why the last rebuild failed
	Follows    bool    `json:"follows,omitempty"` // another process fills it
	Previous   *struct {
		Version    int    `json:"version"`
		Checkpoint string `json:"checkpoint"`
	} `json:"previous,omitempty"` // what can serve again
	Rebuilding *struct {
		Share     float64 `json:"share"`
		Remaining float64 `json:"remaining_seconds"`
	} `json:"rebuilding,omitempty"`
}

func newProjectionList(env lookup, io streams) *cobra.Command {
	var o connection
	var form output
	var data stopped
	c := &cobra.Command{
		Use:   "list",
		Short: "List the projections, and how far each is",
		Long:  "List the projections of a running server, and how far each is; with --data those of a stopped one.",
		Example: `  strandline projection list --credential-file data/root-credential.json
  strandline projection list --data ./data`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := listProjections(c.Context(), &o, env, &data)
			if err != nil {
				return err
			}
			return form.printProjections(list, io.out, paintFor(io.out, env))
		},
	}
	o.flags(c)
	data.flags(c.Flags(), "", "data folder of a stopped server (default: ask the running one at --url)")
	form.arrayFlags(c)
	return c
}

func listProjections(ctx context.Context, o *connection, env lookup, data *stopped) ([]projectionStatus, error) {
	if data.dir != "" {
		return listOffline(ctx, data)
	}
	c, err := o.open(env)
	if err != nil {
		return nil, err
	}
	return c.projections(ctx)
}

// projections asks a running server.
func (c *client) projections(ctx context.Context) ([]projectionStatus, error) {
	var answer struct{ Projections []projectionStatus }
	err := c.get(ctx, "/strandline/v1/projections", &answer)
	return answer.Projections, err
}

func listOffline(ctx context.Context, data *stopped) (list []projectionStatus, err error) {
	s, err := data.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.closeModels(), s.close()) }()
	runner := projections.New(s.log, s.decode, s.models)
	runner.Look(ctx)
	return statusOf(ctx, runner)
}

// statusOf is how the projections of a stopped server are doing.
func statusOf(ctx context.Context, r *projections.Runner) (list []projectionStatus, err error) {
	all, err := r.Status(ctx, time.Now())
	for _, p := range all {
		list = append(list, projectionStatus{
			Name: p.Name, Version: p.Version, Checkpoint: p.Checkpoint.String(), LagEvents: p.Behind,
			LagSeconds: p.Lag.Seconds(), Parked: p.Parked, Stalled: p.Stalled,
		})
	}
	slices.SortFunc(list, func(a, b projectionStatus) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

func (o *output) printProjections(list []projectionStatus, to io.Writer, p paint) error {
	if !o.forPeople() {
		return o.values(to, list)
	}
	t := newTable(to, p, "NAME", "<VERSION", "CHECKPOINT", "<LAG (EVENTS)", "<LAG (SECONDS)", "<PARKED", "STATE")
	for _, s := range list {
		colour := colourNone
		if s.Stalled != "" || s.Failed != "" || s.Parked > 0 {
			colour = colourRed
		}
		if err := t.row(colour, s.Name, strconv.Itoa(s.Version), s.Checkpoint, strconv.FormatUint(s.LagEvents, 10),
			strconv.FormatFloat(s.LagSeconds, 'f', 1, 64), strconv.Itoa(s.Parked), s.state()); err != nil {
			return err
		}
	}
	return t.flush()
}

// state says in a word or two how the projection is doing.
func (p projectionStatus) state() string {
	switch {
	case p.Stalled != "":
		return "stalled: " + p.Stalled
	case p.Rebuilding != nil:
		return fmt.Sprintf("rebuilding, %.0f %%", 100*p.Rebuilding.Share)
	case p.Failed != "":
		return "serving; the last rebuild failed: " + p.Failed
	case p.Follows:
		return "serving, filled by another process"
	}
	return "serving"
}

func newProjectionRebuild(env lookup, io streams) *cobra.Command {
	var o connection
	var form output
	var data stopped
	c := &cobra.Command{
		Use:   "rebuild NAME",
		Short: "Make a projection again from the start of the log",
		Long: `Make a projection again from the start of the log, beside the one that serves, which it then replaces. A running server
is asked to do so, as the administrator; with --data it is done here, on a stopped one.`,
		Example: `  strandline projection rebuild series --credential-file data/root-credential.json
  strandline projection rebuild series --data ./data`,
		Args: oneProjection, ValidArgsFunction: projectionNames,
		RunE: func(c *cobra.Command, args []string) error {
			done, err := rebuild(c.Context(), &o, env, &data, args[0], io)
			if err != nil {
				return err
			}
			return form.printProjection(done, args[0]+" is rebuilt", io.out)
		},
	}
	o.flags(c)
	data.flags(c.Flags(), "", "data folder of a stopped server (default: ask the running one at --url)")
	form.flags(c)
	return c
}

func newProjectionRevert(env lookup, io streams) *cobra.Command {
	var o connection
	var form output
	c := &cobra.Command{
		Use:   "revert NAME",
		Short: "Let the build of a projection that served before serve again",
		Long: `Let the build of a projection that served before the present one serve again, once it has what came since. The present one
is kept in its place: the same command again undoes it. The server is asked as the administrator, and that is on the record.
"projection list --json" names what is kept, as "previous".`,
		Example: "  strandline projection rebuild series" + asRoot + " && strandline projection revert series" + asRoot,
		Args:    oneProjection, ValidArgsFunction: projectionNames,
		RunE: func(c *cobra.Command, args []string) error {
			done, err := changeOnline(c.Context(), &o, env, args[0], "revert", io)
			if err != nil {
				return err
			}
			return form.printProjection(done, args[0]+" is served by the build before", io.out)
		},
	}
	o.flags(c)
	form.flags(c)
	return c
}

// rebuild rebuilds a projection, of a stopped server or by asking the running one, and returns how it is then.
func rebuild(ctx context.Context, o *connection, env lookup, data *stopped, name string, io streams) (projectionStatus, error) {
	if data.dir == "" {
		return changeOnline(ctx, o, env, name, "rebuild", io)
	}
	list, err := rebuildOffline(ctx, data, name, io)
	if err != nil {
		return projectionStatus{}, err
	}
	return named(list, name)
}

// printProjection prints a projection that has been told something: for people as what was done.
func (o *output) printProjection(p projectionStatus, done string, to io.Writer) error {
	if !o.forPeople() {
		return o.value(to, p)
	}
	if p.Follows {
		done = p.Name + " is filled by another process, which does it now"
	}
	_, err := fmt.Fprintln(to, done)
	return err
}

// named is the projection of a name.
func named(list []projectionStatus, name string) (projectionStatus, error) {
	for _, p := range list {
		if p.Name == name {
			return p, nil
		}
	}
	return projectionStatus{}, fmt.Errorf("the server lists no projection %q", name)
}

func oneProjection(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(c, errors.New("name one projection"))
	}
	return nil
}

// rebuildOffline rebuilds in the data folder of a stopped server, and returns how all projections are then.
func rebuildOffline(ctx context.Context, data *stopped, name string, io streams) (list []projectionStatus, err error) {
	s, err := data.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	model, err := s.model(name)
	if err != nil {
		return nil, errors.Join(err, s.closeModels())
	}
	runner := projections.New(s.log, s.decode, s.models)
	runner.Look(ctx)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(running) }()
	watch := newProgress(io.err, "rebuild "+model.Name())
	err = runner.Rebuild(ctx, name, func(p projections.Progress) { watch.show(p.Share, p.Remaining) })
	watch.done()
	if err == nil {
		list, err = statusOf(ctx, runner)
	}
	stop()
	return list, errors.Join(err, <-ended)
}

func newProjectionDump(io streams) *cobra.Command {
	var data stopped
	var at string
	c := &cobra.Command{
		Use:   "dump NAME",
		Short: "Print all that a projection holds, as lines of JSON",
		Long: `Print all that a projection of a stopped server holds, as lines of JSON in an order that depends on the log alone: two
dumps of one log as of one position are equal byte for byte.`,
		Example: `  strandline projection dump series --data ./data | sha256sum
  strandline projection dump documents --data ./data --at 1f`,
		Args: oneProjection, ValidArgsFunction: projectionNames,
		RunE: func(c *cobra.Command, args []string) error { return dump(c.Context(), &data, args[0], at, io) },
	}
	data.flags(c.Flags(), "data", "data folder of a stopped server")
	c.Flags().StringVar(&at, "at", "", "as of this position (default: the end of the log)")
	return c
}

func dump(ctx context.Context, data *stopped, name, at string, io streams) (err error) {
	s, err := data.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.closeModels(), s.close()) }()
	model, err := s.model(name)
	if err != nil {
		return err
	}
	goal, err := s.position(ctx, at)
	if err != nil {
		return err
	}
	decided, err := s.decided(ctx, name, goal)
	if err != nil {
		return err
	}
	watch := newProgress(io.err, "dump "+name)
	defer watch.done()
	return projections.Dump(ctx, watchedFeed{s.log, watch, goal}, s.decode, model, goal, io.out, decided.LeftOut()...)
}

// position reads a position; empty is the end of the log, beyond which there is none.
func (s *storage) position(ctx context.Context, text string) (domain.Position, error) {
	head, err := s.log.Head(ctx)
	if err != nil || text == "" {
		return head, err
	}
	at, err := domain.ParsePosition(text)
	if err == nil && head.Before(at) {
		err = fmt.Errorf("--at %s is beyond the end of the log, %s", text, head)
	}
	return at, exitWith(exitUsage, err)
}

// watchedFeed shows how far a reader of a feed has come.
type watchedFeed struct {
	projections.Feed
	watch *progress
	goal  domain.Position
}

func (f watchedFeed) Follow(ctx context.Context, after domain.Position) iter.Seq2[[]domain.Record, error] {
	return func(yield func([]domain.Record, error) bool) {
		for batch, err := range f.Feed.Follow(ctx, after) {
			if len(batch) > 0 {
				f.watch.reached(float64(batch[len(batch)-1].Position.Commit) / float64(f.goal.Commit))
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

// stopped is where the data of a stopped server is.
type stopped struct {
	dir      string
	engines  enginePlaces
	settings *pflag.FlagSet
}

func (d *stopped) flags(flags *pflag.FlagSet, standard, about string) {
	flags.StringVar(&d.dir, "data", standard, about)
	d.engines.flags(flags)
	d.settings = flags
}

// open opens the data folder, which must be there, and the read models where they are kept.
func (d *stopped) open() (*storage, error) {
	if _, err := os.Stat(filepath.Join(d.dir, "log")); err != nil {
		return nil, exitWith(exitData, fmt.Errorf("%s is no data folder of Strandline: %w", d.dir, err))
	}
	kept, err := d.engines.open(settled(d.settings))
	if err != nil {
		return nil, err
	}
	return openStorage(d.dir, opening{engines: kept, durable: true}, slog.New(slog.DiscardHandler))
}
