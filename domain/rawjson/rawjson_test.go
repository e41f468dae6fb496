package rawjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"strandline/domain"
	"strandline/domain/rawjson"
)

func TestCompactKeepsWhatWasSaid(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"space between tokens goes", " {\t\"a\" : [ 1 ,\r\n2 ] } \n", `{"a":[1,2]}`},
		{"space in strings stays", `" a  b "`, `" a  b "`},
		{"numbers keep their spelling", `[1.50, 1e3, -0, 1E+2, 0.0e-0]`, `[1.50,1e3,-0,1E+2,0.0e-0]`},
		{"names keep their order", `{"b":1, "a":2}`, `{"b":1,"a":2}`},
		{"escapes stay", `"\u0000\u00e9\/\ud83d\ude00"`, `"\u0000\u00e9\/\ud83d\ude00"`},
		{"lone surrogates stay", `["\ud800", "\udc00\ud800"]`, `["\ud800","\udc00\ud800"]`},
		{"different lone surrogates are different names", `{"\ud800":1,"\ud801":2}`, `{"\ud800":1,"\ud801":2}`},
		{"the same name in another object is no duplicate", `{"a":{"a":1},"b":[{"a":1},{"a":2}]}`, `{"a":{"a":1},"b":[{"a":1},{"a":2}]}`},
		{"characters of several bytes", `"é€😀"`, `"é€😀"`},
		{"DEL is a character like any other", "\"\x7f\"", "\"\x7f\""},
		{"words", `[true, false, null]`, `[true,false,null]`},
		{"empty things", ` [ { } , [ ] , "" ] `, `[{},[],""]`},
		{"64 levels", strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 64) + strings.Repeat("]", 64)},
	}
	for _, tt := range tests {
		got, err := rawjson.Compact(nil, []byte(tt.in))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: Compact(%s) = %s, %v; want %s", tt.name, tt.in, got, err, tt.want)
		}
	}
}

func TestCompactAppends(t *testing.T) {
	got, err := rawjson.Compact([]byte("before "), []byte(" [ ] "))
	if err != nil || string(got) != "before []" {
		t.Errorf("Compact = %q, %v; want %q", got, err, "before []")
	}
}

func TestCompactRefuses(t *testing.T) {
	tests := []struct {
		name, in string
		offset   int
	}{
		{"nothing", "", 0},
		{"space only", " \n", 2},
		{"a byte order mark", "\ufeff1", 0},
		{"a second value", "1 2", 2},
		{"a raw control byte", "\"a\x01\"", 2},
		{"a raw NUL", "\"\x00\"", 1},
		{"a raw line feed in a string", "\"\n\"", 1},
		{"other space", "\v1", 0},
		{"space of Unicode", "\u00a01", 0},
		{"invalid UTF-8", "\"ab\xff\"", 3},
		{"a surrogate in UTF-8", "\"\xed\xa0\x80\"", 1},
		{"an overlong form", "\"\xc0\x80\"", 1},
		{"a cut character", "\"\xe2\x82\"", 1},
		{"a name twice", `{"a":1,"b":2,"a":3}`, 13},
		{"a name twice, once escaped", `{"abc":1,"a\u0062c":2}`, 9},
		{"a name twice, escaped in two ways", `{"\u004a":1,"\u004A":2}`, 12},
		{"an escaped name twice", `{"\n":1,"\u000a":2}`, 8},
		{"an empty name twice", `{"":1,"":2}`, 6},
		{"a pair and its character", `{"😀":1,"\ud83d\ude00":2}`, 10},
		{"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), 64},
		{"65 levels of objects", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), 64 * 5},
		{"a plus sign", "+1", 0},
		{"a leading zero", "01", 1},
		{"a leading point", ".5", 0},
		{"a trailing point", "5.", 2},
		{"an empty exponent", "1e", 2},
		{"a lonely sign", "-", 1},
		{"not a number", "NaN", 0},
		{"a word in capitals", "True", 0},
		{"half a word", "nul", 0},
		{"single quotes", "'a'", 0},
		{"an unknown escape", `"\x41"`, 1},
		{"a cut escape", `"\u12`, 1},
		{"an open string", `"abc`, 4},
		{"an open array", "[1", 2},
		{"an open object", `{"a":1`, 6},
		{"a comma too many", "[1,]", 3},
		{"a comma too many in an object", `{"a":1,}`, 7},
		{"no comma", "[1 2]", 3},
		{"no colon", `{"a" 1}`, 5},
		{"a name that is no string", "{1:2}", 1},
		{"the wrong bracket", "[1}", 2},
		{"a comment", "/**/1", 0},
	}
	for _, tt := range tests {
		_, err := rawjson.Compact(nil, []byte(tt.in))
		var syntax *rawjson.SyntaxError
		if !errors.As(err, &syntax) || !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: Compact(%q) = %v; want a SyntaxError that is invalid", tt.name, tt.in, err)
		} else if syntax.Offset != tt.offset {
			t.Errorf("%s: Compact(%q) refuses byte %d (%v); want %d", tt.name, tt.in, syntax.Offset, err, tt.offset)
		}
	}
}

// object has n members, one of them named like another if twice is not negative.
func object(n, twice int, escaped bool) []byte {
	name := `"k%d"`
	if escaped {
		name = `"\u006b%d"`
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, name+`:0`, i)
	}
	if twice >= 0 {
		fmt.Fprintf(&b, `,"k%d":0`, twice)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func TestCompactFindsDuplicatesInObjectsOfAnySize(t *testing.T) {
	for _, n := range []int{1, 15, 16, 17, 18, 63, 64, 65, 5000} {
		for _, escaped := range []bool{false, true} {
			if _, err := rawjson.Compact(nil, object(n, -1, escaped)); err != nil {
				t.Errorf("%d names: %v", n, err)
			}
			for _, twice := range []int{0, n / 2, n - 1} {
				if _, err := rawjson.Compact(nil, object(n, twice, escaped)); err == nil {
					t.Errorf("%d names and k%d again: not refused", n, twice)
				}
			}
		}
	}
}

func TestCompactAllocatesOnlyItsResult(t *testing.T) {
	src := telemetry(100)
	dst := make([]byte, 0, len(src))
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := rawjson.Compact(dst, src); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("Compact allocates %v times; want never", allocs)
	}
}

func TestMembersAndElements(t *testing.T) {
	type member struct{ name, value string }
	var got []member
	for name, value := range rawjson.Members([]byte(`{"a":1,"\u0062\"":"},]\\","":[1,{"x":[]}],"d":{}}`)) {
		got = append(got, member{name, string(value)})
	}
	want := []member{{"a", "1"}, {`b"`, `"},]\\"`}, {"", `[1,{"x":[]}]`}, {"d", "{}"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Members = %q; want %q", got, want)
	}
	var elements []string
	for value := range rawjson.Elements([]byte(`["],\"",[[]],{"a":","},-1.5e3,null]`)) {
		elements = append(elements, string(value))
	}
	if want := []string{`"],\""`, `[[]]`, `{"a":","}`, `-1.5e3`, `null`}; !reflect.DeepEqual(elements, want) {
		t.Errorf("Elements = %q; want %q", elements, want)
	}
	for _, other := range []string{``, `[`, `{}`, `[]`, `1`, `"[]"`, `null`} {
		for name := range rawjson.Members([]byte(other)) {
			t.Errorf("%s has a member %q", other, name)
		}
		for value := range rawjson.Elements([]byte(other)) {
			t.Errorf("%s has an element %q", other, value)
		}
	}
}

func TestInt64(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"-0", 0, true}, {"0.0", 0, true}, {"0e99999999999999999999", 0, true},
		{"1600000000000", 1600000000000, true}, {"-1", -1, true}, {"1e3", 1000, true}, {"1.0", 1, true},
		{"1.5e1", 15, true}, {"1500e-2", 15, true}, {"0.001e3", 1, true}, {"1.6E+12", 1600000000000, true},
		{"9223372036854775807", math.MaxInt64, true}, {"-9223372036854775808", math.MinInt64, true},
		{"9223372036854775808", 0, false}, {"-9223372036854775809", 0, false}, {"99999999999999999999", 0, false},
		{"1e19", 0, false}, {"1e18", 1e18, true}, {"1e999999999999", 0, false}, {"1e-999999999999", 0, false},
		{"1.5", 0, false}, {"1e-1", 0, false}, {"", 0, false}, {"-", 0, false}, {"01", 0, false}, {"1 ", 0, false},
		{"+1", 0, false}, {"0x10", 0, false}, {"1_000", 0, false}, {"null", 0, false}, {`"1"`, 0, false}, {"[1]", 0, false},
	}
	for _, tt := range tests {
		got, ok := rawjson.Int64([]byte(tt.in))
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("Int64(%s) = %d, %t; want %d, %t", tt.in, got, ok, tt.want, tt.ok)
		}
	}
	for in, want := range map[string]bool{`"1e3"`: true, `1000`: true, `"\u0031000"`: true, `""`: false, `" 1"`: false, `true`: false} {
		if got, ok := rawjson.NumericInt64([]byte(in)); ok != want || ok && got != 1000 {
			t.Errorf("NumericInt64(%s) = %d, %t; want 1000, %t", in, got, ok, want)
		}
	}
}

// FuzzCompact holds Compact against encoding/json: it never takes what that refuses, and refuses for a reason of its own
// only what decision 1 names; what it takes means the same and stays as it is when compacted again.
func FuzzCompact(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, 2.50, -0e1, "\u0000é\ud800"], "b": {"a": null}}`, `{"a":1,"\u0061":2}`, "\"\xff\"", `[[[[]]]]`, ` tru`, `1 1`, string(object(20, 3, false)),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		got, err := rawjson.Compact(nil, src)
		if !bytes.Equal(src, before) {
			t.Fatalf("Compact changed its source to %q", src)
		}
		if err != nil {
			if json.Valid(src) && utf8.Valid(src) && !hasDuplicates(src) && !tooDeep(src) {
				t.Fatalf("Compact(%q) = %v; encoding/json takes it", src, err)
			}
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, src); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("Compact(%q) = %q; encoding/json has %q, %v", src, got, want.Bytes(), err)
		}
		if !utf8.Valid(got) || hasDuplicates(src) || tooDeep(src) {
			t.Fatalf("Compact(%q) = %q; want a refusal", src, got)
		}
		again, err := rawjson.Compact(nil, got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("Compact(%q) = %q, %v; want no change", got, again, err)
		}
		if walked := rebuild(got); !bytes.Equal(walked, got) {
			t.Fatalf("walking over %q finds %q", got, walked)
		}
	})
}

// FuzzWalk reads text that nobody has checked: no panic, no endless loop.
func FuzzWalk(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"\\\""}]}`))
	f.Add([]byte(`{"a:}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		steps := 0
		for range rawjson.Members(raw) {
			steps++
		}
		for range rawjson.Elements(raw) {
			steps++
		}
		if steps > 2*len(raw) {
			t.Fatalf("%d steps over %d bytes", steps, len(raw))
		}
		if n, ok := rawjson.Int64(raw); ok {
			var number json.Number
			if err := json.Unmarshal(raw, &number); err != nil {
				t.Fatalf("Int64(%q) = %d; encoding/json says %v", raw, n, err)
			}
		}
		if s, ok := rawjson.String(raw); ok && json.Valid(raw) {
			var want string
			if err := json.Unmarshal(raw, &want); err != nil || utf8.Valid(raw) && s != want {
				t.Fatalf("String(%q) = %q; encoding/json has %q, %v", raw, s, want, err)
			}
		}
	})
}

// FuzzAppendString holds AppendString against encoding/json.
func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\x00\x1f\u2028é\xff<>&")
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(s); err != nil {
			t.Fatal(err)
		}
		if got := rawjson.AppendString(nil, s); string(got) != strings.TrimSuffix(want.String(), "\n") {
			t.Fatalf("AppendString(%q) = %s; encoding/json has %s", s, got, want.Bytes())
		}
	})
}

// rebuild takes compacted text apart and puts it together again.
func rebuild(raw []byte) []byte {
	open, closing := byte('['), byte(']')
	if raw[0] == '{' {
		open, closing = '{', '}'
	} else if raw[0] != '[' {
		return raw
	}
	out := []byte{open}
	for rest := rawjson.Inside(raw, open); len(rest) > 0; {
		var name, value []byte
		if open == '{' {
			name, value, rest = rawjson.NextMember(rest)
			out = append(append(out, name...), ':')
		} else {
			value, rest = rawjson.Next(rest)
		}
		out = append(out, rebuild(value)...)
		if len(rest) > 0 {
			out = append(out, ',')
		}
	}
	return append(out, closing)
}

// hasDuplicates tells whether valid JSON text has a name twice in an object. Names are compared with escapes that stand
// for surrogates as they are, since encoding/json takes all lone ones for the same.
func hasDuplicates(src []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(keepSurrogates(src)))
	var open []map[string]bool // nil is an array
	name := false              // the next string is one
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' {
				open = append(open, map[string]bool{})
				name = true
				continue
			}
			if v == '[' {
				open = append(open, nil)
				continue
			}
			open = open[:len(open)-1]
		case string:
			if name {
				if open[len(open)-1][v] {
					return true
				}
				open[len(open)-1][v] = true
				name = false
				continue
			}
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
}

// keepSurrogates rewrites lone surrogates to text of the private use area, so that they stay apart.
func keepSurrogates(src []byte) []byte {
	var out []byte
	for i := 0; i < len(src); i++ {
		if src[i] != '\\' || i+1 == len(src) {
			out = append(out, src[i])
			continue
		}
		var unit rune
		if n, _ := fmt.Sscanf(string(src[i:min(i+6, len(src))]), `\u%04x`, &unit); n == 1 && unit >= 0xd800 && unit < 0xe000 {
			var low rune
			n, _ := fmt.Sscanf(string(src[min(i+6, len(src)):min(i+12, len(src))]), `\u%04x`, &low)
			if unit < 0xdc00 && n == 1 && low >= 0xdc00 && low < 0xe000 {
				out = append(out, src[i:i+12]...)
				i += 11
				continue
			}
			out = append(out, fmt.Sprintf("lone surrogate %04x", unit)...)
			i += 5
			continue
		}
		out = append(out, src[i], src[i+1])
		i++
	}
	return out
}

func tooDeep(src []byte) bool {
	depth := 0
	decoder := json.NewDecoder(bytes.NewReader(src))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			if depth++; depth > rawjson.MaxDepth {
				return true
			}
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

// telemetry is a batch of n samples of an accelerometer, as a phone sends it.
func telemetry(n int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"timestamp":%d,"sensor":"lamp.accelerometer","data":{"x":%.6f,"y":%.6f,"z":%.6f}}`, 1600000000000+200*i, 0.01*float64(i), -0.98+0.001*float64(i), 0.5/float64(i+1))
	}
	b.WriteByte(']')
	return b.Bytes()
}

func BenchmarkCompact(b *testing.B) {
	var indented bytes.Buffer
	if err := json.Indent(&indented, telemetry(300), "", "  "); err != nil {
		b.Fatal(err)
	}
	for name, src := range map[string][]byte{
		"telemetry": telemetry(300),
		"indented":  indented.Bytes(),
		"image":     []byte(`{"photo":"data:image/png;base64,` + strings.Repeat("iVBORw0KGgoAAAANSUhEUg", 10000) + `"}`),
		"accents":   []byte(`["` + strings.Repeat("Größe é ", 4000) + `"]`),
		"names":     object(5000, -1, false),
	} {
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, 0, len(src))
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rawjson.Compact(dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMembers(b *testing.B) {
	src := telemetry(300)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		for element := range rawjson.Elements(src) {
			for name, value := range rawjson.Members(element) {
				if name == "" || value == nil {
					b.Fatal("nothing")
				}
			}
		}
	}
}
