package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"strandline/domain"
)

// doctor holds the flags of `doctor`.
type doctor struct {
	serve
	connection
	output
	settings  *pflag.FlagSet
	repair    bool
	yes       bool
	loseAfter string
}

func newDoctor(env lookup, io streams) *cobra.Command {
	var o doctor
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for damage, unsafe settings, and what will go wrong soon; mend what can be mended",
		Long: `Look for damage, unsafe settings, and what will go wrong soon. It reads the whole log and checks every checksum and the
hash chain, the index, the keys and the read models; who may read the files, and what they lie on; the settings, as serve
would have them; the clock; and for how long there is room on the disk. With --url it asks the running server, too. It
changes nothing, also beside a running server, where the end of the log, which is being written, cannot be judged.

With --repair, on a stopped server, it first says what it would do and what would be lost by that, and asks, unless --yes
is given. Index and read models are made again from the log, so nothing is lost with them. Damage in the log itself is
best answered with 'strandline restore'. Without a backup, --lose-after POSITION gives up everything after that position,
which must be the one that doctor has named; what is cut off is kept in DIR/log/quarantine.

Exit codes: 0 nothing to be done (notes are no findings) · 1 something is unsafe or will go wrong soon, or doctor could
not look · 3 something is damaged, or the data folder cannot be used.`,
		Example: `  strandline doctor --data ./data
  strandline doctor --data ./data --repair --yes
  strandline doctor --data ./data --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, env, io) },
	}
	o.serve.flags(c.Flags())
	c.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = f.Hidden || f.Name != "data" && f.Name != configFlag })
	o.connection.flags(c)
	o.url, c.Flags().Lookup("url").DefValue = "", ""
	c.Flags().Lookup("url").Usage = "address of the running server, to ask it as well (default: it is not asked)"
	o.output.flags(c)
	c.Flags().BoolVar(&o.repair, "repair", false, "mend what can be mended, after saying what that loses and asking")
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask before repairing")
	c.Flags().StringVar(&o.loseAfter, "lose-after", "", "give up everything after this position, which doctor has named, where the log is damaged")
	aside(c.Flags(), "url", "credential-file", "ca", "json", "only", "repair", "yes", "lose-after")
	o.settings = c.Flags()
	return c
}

// The severities of findings.
const (
	severityNote    = "note"    // worth knowing
	severityWarning = "warning" // unsafe, or about to go wrong
	severityDamage  = "damage"
)

// finding is something that the doctor has found.
type finding struct {
	Severity string `json:"severity"`
	What     string `json:"what"`
	Where    string `json:"where"`
	Remedy   string `json:"remedy"`
	Mended   bool   `json:"mended,omitempty"`

	mend func(context.Context) error // nil where there is no mending
	does string                      // what mending does
	cost string                      // what it loses
	keep string                      // the position that --lose-after must name for it, empty for none
}

// report is all that the doctor has to say.
type report struct {
	Findings []finding `json:"findings"`
	Checked  []string  `json:"checked"`
	Not      []string  `json:"not_checked,omitempty"`
}

func (r *report) add(f finding) { r.Findings = append(r.Findings, f) }
func (r *report) checked(format string, values ...any) {
	r.Checked = append(r.Checked, fmt.Sprintf(format, values...))
}
func (r *report) not(format string, values ...any) {
	r.Not = append(r.Not, fmt.Sprintf(format, values...))
}

func (o *doctor) run(c *cobra.Command, env lookup, io streams) error {
	if (o.yes || o.loseAfter != "") && !o.repair {
		return usage(c, errors.New("--yes and --lose-after go with --repair"))
	}
	if o.repair && !o.yes && (o.json || o.only != "") {
		return usage(c, errors.New("--repair asks before it begins: add --yes, or leave --json out"))
	}
	found, err := o.examine(c.Context(), env, io)
	if err != nil {
		return err
	}
	if o.repair {
		if err := o.mend(c, &found, io); err != nil {
			return err
		}
	}
	if err := o.print(found, io); err != nil {
		return err
	}
	return found.verdict()
}

// verdict is the exit code, as an error that says how much was found.
func (r *report) verdict() error {
	count := map[string]int{}
	for _, f := range r.Findings {
		if !f.Mended {
			count[f.Severity]++
		}
	}
	text := fmt.Sprintf("found %d damaged, %d unsafe or about to go wrong", count[severityDamage], count[severityWarning])
	switch {
	case count[severityDamage] > 0:
		return exitWith(exitData, errors.New(text))
	case count[severityWarning] > 0:
		return exitWith(exitFailed, errors.New(text))
	}
	return nil
}

func (o *doctor) print(r report, io streams) error {
	if o.json || o.only != "" {
		if r.Findings == nil {
			r.Findings = []finding{}
		}
		return o.value(io.out, r)
	}
	for _, f := range r.Findings {
		severity := f.Severity
		if f.Mended {
			severity = "mended"
		}
		fmt.Fprintf(io.out, "%-8s %s\n         where:  %s\n         remedy: %s\n", severity, visible(f.What), visible(f.Where), visible(f.Remedy))
	}
	for _, what := range r.Checked {
		fmt.Fprintf(io.out, "checked  %s\n", visible(what))
	}
	for _, what := range r.Not {
		fmt.Fprintf(io.out, "not checked: %s\n", visible(what))
	}
	return nil
}

// mend says what would be done, asks, and does it.
func (o *doctor) mend(c *cobra.Command, r *report, io streams) error {
	plan, refused, err := o.plan(r)
	if err != nil {
		return usage(c, err)
	}
	for _, f := range refused {
		fmt.Fprintf(io.err, "not without --lose-after %s: %s would be lost (%s)\n", f.keep, f.cost, visible(f.What))
	}
	if len(plan) == 0 {
		fmt.Fprintln(io.err, "there is nothing to repair")
		return nil
	}
	for _, f := range plan {
		fmt.Fprintf(io.err, "would %s; by that is lost: %s\n", visible(f.does), f.cost)
	}
	if !o.yes && !agreed(c.InOrStdin(), io.err) {
		return exitWith(exitFailed, errors.New("nothing was repaired: it was not agreed to"))
	}
	for _, f := range plan {
		if err := f.mend(c.Context()); err != nil {
			return exitWith(exitData, fmt.Errorf("%s: %w", f.does, err))
		}
		f.Mended = true
		fmt.Fprintf(io.err, "done: %s\n", visible(f.does))
	}
	return nil
}

// plan lists what is to be mended, and what may not be without --lose-after.
func (o *doctor) plan(r *report) (plan, refused []*finding, err error) {
	named := false
	for i := range r.Findings {
		f := &r.Findings[i]
		switch {
		case f.mend == nil:
		case f.keep == "" || f.keep == o.loseAfter:
			plan, named = append(plan, f), named || f.keep != ""
		case o.loseAfter != "":
			return nil, nil, fmt.Errorf("--lose-after %s: the log is good up to position %s, so that is what it must name", o.loseAfter, f.keep)
		default:
			refused = append(refused, f)
		}
	}
	if o.loseAfter != "" && !named {
		return nil, nil, fmt.Errorf("--lose-after %s: the log is not damaged, so nothing needs to be lost", o.loseAfter)
	}
	return plan, refused, nil
}

// agreed asks, and takes nothing but yes for an answer.
func agreed(from io.Reader, to io.Writer) bool {
	fmt.Fprint(to, "Do this? Type yes: ")
	line, _ := bufio.NewReader(from).ReadString('\n') // no answer is not yes
	fmt.Fprintln(to)
	return strings.TrimSpace(line) == "yes"
}

// upTo is a position for people.
func upTo(p domain.Position) string {
	if p.IsZero() {
		return "0"
	}
	return p.String()
}
