package rawjson

import (
	"bytes"
	"iter"
)

// Next splits the first value off the inside of a compacted array, and what follows the comma after it.
func Next(inside []byte) (value, rest []byte) {
	end := valueEnd(inside, 0)
	return inside[:end], afterComma(inside[end:])
}

// Elements are the values of a compacted array, as slices of it. Anything else has none.
func Elements(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		value, rest := []byte(nil), Inside(raw, '[')
		for len(rest) > 0 {
			value, rest = Next(rest)
			if !yield(value) {
				return
			}
		}
	}
}

// NextMember splits the first member off the inside of a compacted object: its name, with its quotes, its value, and
// what follows the comma after it.
func NextMember(inside []byte) (name, value, rest []byte) {
	end := valueEnd(inside, 0)
	value, rest = Next(inside[min(end+1, len(inside)):])
	return inside[:end], value, rest
}

// Members are the names, unescaped, and values of a compacted object, as slices of it. Anything else has none.
func Members(raw []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for rest := Inside(raw, '{'); len(rest) > 0; {
			var name, value []byte
			name, value, rest = NextMember(rest)
			if text, _ := String(name); !yield(text, value) {
				return
			}
		}
	}
}

// Inside is what stands between the brackets of a compacted object or array that opens with the given one, else nil.
func Inside(raw []byte, open byte) []byte {
	closing := open + 2 // so it is in ASCII, for both kinds
	if len(raw) < 2 || raw[0] != open || raw[len(raw)-1] != closing {
		return nil
	}
	return raw[1 : len(raw)-1]
}

func afterComma(rest []byte) []byte {
	if len(rest) == 0 {
		return nil
	}
	return rest[1:]
}

// valueEnd is the end of the value that starts at i: before the next comma or closing bracket on its own level. It reads
// broken text without failing; each value takes at least the byte after it.
func valueEnd(raw []byte, i int) int {
	depth := 0
	for i < len(raw) {
		switch bracket[raw[i]] {
		case quote:
			i = stringEnd(raw, i)
			continue
		case opens:
			depth++
		case closes:
			depth--
			if depth < 0 {
				return i
			}
		case separates:
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(raw)
}

// Classes of bytes between values.
const (
	quote = iota + 1
	opens
	closes
	separates
)

// bracket is the class of each byte, 0 for those inside values.
var bracket = [256]uint8{'"': quote, '{': opens, '[': opens, '}': closes, ']': closes, ',': separates, ':': separates}

// stringEnd is the end of the string that starts at i, behind its last quote.
func stringEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		n := bytes.IndexByte(raw[i:], '"')
		if n < 0 {
			return len(raw)
		}
		i += n
		if !escapedAt(raw, i) {
			return i + 1
		}
	}
	return len(raw)
}

// escapedAt tells whether an odd number of backslashes stands before i.
func escapedAt(raw []byte, i int) bool {
	n := 0
	for i-n > 0 && raw[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}
