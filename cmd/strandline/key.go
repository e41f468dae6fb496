package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

const keysPath = "/strandline/v1/api-keys"

// Parts of examples: as whom they ask, and how they find an object that programs may sign in for.
const (
	asRoot       = " --credential-file data/root-credential.json"
	aResearcher  = "$(strandline log find --type researcher.added --limit 1 --only data.id" + asRoot + ")"
	theLastKey   = "$(strandline key list --only id" + asRoot + " | tail -1)"
	theLastGrant = "$(strandline grant list --only id" + asRoot + " | tail -1)"
	aCredential  = "$(strandline log find --type credential.issued --newest --limit 1 --only data.id" + asRoot + ")"
)

func newKey(env lookup, io streams) *cobra.Command {
	return group("key", "List, create and revoke API keys, with which programs sign in", "strandline key list"+asRoot,
		newKeyList(env, io), newKeyCreate(env, io), newKeyRevoke(env, io))
}

// apiKey is what people are shown of a key.
type apiKey struct {
	ID     string     `json:"id"`
	Name   string     `json:"name"`
	Origin *string    `json:"origin"`
	From   *time.Time `json:"from"`
	To     *time.Time `json:"to"`
	By     string     `json:"by"`
	Key    string     `json:"key"`
}

func newKeyList(env lookup, io streams) *cobra.Command {
	var from connection
	var o output
	var origin string
	c := &cobra.Command{
		Use:   "list",
		Short: "List API keys, without their text",
		Example: "  strandline key list" + asRoot + `
  strandline key list --origin null --json` + asRoot,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := from.open(env)
			if err != nil {
				return err
			}
			q := url.Values{}
			pick(q, "origin", origin)
			all, err := client.pages(c.Context(), keysPath, "keys", q)
			if err != nil {
				return err
			}
			if !o.forPeople() {
				return o.array(io.out, all)
			}
			return printKeys(newTable(io.out, paintFor(io.out, env), "ID", "NAME", "SIGNS IN FOR", "FROM", "TO", "ISSUED BY"), all)
		},
	}
	from.flags(c)
	o.arrayFlags(c)
	c.Flags().StringVar(&origin, "origin", "", "only those that sign in for this object; null is the installation")
	return c
}

func printKeys(t *table, all []json.RawMessage) error {
	for _, object := range all {
		var k apiKey
		if err := json.Unmarshal(object, &k); err != nil {
			return notAsExpected(err)
		}
		if err := t.row(colourNone, k.ID, k.Name, orInstallation(k.Origin), until(k.From), until(k.To), k.By); err != nil {
			return err
		}
	}
	return t.flush()
}

func newKeyCreate(env lookup, io streams) *cobra.Command {
	var from connection
	var o output
	var holds validity
	var name, origin string
	c := &cobra.Command{
		Use:   "create",
		Short: "Create an API key",
		Long: `Create an API key, with which a program signs in for an object. Its text is printed this once and cannot be shown again.
What --json prints can be given to the other commands as --credential-file.`,
		Example: `  strandline key create --name "nightly export" --origin ` + aResearcher + ` --to 30d` + asRoot + `
  umask 077; strandline key create --name "my own" --json` + asRoot + ` > key.json && strandline log tail --credential-file key.json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			body := map[string]any{}
			pickMember(body, "name", name)
			pickMember(body, "origin", origin)
			if err := holds.into(body, time.Now()); err != nil {
				return err
			}
			client, err := from.open(env)
			if err != nil {
				return err
			}
			return o.createKey(c.Context(), client, body, io)
		},
	}
	from.flags(c)
	holds.flags(c)
	o.flags(c)
	c.Flags().StringVar(&name, "name", "", "what people call it")
	c.Flags().StringVar(&origin, "origin", "", "id of the object that it signs in for; null is the installation (default: that of the caller)")
	return c
}

func (o *output) createKey(ctx context.Context, client *client, body map[string]any, io streams) error {
	var made json.RawMessage
	if err := client.ask(ctx, http.MethodPost, keysPath, body, &made); err != nil {
		return err
	}
	if done, err := o.raw(io.out, made); done {
		return err
	}
	var k apiKey
	if err := json.Unmarshal(made, &k); err != nil {
		return notAsExpected(err)
	}
	_, err := fmt.Fprintf(io.out, "%s\n\nThis is the key %s. It is shown only this once: keep it where only its program can read it, and set\nSTRANDLINE_API_KEY_FILE to that file, or send it as Authorization: Bearer.\n",
		visible(k.Key), visible(k.ID))
	return err
}

func newKeyRevoke(env lookup, io streams) *cobra.Command {
	return newEnding(env, io, keysPath, "revoked", &cobra.Command{
		Use:     "revoke ID",
		Short:   "Revoke an API key: it signs in no more",
		Example: "  strandline key revoke " + theLastKey + asRoot,
		Args:    exactly(1, "the id of one key, as 'strandline key list' shows it"),
	})
}

// newEnding completes a command that ends the thing at path whose id is its argument.
func newEnding(env lookup, io streams, path, done string, c *cobra.Command) *cobra.Command {
	var from connection
	var o output
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := from.open(env)
		if err != nil {
			return err
		}
		var answer json.RawMessage
		if err := client.ask(c.Context(), http.MethodDelete, path+"/"+url.PathEscape(args[0]), nil, &answer); err != nil {
			return err
		}
		if done, err := o.raw(io.out, answer); done {
			return err
		}
		_, err = fmt.Fprintf(io.out, "%s is %s\n", args[0], done)
		return err
	}
	from.flags(c)
	o.flags(c)
	return c
}
