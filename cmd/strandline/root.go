package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

//go:embed VERSION
var versionFile string

// Exit codes. They are documented in the help of the program and never change.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitData    = 3
	exitRefused = 4
	exitStore   = 5

	exitInterrupted = 128 + 2  // as shells have it for SIGINT
	exitUnread      = 128 + 13 // and for SIGPIPE
)

const rootHelp = `Strandline keeps health data as one log of events: every write is a fact on disk before it is answered, and every
request is on the record.

Every flag can be given as an environment variable: --listen-tls as STRANDLINE_LISTEN_TLS. The flag wins. What serve takes
can be given in a file (--config), too; 'strandline config print' shows what that comes to.

Answers go to standard output, everything else to standard error: messages, and progress of what takes over two seconds.
With --json answers are lines of JSON, one object a line; short lists (projections, keys, grants, services) are one array.
Colours are for terminals, and not with NO_COLOR.

Exit codes: 0 done · 1 failed, or no answer · 2 wrong use of flags or arguments · 3 the data folder cannot be used
(missing, in use, damaged or newer) · 4 the server refused the request · 5 the event store failed while serving ·
130 interrupted (following and serving end so with 0) · 141 whoever read the output has gone away.`

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exitWith gives err an exit code; nil stays nil.
func exitWith(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// lookup finds an environment variable, as os.LookupEnv does.
type lookup func(name string) (string, bool)

// streams are where a command writes: answers to out, everything else to err.
type streams struct{ out, err io.Writer }

// run executes the program with the given arguments and returns its exit code.
func run(ctx context.Context, args []string, env environ, stdout, stderr io.Writer) int {
	root := newRoot(env, streams{stdout, stderr})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	code := exitCode(err)
	if code != exitDone && code != exitUnread {
		fmt.Fprintf(stderr, "strandline: %s\n", visibleLines(err.Error()))
	}
	return code
}

// exitCode is the code that an error leads to.
func exitCode(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, syscall.EPIPE):
		return exitUnread
	}
	return exitFailed
}

func newRoot(all environ, io streams) *cobra.Command {
	env := all.lookup
	root := &cobra.Command{
		Use:           "strandline",
		Short:         "An event-sourced store of health data that speaks LAMP",
		Long:          rootHelp,
		Example:       "  strandline serve --data ./data --listen 127.0.0.1:8080",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.AddCommand(
		newServe(io), newDemo(env, io), newConfig(io),
		newLog(env, io), newAudit(env, io), newSeries(env, io),
		newProjection(env, io), newKey(env, io), newGrant(env, io), newServices(env, io),
		newBackup(env, io), newRestore(io), newDoctor(env, io),
		newVersion(io), newCompletion(io),
	)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, withSuggestion(c, err)) })
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return configure(c, all) }
	withHelp(root)
	return root
}

// version is the version of this program.
func version() string { return strings.TrimSpace(versionFile) }

// usage says what was wrong with the way a command was written, and where to read how it is.
func usage(c *cobra.Command, err error) error {
	return exitWith(exitUsage, fmt.Errorf("%w; see '%s --help'", err, c.CommandPath()))
}

// knownCommand refuses a first word that names no command.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, below := range c.Commands() {
		known = append(known, below.Name())
	}
	return usage(c, fmt.Errorf("there is no command %q%s", args[0], suggestion(args[0], known)))
}

// noArguments refuses arguments that are not flags.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(c, fmt.Errorf("unexpected argument %q", args[0]))
	}
	return nil
}
