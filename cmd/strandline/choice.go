package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
)

// choice holds the flags that say how many rows of a long answer are shown, from which end.
type choice struct {
	newest bool
	limit  int
	more   bool // there were more than are shown
}

// mostKept bounds how many rows are kept in memory to be turned around.
const mostKept = 10_000

func (o *choice) flags(c *cobra.Command, limit int) {
	c.Flags().BoolVar(&o.newest, "newest", false, "the newest first (default: the oldest)")
	limitFlag(c, &o.limit, limit, "at most so many; 0 is all")
}

// rowCount is the value of a flag that says how many.
type rowCount int

// String implements pflag.Value.
func (n *rowCount) String() string { return strconv.Itoa(int(*n)) }

// Set implements pflag.Value.
func (n *rowCount) Set(value string) error {
	number, err := strconv.Atoi(value)
	if err != nil || number < 0 {
		return errors.New("it is a whole number from 0")
	}
	*n = rowCount(number)
	return nil
}

// Type implements pflag.Value.
func (n *rowCount) Type() string { return "int" }

// limitFlag adds the flag that says how many rows there are to be.
func limitFlag(c *cobra.Command, limit *int, usually int, about string) {
	*limit = usually
	c.Flags().Var((*rowCount)(limit), "limit", about)
}

func (o *choice) check() error {
	if o.newest && (o.limit == 0 || o.limit > mostKept) {
		return exitWith(exitUsage, errors.New("--newest needs a --limit from 1 to 10000, since the newest are read last"))
	}
	return nil
}

// rows yields the lines that are wanted, as many and from the end that was asked for.
func (o *choice) rows(ctx context.Context, answer *lines, wanted func(line []byte) (bool, error)) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var kept [][]byte // the newest, the oldest of them first
		found := 0
		for line, err := range answer.all(ctx) {
			ok := false
			if err == nil {
				ok, err = wanted(line)
			}
			switch {
			case err != nil:
				yield(nil, err)
				return
			case !ok:
				continue
			case o.newest:
				o.more = o.more || len(kept) == o.limit
				kept = append(kept[max(0, len(kept)+1-o.limit):], bytes.Clone(line))
				continue
			}
			if found++; found > o.limit && o.limit > 0 {
				o.more = true
				return
			}
			if !yield(line, nil) {
				return
			}
		}
		for _, line := range slices.Backward(kept) {
			if !yield(line, nil) {
				return
			}
		}
	}
}

// probing is the limit that the server is asked for: where nobody asked for so many rows, one more, which shows whether
// there are more. 0 stays none.
func (o *connection) probing(limit int) int {
	if limit <= 0 || o.command.Flags().Changed("limit") {
		return limit
	}
	return limit + 1
}

// moreThan says that there are more than are shown, so that a part does not pass for the whole, unless that was asked for.
func (o *connection) moreThan(limit int, to io.Writer) {
	if !o.command.Flags().Changed("limit") {
		fmt.Fprintf(to, "there are more than %d: --limit 0 shows all\n", limit)
	}
}
