package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// output holds the flags that say in which form a command answers.
type output struct {
	json bool
	only string
}

func (o *output) flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.json, "json", false, "print JSON, one object a line")
	c.Flags().StringVar(&o.only, "only", "", "print only this member of each object, such as id or data.id, for use in scripts")
}

// raw prints an object of the server's in the form that was asked for; false if it is people who ask.
func (o *output) raw(to io.Writer, object []byte) (bool, error) {
	switch {
	case o.only != "":
		return true, o.member(to, object)
	case o.json:
		_, err := to.Write(append(visibleJSON(bytes.TrimSpace(object)), '\n'))
		return true, err
	}
	return false, nil
}

// value prints what this program has put together, in the form that was asked for.
func (o *output) value(to io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = o.raw(to, text)
	return err
}

// member prints one member of an object, texts without their quotes. An object without it leaves nothing, and so does null.
func (o *output) member(to io.Writer, object []byte) error {
	value := json.RawMessage(object)
	for name := range strings.SplitSeq(o.only, ".") {
		var members map[string]json.RawMessage
		if json.Unmarshal(value, &members) != nil || members[name] == nil {
			return nil
		}
		value = members[name]
	}
	if string(value) == "null" {
		return nil
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		text = string(visibleJSON(value))
	}
	_, err := fmt.Fprintln(to, visible(text))
	return err
}

// strangeError is met by an answer that is not what the server's interface promises.
type strangeError struct{ err error }

func (e *strangeError) Error() string {
	return fmt.Sprintf("the server sent something that this program does not understand: %v; is there a Strandline of the same version at --url?", e.err)
}

func notAsExpected(err error) error { return &strangeError{err} }
