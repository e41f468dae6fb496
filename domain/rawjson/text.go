package rawjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// String is the text of a JSON string, false if raw is no string. A lone surrogate becomes U+FFFD.
func String(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside), true
	}
	return string(appendUnescaped(make([]byte, 0, len(inside)), inside, replaceSurrogates)), true
}

// AppendString appends s to dst as a JSON string, in the way of encoding/json without HTML escapes.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		if plainByte[s[i]] {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if mustEscape(r, size) {
			dst = append(dst, s[from:i]...)
			dst = appendEscapeOf(dst, r)
			from = i + size
		}
		i += size
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// mustEscape tells which characters do not stand for themselves. U+2028 and U+2029 once ended lines in JavaScript.
func mustEscape(r rune, size int) bool {
	return r < ' ' || r == '"' || r == '\\' || r == '\u2028' || r == '\u2029' || r == utf8.RuneError && size == 1
}

func appendEscapeOf(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// surrogates says what becomes of a surrogate without its other half.
type surrogates bool

const (
	replaceSurrogates surrogates = false // U+FFFD
	keepSurrogates    surrogates = true  // three bytes that no valid UTF-8 has: different ones stay different
)

// appendUnescaped appends the inside of a valid JSON string to dst, without escapes. What is no valid escape stays.
func appendUnescaped(dst, inside []byte, lone surrogates) []byte {
	for {
		i := bytes.IndexByte(inside, '\\')
		if i < 0 || i+1 == len(inside) {
			return append(dst, inside...)
		}
		dst = append(dst, inside[:i]...)
		dst, inside = appendEscape(dst, inside[i:], lone)
	}
}

// appendEscape appends what the escape at the start of text stands for, and returns what follows it.
func appendEscape(dst, text []byte, lone surrogates) ([]byte, []byte) {
	switch text[1] {
	case 'b':
		return append(dst, '\b'), text[2:]
	case 'f':
		return append(dst, '\f'), text[2:]
	case 'n':
		return append(dst, '\n'), text[2:]
	case 'r':
		return append(dst, '\r'), text[2:]
	case 't':
		return append(dst, '\t'), text[2:]
	case 'u':
		return appendUnit(dst, text, lone)
	}
	return append(dst, text[1]), text[2:]
}

// appendUnit appends the character of a \u escape, or of two that are a surrogate pair.
func appendUnit(dst, text []byte, lone surrogates) ([]byte, []byte) {
	r, ok := hex4(text[2:])
	if !ok {
		return append(dst, text[:2]...), text[2:]
	}
	rest := text[6:]
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(dst, r), rest
	}
	if len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		low, _ := hex4(rest[2:])
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return utf8.AppendRune(dst, pair), rest[6:]
		}
	}
	if lone == keepSurrogates {
		return append(dst, byte(0xe0|r>>12), byte(0x80|r>>6&0x3f), byte(0x80|r&0x3f)), rest
	}
	return utf8.AppendRune(dst, utf8.RuneError), rest
}

// hex4 reads four hexadecimal digits.
func hex4(text []byte) (rune, bool) {
	if len(text) < 4 {
		return 0, false
	}
	var r rune
	for _, b := range text[:4] {
		switch {
		case isDigit(b):
			b -= '0'
		case 'a' <= b && b <= 'f':
			b -= 'a' - 10
		case 'A' <= b && b <= 'F':
			b -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(b)
	}
	return r, true
}
