package api

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"strandline/domain"
)

// Bounds on a query: of the whole, of one text in it, and of the words in one list.
const (
	longestQuery = 8 << 10
	longestText  = 1 << 10
	longestList  = 100
)

// Sizes of a page, in rows.
const (
	defaultPage = 100
	largestPage = 1000
)

// heavyPage is after how many bytes of what clients have sent a page is full, however few rows it has: one row can be as
// large as a body, and a page is put together in memory.
const heavyPage = 8 << 20

// query is what stands behind the question mark, by name, checked against what the route declares. What was not given
// reads as the zero value.
type query map[string]value

// value is one parameter, in the field that its kind asks for.
type value struct {
	text     string
	list     []string
	number   int
	flag     bool
	position domain.Position
	time     time.Time
	id       domain.ID
}

func (q query) has(name string) bool      { _, ok := q[name]; return ok }
func (q query) text(name string) string   { return q[name].text }
func (q query) list(name string) []string { return q[name].list }
func (q query) texts(name string) []string {
	return slices.Compact(slices.Sorted(slices.Values(q[name].list)))
}
func (q query) number(name string) int               { return q[name].number }
func (q query) flag(name string) bool                { return q[name].flag }
func (q query) position(name string) domain.Position { return q[name].position }
func (q query) time(name string) time.Time           { return q[name].time }
func (q query) id(name string) domain.ID             { return q[name].id }

// page is the size of the page asked for by the parameter "limit".
func (q query) page() int {
	if !q.has("limit") {
		return defaultPage
	}
	return min(q.number("limit"), largestPage)
}

// readQuery reads a query of the declared parameters. Its errors name parameters, never what the caller wrote: that may
// be personal, and an answer may end up anywhere.
func readQuery(raw string, declared []parameter) (query, error) {
	if len(raw) > longestQuery {
		return nil, fmt.Errorf("%w: the query is longer than %d bytes", domain.ErrInvalid, longestQuery)
	}
	q := query{}
	for i, part := range strings.Split(raw, "&") {
		if part == "" {
			continue
		}
		if err := q.read(i+1, part, declared); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// read reads the nth part of a query.
func (q query) read(nth int, part string, declared []parameter) error {
	name, text, _ := strings.Cut(part, "=")
	name, err1 := url.QueryUnescape(name)
	text, err2 := url.QueryUnescape(text)
	if errors.Join(err1, err2) != nil || !utf8.ValidString(name) || !utf8.ValidString(text) || strings.Contains(part, ";") {
		return fmt.Errorf("%w: part %d of the query is not percent-encoded UTF-8", domain.ErrInvalid, nth)
	}
	i := slices.IndexFunc(declared, func(p parameter) bool { return p.name == name })
	if i < 0 {
		return unknownParameter(nth, name, declared)
	}
	if len(text) > longestText {
		return fmt.Errorf("%w: %s is longer than %d bytes", domain.ErrInvalid, name, longestText)
	}
	if q.has(name) && declared[i].kind != "list" && declared[i].kind != "texts" {
		return fmt.Errorf("%w: %s is given twice", domain.ErrInvalid, name)
	}
	if text == "" {
		return nil // as if it had not been given, which spares scripts a case
	}
	v, err := declared[i].read(q[name], text)
	if err != nil {
		return fmt.Errorf("%w: %s is %w", domain.ErrInvalid, name, err)
	}
	q[name] = v
	return nil
}

func unknownParameter(nth int, name string, declared []parameter) error {
	if len(declared) == 0 {
		return fmt.Errorf("%w: this route takes no query", domain.ErrInvalid)
	}
	names := make([]string, 0, len(declared))
	for _, p := range declared {
		names = append(names, p.name)
	}
	meant := ""
	if near := nearest(name, names); near != "" {
		meant = "; did you mean " + near + "?"
	}
	return fmt.Errorf("%w: part %d of the query is no parameter of this route, which are %s%s",
		domain.ErrInvalid, nth, strings.Join(names, ", "), meant)
}

// read reads the text of one parameter into v. Its error goes on after "limit is".
func (p parameter) read(v value, text string) (value, error) {
	var err error
	switch p.kind {
	case "string":
		v.text = text
	case "list":
		v.list = append(v.list, strings.Split(text, ",")...)
		if len(v.list) > longestList {
			err = fmt.Errorf("a list of at most %d words", longestList)
		}
	case "texts":
		if v.list = append(v.list, text); len(v.list) > longestList {
			err = fmt.Errorf("given at most %d times", longestList)
		}
	case "integer":
		v.number, err = number(text, 1)
	case "revision":
		v.number, err = number(text, 0)
	case "boolean":
		v.flag = text == "true"
		if text != "true" && text != "false" {
			err = errors.New("true or false")
		}
	case "position":
		if v.position, err = domain.ParsePosition(text); err != nil {
			err = errors.New("not a position that this server gave")
		}
	case "time":
		v.time, err = readTime(text)
	case "uuid":
		if v.id, err = domain.ParseID(text); err != nil || v.id.IsZero() {
			err = errors.New("not a UUID")
		}
	default: // one of a few words
		v.text = text
		if words := strings.Split(p.kind, "|"); !slices.Contains(words, text) {
			err = fmt.Errorf("one of %s", strings.Join(words, ", "))
		}
	}
	return v, err
}

func number(text string, least int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, fmt.Errorf("a whole number from %d", least)
	}
	return n, nil
}

// Times beyond these are no times of observations either (they are JavaScript's).
var (
	firstTime = time.UnixMilli(-8_640_000_000_000_000).UTC()
	lastTime  = time.UnixMilli(8_640_000_000_000_000).UTC()
)

// readTime reads a time: RFC 3339 (a plus that nobody encoded arrives as a space), a day (its midnight in UTC), or
// milliseconds since 1970.
func readTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "+", 1))
	if err != nil {
		at, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		var ms int64
		ms, err = strconv.ParseInt(text, 10, 64)
		at = time.UnixMilli(ms)
	}
	if at = at.UTC(); err != nil || at.Before(firstTime) || at.After(lastTime) {
		return time.Time{}, errors.New("a time: RFC 3339 (2026-05-06T12:00:00Z), a day (2026-05-06), or milliseconds since 1970")
	}
	if at.IsZero() { // which stands for none
		at = at.Add(1)
	}
	return at, nil
}

// nearest is the name that word was most likely meant to be, empty if none comes close.
func nearest(word string, names []string) string {
	const longestName = 64
	if len(word) > longestName {
		return ""
	}
	best, found := 1+len(word)/3, ""
	for _, name := range names {
		if d := distance(strings.ToLower(word), name); d <= best && (found == "" || d < best) {
			best, found = d, name
		}
	}
	return found
}

// distance counts the bytes to insert, delete or change to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
