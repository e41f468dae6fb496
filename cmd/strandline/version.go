package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"

	"github.com/spf13/cobra"
)

// versionInfo is what `version --json` prints.
type versionInfo struct {
	Version  string         `json:"version"`
	Go       string         `json:"go"`               // that it was built with
	Platform string         `json:"platform"`         // that it was built for
	Server   *serverVersion `json:"server,omitempty"` // the one at --url
}

type serverVersion struct {
	URL     string `json:"url"`
	Version string `json:"version"`
}

func newVersion(io streams) *cobra.Command {
	var o output
	var from connection
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Print the version of this program, and with --url that of the server there, for which no credential is needed.",
		Example: `  strandline version
  strandline version --json
  strandline version --url http://127.0.0.1:8080`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			v := versionInfo{Version: version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if url := c.Flags().Lookup("url"); url.Changed && originOf(url) == byFlag {
				if v.Server, err = from.serverVersion(c.Context()); err != nil {
					return err
				}
			}
			return o.printVersion(io.out, v)
		},
	}
	o.flags(c)
	from.addressFlags(c)
	return c
}

func (o *output) printVersion(to io.Writer, v versionInfo) error {
	if o.json || o.only != "" {
		return o.value(to, v)
	}
	if _, err := fmt.Fprintln(to, "strandline", v.Version); err != nil || v.Server == nil {
		return err
	}
	_, err := fmt.Fprintf(to, "server %s at %s\n", visible(v.Server.Version), v.Server.URL)
	return err
}

// buildInfo is where a server's metrics tell its version.
var buildInfo = regexp.MustCompile(`^strandline_build_info\{(?:.*,)?version="([^"]*)"`)

func (o *connection) serverVersion(ctx context.Context) (*serverVersion, error) {
	c, err := o.openAs(credential{})
	if err != nil {
		return nil, err
	}
	body, err := c.do(ctx, http.MethodGet, "/metrics", nil, "text/plain")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text := bufio.NewScanner(io.LimitReader(body, longestAnswer))
	for text.Scan() {
		if found := buildInfo.FindStringSubmatch(text.Text()); found != nil {
			return &serverVersion{c.base, found[1]}, nil
		}
	}
	if err := text.Err(); err != nil {
		return nil, brokeOff(ctx, err)
	}
	return nil, notAsExpected(errors.New("its metrics name no version"))
}
