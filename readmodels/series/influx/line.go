package influx

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tag is one of a point's. Its value is in the form of quoted.
type tag struct{ key, value string }

// quoted is a name in a form that needs no escaping in line protocol, Flux and InfluxQL, and is never empty: letters,
// digits and a few marks stay, all else is percent-encoded.
func quoted(name string) string {
	if name == "" {
		return "%"
	}
	var b strings.Builder
	for i, r := range name {
		_, width := utf8.DecodeRuneInString(name[i:])
		if r < utf8.RuneSelf && strings.ContainsRune("._-:/@+", r) || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			b.WriteString(name[i : i+width])
			continue
		}
		for _, c := range []byte(name[i : i+width]) {
			b.WriteByte('%')
			b.WriteByte("0123456789ABCDEF"[c>>4])
			b.WriteByte("0123456789ABCDEF"[c&15])
		}
	}
	return b.String()
}

// unquoted is the name that quoted was given.
func unquoted(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			c, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err == nil {
				b.WriteByte(byte(c))
				i += 2
			}
			continue
		}
		if text[i] != '%' {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// appendKey begins a line.
func appendKey(dst []byte, measurement string, tags []tag) []byte {
	dst = append(dst, measurement...)
	for _, t := range tags {
		dst = append(append(append(append(dst, ','), t.key...), '='), t.value...)
	}
	return append(dst, ' ')
}

// appendText appends a field of text.
func appendText(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), '=', '"')
	for i := range len(value) {
		if value[i] == '"' || value[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, value[i])
	}
	return append(dst, '"')
}

// longestText is how long a string may be in InfluxDB.
const longestText = 64_000

// pieces cuts a value between characters, so that each piece fits into a field.
func pieces(value string) (all []string) {
	for len(value) > longestText {
		end := longestText
		for !utf8.RuneStart(value[end]) {
			end--
		}
		all, value = append(all, value[:end]), value[end:]
	}
	return append(all, value)
}

// pieceName is the field of the i-th piece.
func pieceName(i int) string {
	if i == 0 {
		return "value"
	}
	return "value_" + strconv.Itoa(i)
}

// number is a JSON value as a float, if it is a number that a float can hold.
func number(value string) (float64, bool) {
	if value == "" || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, false
	}
	n, err := strconv.ParseFloat(value, 64)
	return n, err == nil && !math.IsInf(n, 0)
}
