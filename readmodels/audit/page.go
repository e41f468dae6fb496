package audit

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"strandline/domain"
	"strandline/readmodels"
)

// Query selects records. Zero fields select everything.
type Query struct {
	After   int64 // begin after the record of this number, in the order that is asked for; 0: at its beginning
	Newest  bool  // newest first, else oldest first
	Request domain.ID
	Actor   string
	Subject string
	Object  string
	Outcome string
	Route   string
	From    time.Time // at this time or later
	To      time.Time // before this time
	Limit   int       // at most so many; 0 is 1000
}

// Page is what was found of a query.
type Page struct {
	Records []Record
	Last    int64 // the number up to which records were looked at: the page that follows is after it
	End     bool  // there were no more
}

// longestScan bounds how many records are looked at for one page, so that a rare selection holds nobody up.
const longestScan = 100_000

// Page returns the records that q selects and that may lets through, from where After says. Pages that follow each other
// neither skip nor repeat a record, however many are added in the meantime: those get higher numbers. A page may be
// empty and not the end.
func (s *Store) Page(ctx context.Context, q Query, may func(Record) bool) (p Page, err error) {
	if q.Limit == 0 {
		q.Limit = 1000
	}
	err = s.db.View(ctx, func(tx *readmodels.Tx) error {
		p = Page{Records: []Record{}} // a View may begin again
		span, err := q.span(tx)
		if err != nil {
			return err
		}
		return p.fill(tx, q, span, may)
	})
	return p, err
}

// span is the numbers among which to look, both inclusive: nothing if the first is above the last.
type span struct{ first, last int64 }

// span finds what After, From and To leave.
func (q Query) span(tx *readmodels.Tx) (s span, err error) {
	if s.first, s.last, err = one(tx, "SELECT 1, coalesce(max(number), 0) FROM request"); err != nil {
		return s, err
	}
	end := s.last + 1
	if !q.From.IsZero() {
		if s.first, err = begins(tx, end, q.From); err != nil {
			return s, err
		}
	}
	if !q.To.IsZero() {
		if end, err = begins(tx, end, q.To); err != nil {
			return s, err
		}
		s.last = end - 1
	}
	switch {
	case q.Newest && q.After > 0:
		s.last = min(s.last, q.After-1)
	case !q.Newest:
		s.first = max(s.first, q.After+1)
	}
	return s, nil
}

// begins is the number of the first record of a time or later, end if there is none before it. It is found by halving.
func begins(tx *readmodels.Tx, end int64, at time.Time) (int64, error) {
	low, high, wanted := int64(1), end, nanoseconds(at)
	for low < high {
		middle := low + (high-low)/2
		_, time, err := one(tx, "SELECT number, time FROM request WHERE number >= ? ORDER BY number LIMIT 1", middle)
		switch {
		case err != nil:
			return 0, err
		case time < wanted:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, nil
}

// nanoseconds is a time as it is stored: in ns since 1970, where they can count to it, else the nearest to which they can.
func nanoseconds(at time.Time) int64 {
	switch {
	case at.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case at.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return at.UnixNano()
}

// one is the first row of a query, two numbers.
func one(tx *readmodels.Tx, query string, args ...any) (a, b int64, err error) {
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return 0, 0, err
		}
		return row.Int64(0), row.Int64(1), nil
	}
	return 0, 0, nil
}

// errFull ends a reading.
var errFull = errors.New("the page is full")

// fill looks through a span until the page is full.
func (p *Page) fill(tx *readmodels.Tx, q Query, s span, may func(Record) bool) error {
	p.Last = q.After
	look := &looking{Page: p, Query: q, may: may}
	err := look.through(tx, s)
	if errors.Is(err, errFull) {
		return nil
	}
	p.End = true
	if s.first <= s.last { // what is in between will never be selected
		p.Last = s.last
	}
	if s.first <= s.last && q.Newest {
		p.Last = s.first
	}
	return err
}

// looking is a page that is being filled.
type looking struct {
	*Page
	Query
	may     func(Record) bool
	scanned int
}

// The texts of queries. Blocks come in the order that is asked for because that of a recursion is kept by what is joined
// to it (sqlite.org/lang_select.html, on CROSS JOIN, and lang_with.html).
const (
	oldestFirst = "SELECT " + columns + " FROM request WHERE number BETWEEN ? AND ? ORDER BY number"
	newestFirst = oldestFirst + " DESC"
	byRequest   = "SELECT " + columns + " FROM request WHERE number BETWEEN ? AND ? AND request = ?"

	oldestBlocks = `WITH RECURSIVE all_blocks (block) AS (SELECT ?1 UNION ALL SELECT block + 1 FROM all_blocks WHERE block < ?2 ORDER BY 1)
		SELECT all_blocks.block FROM all_blocks CROSS JOIN seen WHERE seen.block = all_blocks.block AND seen.who = ?3`
	newestBlocks = `WITH RECURSIVE all_blocks (block) AS (SELECT ?2 UNION ALL SELECT block - 1 FROM all_blocks WHERE block > ?1 ORDER BY 1 DESC)
		SELECT all_blocks.block FROM all_blocks CROSS JOIN seen WHERE seen.block = all_blocks.block AND seen.who = ?3`
)

// through looks through a span: through all of it, or where somebody is named through the blocks that know of them.
func (l *looking) through(tx *readmodels.Tx, s span) error {
	who := cmp.Or(l.Subject, l.Object, l.Actor)
	switch {
	case s.first > s.last:
		return nil
	case !l.Request.IsZero():
		return l.rows(tx, byRequest, s.first, s.last, l.Request[:])
	case who == "":
		return l.rows(tx, l.order(oldestFirst, newestFirst), s.first, s.last)
	}
	for row, err := range tx.Query(l.order(oldestBlocks, newestBlocks), s.first>>block, s.last>>block, who) {
		if err != nil {
			return err
		}
		first := row.Int64(0) << block
		if err := l.rows(tx, l.order(oldestFirst, newestFirst), max(s.first, first), min(s.last, first+1<<block-1)); err != nil {
			return err
		}
	}
	return nil
}

func (l *looking) order(oldest, newest string) string {
	if l.Newest {
		return newest
	}
	return oldest
}

// rows looks at the rows of a query. It fails with errFull where there is no room for the next.
func (l *looking) rows(tx *readmodels.Tx, query string, args ...any) error {
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return err
		}
		if len(l.Records) == l.Limit || l.scanned == longestScan {
			return errFull
		}
		l.Last = row.Int64(0)
		if l.scanned++; !l.selects(row) {
			continue
		}
		r, err := record(row)
		if err != nil {
			return err
		}
		if l.may(r) {
			l.Records = append(l.Records, r)
		}
	}
	return nil
}

// selects tells whether a row is selected, without taking it apart.
func (q Query) selects(row readmodels.Row) bool {
	is := func(column int, wanted string) bool { return wanted == "" || string(row.Raw(column)) == wanted }
	return is(3, q.Actor) && is(11, q.Route) && is(12, q.Object) && is(15, q.Subject) && is(16, q.Outcome)
}
