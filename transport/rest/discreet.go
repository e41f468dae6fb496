package rest

import "regexp"

// quoted is what Go's %q has put between quotes: a client's own words, wherever an error repeats them.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// Discreet leaves out of an error's text what stands in it between double quotes. Errors quote what clients have sent;
// it goes into no log and into no answer, where others would read it.
func Discreet(text string) string { return quoted.ReplaceAllString(text, `"…"`) }
