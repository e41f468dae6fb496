package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// terminal is the file behind w if it is a terminal.
func terminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	if !ok {
		return nil, false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return f, err == nil
}

// paint colours text for people, or leaves it alone.
type paint bool

// paintFor paints where w is a terminal that can show colours, unless NO_COLOR is set.
func paintFor(w io.Writer, env lookup) paint {
	no, _ := env("NO_COLOR")
	kind, _ := env("TERM")
	_, ok := terminal(w)
	return paint(ok && no == "" && kind != "" && kind != "dumb")
}

// with colours text with a code of terminals.
func (p paint) with(code, text string) string {
	if !p || text == "" || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p paint) faint(text string) string { return p.with(colourFaint, text) }
