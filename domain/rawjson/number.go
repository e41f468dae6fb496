package rawjson

import "math"

// Int64 is the value of a JSON number without a fraction that fits, in whatever spelling: 1000, 1e3, 1000.0.
// Anything else is false.
func Int64(raw []byte) (int64, bool) {
	if n, ok := plainInt64(raw); ok {
		return n, true
	}
	digits, exponent, negative, ok := parseNumber(raw)
	if !ok {
		return 0, false
	}
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits, exponent = digits[:len(digits)-1], exponent+1
	}
	if len(digits) == 0 {
		return 0, true
	}
	if exponent < 0 || len(digits)+exponent > 19 {
		return 0, false
	}
	return signed(magnitude(digits, exponent), negative)
}

// plainInt64 reads what nearly all integers look like: a sign or none, at most 18 digits, no leading zero.
func plainInt64(raw []byte) (int64, bool) {
	digits := raw
	if len(raw) > 0 && raw[0] == '-' {
		digits = raw[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	var n int64
	for _, b := range digits {
		if !isDigit(b) {
			return 0, false
		}
		n = n*10 + int64(b-'0')
	}
	if len(digits) < len(raw) {
		n = -n
	}
	return n, true
}

// NumericInt64 is Int64 for clients that also write numbers as strings: "1000".
func NumericInt64(raw []byte) (int64, bool) {
	if text, ok := String(raw); ok {
		return Int64([]byte(text))
	}
	return Int64(raw)
}

// parseNumber splits a number into its digits without leading zeros, the power of ten of the last one, and its sign. The
// exponent is cut off at
// ±10⁶, where it decides nothing any more for a number of sane length.
func parseNumber(raw []byte) (digits []byte, exponent int, negative, ok bool) {
	s := scanner{src: raw}
	if s.number() != nil || s.at != len(raw) {
		return nil, 0, false, false
	}
	negative = raw[0] == '-'
	if negative {
		raw = raw[1:]
	}
	digits = make([]byte, 0, 32)
	point := false
	for i, b := range raw {
		switch {
		case b == '.':
			point = true
			continue
		case b == 'e' || b == 'E':
			return digits, exponent + parseExponent(raw[i+1:]), negative, true
		case len(digits) > 0 || b != '0':
			digits = append(digits, b)
		}
		if point {
			exponent--
		}
	}
	return digits, exponent, negative, true
}

// parseExponent reads digits with or without a sign.
func parseExponent(text []byte) int {
	const enough = 1_000_000
	n, sign := 0, 1
	for _, b := range text {
		switch {
		case b == '-':
			sign = -1
		case isDigit(b):
			n = min(n*10+int(b-'0'), enough)
		}
	}
	return sign * n
}

// magnitude is digits times ten to the exponent, of at most 19 digits in all.
func magnitude(digits []byte, exponent int) uint64 {
	var n uint64
	for _, b := range digits {
		n = n*10 + uint64(b-'0')
	}
	for range exponent {
		n *= 10
	}
	return n
}

func signed(n uint64, negative bool) (int64, bool) {
	if negative {
		return -int64(n), n <= -math.MinInt64
	}
	return int64(n), n <= math.MaxInt64
}
