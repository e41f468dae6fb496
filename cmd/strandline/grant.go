package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const grantsPath = "/strandline/v1/grants"

// roles are what can be granted.
var roles = []string{"owner", "writer", "reader", "auditor"}

func newGrant(env lookup, io streams) *cobra.Command {
	return group("grant", "List, give and withdraw roles: who may do what with whose data", "strandline grant list"+asRoot,
		newGrantList(env, io), newGrantGive(env, io), newGrantWithdraw(env, io))
}

// grantShown is what people are shown of a grant.
type grantShown struct {
	ID         string     `json:"id"`
	Object     *string    `json:"object"`
	Role       string     `json:"role"`
	Credential string     `json:"credential"`
	AccessKey  string     `json:"access_key"`
	From       *time.Time `json:"from"`
	To         *time.Time `json:"to"`
	By         string     `json:"by"`
}

// holder is who holds the role.
func (g grantShown) holder() string {
	if g.AccessKey != "" {
		return g.AccessKey
	}
	return g.Credential
}

func newGrantList(env lookup, io streams) *cobra.Command {
	var from connection
	var o output
	var object, credential string
	c := &cobra.Command{
		Use:   "list",
		Short: "List who holds which role on what",
		Example: "  strandline grant list" + asRoot + `
  strandline grant list --object null --json` + asRoot,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := from.open(env)
			if err != nil {
				return err
			}
			q := url.Values{}
			pick(q, "object", object)
			pick(q, "credential", credential)
			all, err := client.pages(c.Context(), grantsPath, "grants", q)
			if err != nil {
				return err
			}
			if !o.forPeople() {
				return o.array(io.out, all)
			}
			return printGrants(newTable(io.out, paintFor(io.out, env), "ID", "ROLE", "ON", "HELD BY", "FROM", "TO", "GIVEN BY"), all)
		},
	}
	from.flags(c)
	o.arrayFlags(c)
	c.Flags().StringVar(&object, "object", "", "only those on this object itself; null is the installation")
	c.Flags().StringVar(&credential, "credential", "", "only those held by the credential or API key with this id")
	return c
}

func printGrants(t *table, all []json.RawMessage) error {
	for _, object := range all {
		var g grantShown
		if err := json.Unmarshal(object, &g); err != nil {
			return notAsExpected(err)
		}
		if err := t.row(colourNone, g.ID, g.Role, orInstallation(g.Object), g.holder(), until(g.From), until(g.To), g.By); err != nil {
			return err
		}
	}
	return t.flush()
}

func newGrantGive(env lookup, io streams) *cobra.Command {
	var from connection
	var o output
	var holds validity
	var credential, accessKey string
	c := &cobra.Command{
		Use:   "give ROLE OBJECT",
		Short: "Grant a role on an object and all below it",
		Long: `Grant a role on an object and all below it, to a credential or an API key. A reader views, a writer creates and changes
too, an owner deletes and lets others in too; an auditor opens the log and the records of requests. The object null is the
installation.`,
		Example: "  strandline grant give auditor null --credential " + aCredential + ` --to 30d` + asRoot + `
  strandline grant give reader ` + aResearcher + ` --credential ` + aCredential + asRoot,
		Args: roleAndObject,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return roles, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			if (credential == "") == (accessKey == "") {
				return usage(c, errors.New("--credential or --login says who is to hold the role: give one of them"))
			}
			body := map[string]any{"role": args[0], "object": args[1]}
			pickMember(body, "credential", credential)
			pickMember(body, "access_key", accessKey)
			if err := holds.into(body, time.Now()); err != nil {
				return err
			}
			client, err := from.open(env)
			if err != nil {
				return err
			}
			var given json.RawMessage
			if err := client.ask(c.Context(), http.MethodPost, grantsPath, body, &given); err != nil {
				return err
			}
			return o.printGiven(given, args, io)
		},
	}
	from.flags(c)
	holds.flags(c)
	o.flags(c)
	c.Flags().StringVar(&credential, "credential", "", "id of the credential or API key that is to hold the role")
	c.Flags().StringVar(&accessKey, "login", "", "access key of the credential, in place of its id")
	return c
}

// roleAndObject refuses roles that there are not.
func roleAndObject(c *cobra.Command, args []string) error {
	if err := exactly(2, "a role ("+strings.Join(roles, ", ")+") and the id of an object, or null for the installation")(c, args); err != nil {
		return err
	}
	if !slices.Contains(roles, args[0]) {
		return usage(c, fmt.Errorf("there is no role %q%s; the roles are %s", args[0], suggestion(args[0], roles), strings.Join(roles, ", ")))
	}
	return nil
}

func (o *output) printGiven(given json.RawMessage, args []string, io streams) error {
	if done, err := o.raw(io.out, given); done {
		return err
	}
	var g grantShown
	if err := json.Unmarshal(given, &g); err != nil {
		return notAsExpected(err)
	}
	_, err := fmt.Fprintf(io.out, "%s is %s on %s: grant %s\n", visible(g.holder()), args[0], args[1], visible(g.ID))
	return err
}

func newGrantWithdraw(env lookup, io streams) *cobra.Command {
	return newEnding(env, io, grantsPath, "withdrawn", &cobra.Command{
		Use:     "withdraw ID",
		Short:   "Withdraw a grant",
		Example: "  strandline grant withdraw " + theLastGrant + asRoot,
		Args:    exactly(1, "the id of one grant, as 'strandline grant list' shows it"),
	})
}
