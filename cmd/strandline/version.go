package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// versionInfo is what `version --json` prints.
type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`       // that it was built with
	Platform string `json:"platform"` // that it was built for
}

func newVersion(_ lookup, io streams) *cobra.Command {
	var o output
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Example: `  strandline version
  strandline version --json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if o.json || o.only != "" {
				return o.value(io.out, versionInfo{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
			}
			_, err := fmt.Fprintln(io.out, "strandline", version())
			return err
		},
	}
	o.flags(c)
	return c
}
