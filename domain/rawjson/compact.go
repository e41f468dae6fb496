package rawjson

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"strandline/domain"
)

// MaxDepth is how deep objects and arrays may be nested.
const MaxDepth = 64

// SyntaxError says where and why a text is refused.
type SyntaxError struct {
	Offset int    // of the byte in the text
	Reason string // a clause, such as "a name occurs twice in one object"
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("JSON text is refused at byte %d: %s", e.Offset, e.Reason)
}

// Unwrap makes a refused text invalid.
func (e *SyntaxError) Unwrap() error { return domain.ErrInvalid }

// Compact appends src to dst without the space between its tokens; all else stays as it is. Dst and src must not overlap.
//
// Src is refused with a *SyntaxError if it is not exactly one JSON value (RFC 8259), is not valid UTF-8, has a name twice
// in one object (after unescaping), or is nested deeper than MaxDepth. Lone surrogates in escapes are allowed.
func Compact(dst, src []byte) ([]byte, error) {
	s := scanner{src: src, dst: dst}
	if len(src) > math.MaxInt32 {
		return nil, &SyntaxError{math.MaxInt32, "it is too long"}
	}
	s.space()
	if err := s.value(0); err != nil {
		return nil, err
	}
	s.space()
	if s.at < len(s.src) {
		return nil, s.fail("there is more after the value")
	}
	s.keep(len(s.src))
	return s.dst, nil
}

// scanner passes over a text once, checks it, and copies what lies between spaces.
type scanner struct {
	src      []byte
	at       int // the next byte of src
	dst      []byte
	kept     int    // src[:kept] has been copied to dst or left out
	unquoted []byte // names of open objects that have escapes, without them
}

func (s *scanner) fail(reason string) error { return &SyntaxError{s.at, reason} }

// unexpected fails at a byte that cannot stand where wanted is.
func (s *scanner) unexpected(wanted string) error {
	if s.at == len(s.src) {
		return s.fail("it ends where " + wanted + " is expected")
	}
	return s.fail(fmt.Sprintf("byte 0x%02x stands where %s is expected", s.src[s.at], wanted))
}

// space passes over space.
func (s *scanner) space() {
	if s.at < len(s.src) && s.src[s.at] <= ' ' {
		s.leaveOutSpace()
	}
}

func (s *scanner) leaveOutSpace() {
	s.keep(s.at)
	for s.at < len(s.src) && isSpace(s.src[s.at]) {
		s.at++
	}
	s.kept = s.at
}

// roomFirst is what is set aside for a text of any length, if it is that long.
const roomFirst = 64 << 10

// keep copies what lies before end and has not been copied. Dst doubles, but never beyond what can still come: a long text
// that is little but space takes no more memory than is left of it.
func (s *scanner) keep(end int) {
	part := s.src[s.kept:end]
	if need := len(s.dst) + len(part); need > cap(s.dst) {
		grown := make([]byte, len(s.dst), min(max(need, 2*cap(s.dst), roomFirst), len(s.dst)+len(s.src)-s.kept))
		copy(grown, s.dst)
		s.dst = grown
	}
	s.dst = append(s.dst, part...)
	s.kept = end
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// next tells whether b is the next byte, and passes over it if so.
func (s *scanner) next(b byte) bool {
	if s.at == len(s.src) || s.src[s.at] != b {
		return false
	}
	s.at++
	return true
}

// value passes over a value inside of depth objects and arrays.
func (s *scanner) value(depth int) error {
	if s.at == len(s.src) {
		return s.unexpected("a value")
	}
	switch b := s.src[s.at]; {
	case b == '"':
		_, err := s.text()
		return err
	case b == '-' || isDigit(b):
		return s.number()
	case b == '{':
		return s.object(depth + 1)
	case b == '[':
		return s.array(depth + 1)
	case b == 't':
		return s.word("true")
	case b == 'f':
		return s.word("false")
	case b == 'n':
		return s.word("null")
	}
	return s.unexpected("a value")
}

func (s *scanner) word(word string) error {
	if end := s.at + len(word); end <= len(s.src) && string(s.src[s.at:end]) == word {
		s.at = end
		return nil
	}
	return s.fail("it is not the word " + word)
}

func (s *scanner) array(depth int) error {
	if depth > MaxDepth {
		return s.fail(tooDeep)
	}
	s.at++
	s.space()
	if s.next(']') {
		return nil
	}
	for {
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		if s.next(']') {
			return nil
		}
		if !s.next(',') {
			return s.unexpected("a comma or the end of an array")
		}
		s.space()
	}
}

var tooDeep = fmt.Sprintf("it is nested deeper than %d", MaxDepth)

func (s *scanner) object(depth int) error {
	if depth > MaxDepth {
		return s.fail(tooDeep)
	}
	s.at++
	s.space()
	if s.next('}') {
		return nil
	}
	var names nameSet
	before := len(s.unquoted)
	for {
		if err := s.member(&names, depth); err != nil {
			return err
		}
		s.space()
		if s.next('}') {
			s.unquoted = s.unquoted[:before]
			return nil
		}
		if !s.next(',') {
			return s.unexpected("a comma or the end of an object")
		}
		s.space()
	}
}

// member passes over a name and its value, in an object that has the given names already.
func (s *scanner) member(names *nameSet, depth int) error {
	start := s.at
	if s.at == len(s.src) || s.src[s.at] != '"' {
		return s.unexpected("a name")
	}
	escaped, err := s.text()
	if err != nil {
		return err
	}
	if !names.add(s, s.nameAt(start, escaped)) {
		return &SyntaxError{start, "a name occurs twice in one object"}
	}
	s.space()
	if !s.next(':') {
		return s.unexpected("a colon")
	}
	s.space()
	return s.value(depth)
}

// text passes over a string and tells whether it has escapes.
func (s *scanner) text() (escaped bool, err error) {
	s.at++
	for {
		s.plain()
		if s.at == len(s.src) {
			return escaped, s.unexpected("the end of a string")
		}
		switch b := s.src[s.at]; {
		case b == '"':
			s.at++
			return escaped, nil
		case b == '\\':
			escaped = true
			err = s.escape()
		case b < ' ':
			err = s.fail("a string has a raw control byte")
		default:
			err = s.rune()
		}
		if err != nil {
			return escaped, err
		}
	}
}

// plain passes over the bytes of a string that stand for themselves and are alone.
func (s *scanner) plain() {
	src, at := s.src, s.at
	for at+8 <= len(src) && allPlain(binary.LittleEndian.Uint64(src[at:])) {
		at += 8
	}
	for at < len(src) && plainByte[src[at]] {
		at++
	}
	s.at = at
}

// plainByte tells of each byte whether it is ASCII, printable, and neither quote nor backslash.
var plainByte = func() (plain [256]bool) {
	for b := ' '; b < utf8.RuneSelf; b++ {
		plain[b] = b != '"' && b != '\\'
	}
	return plain
}()

// allPlain is plainByte for eight bytes at once. A byte's top bit is set in a difference if it was below the subtrahend.
func allPlain(w uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^(ones*'"'), w^(ones*'\\')
	return (w|(w-ones*' ')|(quote-ones)|(backslash-ones))&tops == 0
}

// rune passes over a character of several bytes.
func (s *scanner) rune() error {
	r, size := utf8.DecodeRune(s.src[s.at:])
	if r == utf8.RuneError && size == 1 {
		return s.fail("it is not valid UTF-8")
	}
	s.at += size
	return nil
}

// escape passes over an escape.
func (s *scanner) escape() error {
	if s.at+1 < len(s.src) {
		switch s.src[s.at+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			s.at += 2
			return nil
		case 'u':
			if _, ok := hex4(s.src[s.at+2:]); ok {
				s.at += 6
				return nil
			}
		}
	}
	return s.fail("a string has an unknown escape")
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// number passes over a number: no plus sign, no leading zeros, digits on both sides of a point.
func (s *scanner) number() error {
	s.next('-')
	if !s.next('0') && !s.digits() {
		return s.unexpected("a digit")
	}
	if s.next('.') && !s.digits() {
		return s.unexpected("a digit")
	}
	if s.next('e') || s.next('E') {
		_ = s.next('+') || s.next('-')
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	return nil
}

// digits passes over digits and tells whether there are any.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.src) && isDigit(s.src[s.at]) {
		s.at++
	}
	return s.at > start
}
