package main

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// What servers and clients have said can hold anything, sequences too that move a terminal's cursor or turn the
// direction of its writing. People are shown all of it, harmless.

// visible is text as people can be shown it on one line: whatever is not a character to be seen is replaced.
func visible(text string) string { return strings.Map(harmless, text) }

// visibleLines is visible that leaves line breaks.
func visibleLines(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return harmless(r)
	}, text)
}

func harmless(r rune) rune {
	switch {
	case unicode.IsPrint(r), r == '\u200c', r == '\u200d': // the last two join letters of some scripts
		return r
	case unicode.IsSpace(r):
		return ' '
	}
	return utf8.RuneError
}

// visibleJSON is JSON as a terminal can be shown it, with the same meaning: in JSON, what is beyond ASCII stands in
// strings, where it can be escaped.
func visibleJSON(text []byte) []byte {
	if !suspicious(text) {
		return text
	}
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(text)+16)
	for _, r := range string(text) {
		switch {
		case r == '\r' || r == '\t':
			out = append(out, ' ') // raw, they stand between tokens only
		case r == '\n' || harmless(r) == r && r != utf8.RuneError:
			out = utf8.AppendRune(out, r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				out = append(out, '\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
			}
		}
	}
	return out
}

// suspicious tells whether text holds anything but visible ASCII and line breaks.
func suspicious(text []byte) bool {
	for _, b := range text {
		if b < ' ' && b != '\n' || b > '~' {
			return true
		}
	}
	return false
}
