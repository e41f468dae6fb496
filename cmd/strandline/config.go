package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A setting is a flag that may also be given as an environment variable and, where a command takes one, in a file: the
// flag wins over the variable, the variable over the file, and the file over the default. A new flag needs nothing more.

// environmentPrefix begins the names of our environment variables.
const environmentPrefix = "STRANDLINE_"

// variable is the environment variable of a flag.
func variable(flag string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Flags are annotated with where their value came from, and with what they are not.
const (
	annotationOrigin = "origin"
	annotationAside  = "aside" // of the command's own use: no setting of the server
	configFlag       = "config"
	credentialFlag   = "credential-file" // of commands that ask a server
)

// origin is where a setting's value came from.
type origin struct {
	rank  int    // a greater one wins
	kind  string // default, file, environment or flag
	where string // FILE:LINE, or the variable
}

var (
	byDefault = origin{0, "default", ""}
	byFlag    = origin{3, "flag", ""}
)

func byFile(where string) origin       { return origin{1, "file", where} }
func byEnvironment(name string) origin { return origin{2, "environment", name} }

// String says it in words.
func (o origin) String() string { return strings.TrimSpace(o.kind + " " + o.where) }

// configure fills the flags that were not given from the environment and, where the command takes one, from a file.
func configure(c *cobra.Command, env environ) error {
	flags := c.Flags()
	if name := secretOnCommandLine(flags); name != "" {
		return usage(c, fmt.Errorf("--%s: everybody on this machine can read command lines: give it with --%[1]s-file or %s", name, variable(name)))
	}
	if err := fromEnvironment(flags, env.lookup); err != nil {
		return usage(c, err)
	}
	if flags.Lookup(configFlag) == nil && flags.Lookup(credentialFlag) == nil {
		return nil
	}
	if err := knownVariables(c.Root(), env); err != nil {
		return exitWith(exitUsage, err)
	}
	if flags.Lookup(configFlag) == nil {
		return nil
	}
	if err := fromFile(flags); err != nil {
		return exitWith(exitUsage, err)
	}
	return nil
}

// isSetting tells whether a flag may be given in a file.
func isSetting(f *pflag.Flag) bool {
	return f.Name != "help" && f.Name != configFlag && f.Annotations[annotationAside] == nil
}

// aside marks flags as the command's own, which are no settings of the server.
func aside(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		note(flags.Lookup(name), annotationAside, "yes")
	}
}

func note(f *pflag.Flag, key string, values ...string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[key] = values
}

// set gives a flag a value and remembers where it came from.
func set(flags *pflag.FlagSet, f *pflag.Flag, from origin, values ...string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok && from.kind == "file" {
		if err := list.Replace(values); err != nil {
			return err
		}
		f.Changed = true
	} else if err := flags.Set(f.Name, values[0]); err != nil {
		return err
	}
	note(f, annotationOrigin, from.kind, from.where)
	return nil
}

// originOf tells where the value of a flag came from.
func originOf(f *pflag.Flag) origin {
	switch from := f.Annotations[annotationOrigin]; {
	case len(from) == 2 && from[0] == "file":
		return byFile(from[1])
	case len(from) == 2:
		return byEnvironment(from[1])
	case f.Changed:
		return byFlag
	}
	return byDefault
}

// fromEnvironment fills the flags that were not given from STRANDLINE_… variables.
func fromEnvironment(flags *pflag.FlagSet, env lookup) (failed error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		value, ok := env(name)
		if !ok || f.Changed || f.Name == "help" || failed != nil {
			return
		}
		if err := set(flags, f, byEnvironment(name), value); err != nil {
			failed = fmt.Errorf("environment variable %s: %w", name, err)
		}
	})
	return failed
}

// foreign are variables that others set for reasons of their own: Kubernetes describes a service of our name like this.
var foreign = regexp.MustCompile(`^STRANDLINE_(.*_)?(SERVICE_(HOST|PORT(_.*)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.*)?)?)$`)

// otherVariables are read by something else than a flag: by commands that ask a server, and by the tests.
var otherVariables = []string{
	"STRANDLINE_ACCESS_KEY", "STRANDLINE_SECRET_KEY", "STRANDLINE_SECRET_KEY_FILE", "STRANDLINE_API_KEY", "STRANDLINE_API_KEY_FILE",
	"STRANDLINE_DRILL", "STRANDLINE_BENCH",
}

// knownVariables refuses variables that mean nothing to any command, since they are meant to mean something.
func knownVariables(root *cobra.Command, env environ) error {
	known := variablesOf(root, slices.Clone(otherVariables))
	for _, name := range env.names(environmentPrefix) {
		if slices.Contains(known, name) || foreign.MatchString(name) || isForTests(name) {
			continue
		}
		return fmt.Errorf("environment variable %s means nothing to Strandline%s; correct or unset it", name, suggestion(name, known))
	}
	return nil
}

func isForTests(name string) bool {
	for _, prefix := range []string{"STRANDLINE_DRILL_", "STRANDLINE_BENCH_", "STRANDLINE_TEST_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// variablesOf adds the variables of a command and those below it.
func variablesOf(c *cobra.Command, known []string) []string {
	for _, flags := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) { known = append(known, variable(f.Name)) })
	}
	for _, below := range c.Commands() {
		known = variablesOf(below, known)
	}
	return known
}

// suggestion is the known name that a wrong one is nearest to, as the end of a sentence.
func suggestion(wrong string, known []string) string {
	best, distance := "", max(2, len(wrong)/4)+1
	for _, name := range known {
		if d := edits(wrong, name); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

// edits is how many letters have to be changed, added or left out to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// secret is the value of a setting that is never shown.
type secret string

// String implements pflag.Value.
func (s *secret) String() string { return string(*s) }

// Set implements pflag.Value.
func (s *secret) Set(value string) error { *s = secret(value); return nil }

// Type implements pflag.Value.
func (s *secret) Type() string { return "secret" }

// address is the value of a setting that is the URL of another server: its password is never shown.
type address string

// String implements pflag.Value.
func (a *address) String() string { return string(*a) }

// Set implements pflag.Value.
func (a *address) Set(value string) error { *a = address(value); return nil }

// Type implements pflag.Value.
func (a *address) Type() string { return "string" }

// shown is the address for people: what stands between the name and the @ is left out.
func (a *address) shown() string {
	scheme, rest, ok := strings.Cut(string(*a), "://")
	at := strings.LastIndex(rest, "@")
	if !ok || at < 0 {
		return string(*a)
	}
	user, _, _ := strings.Cut(rest[:at], ":")
	return scheme + "://" + user + ":********" + rest[at:]
}

// secretFlags adds a setting that is never shown: NAME, for environment and file, and NAME-file, which names a file that
// holds it.
func secretFlags(flags *pflag.FlagSet, name, about string) {
	flags.Var(new(secret), name, about)
	flags.Lookup(name).Hidden = true
	flags.String(name+"-file", "", "file that holds "+about)
}

func isSecret(f *pflag.Flag) bool { return f.Value.Type() == "secret" }

// secretOnCommandLine finds a secret that was given as a flag.
func secretOnCommandLine(flags *pflag.FlagSet) (name string) {
	flags.Visit(func(f *pflag.Flag) {
		if isSecret(f) && originOf(f) == byFlag {
			name = f.Name
		}
	})
	return name
}

// settled answers for environment variables with what the settings have come to, whatever they came from. Of a secret
// and the file that holds it, the one that comes from further up wins.
func settled(flags *pflag.FlagSet) lookup {
	values := map[string]string{}
	flags.VisitAll(func(f *pflag.Flag) { values[variable(f.Name)] = f.Value.String() })
	flags.VisitAll(func(f *pflag.Flag) {
		if !isSecret(f) {
			return
		}
		if file := flags.Lookup(f.Name + "-file"); file != nil && originOf(file).rank > originOf(f).rank {
			delete(values, variable(f.Name))
		}
	})
	return func(name string) (string, bool) {
		value := values[name]
		return value, value != ""
	}
}

// environ is the environment of the program.
type environ struct {
	lookup lookup
	all    []string // as os.Environ has them
}

// names lists the variables with a prefix that are set.
func (e environ) names(prefix string) (names []string) {
	for _, variable := range e.all {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// withSuggestion adds to the error about an unknown flag the one that may have been meant.
func withSuggestion(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return fmt.Errorf("%w%s", err, suggestion("--"+unknown.GetSpecifiedName(), known))
}
