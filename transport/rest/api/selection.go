package api

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"strandline/commands"
	"strandline/domain"
)

// eventFilters are the parameters that select events. All of them may be combined.
var eventFilters = []parameter{
	{"stream", "string", "of this stream only"},
	{"type", "list", "of these types only; one that ends in * stands for all that begin so"},
	{"subject", "string", "about this participant only"},
	{"actor", "string", "by this object, or by root, system or anonymous, only"},
	{"correlation", "uuid", "led to by this request only"},
	{"from", "time", "recorded at this time or later"},
	{"to", "time", "recorded before this time"},
}

// selection is which events are asked for. Zero fields select everything.
type selection struct {
	after       domain.Position
	stream      string
	types       []string
	subject     string
	actor       string
	correlation domain.ID
	from, to    time.Time
}

// selection reads the query.
func (c *call) selection() selection {
	q := c.query
	return selection{
		after: q.position("after"), stream: q.text("stream"), types: q.list("type"), subject: q.text("subject"),
		actor: q.text("actor"), correlation: q.id("correlation"), from: q.time("from"), to: q.time("to"),
	}
}

// wants tells by its envelope alone whether a record is selected, so that only those are opened.
func (s *selection) wants(e *domain.Envelope) bool {
	switch {
	case s.stream != "" && e.Stream != s.stream,
		s.subject != "" && e.Subject != s.subject,
		s.actor != "" && e.Actor != s.actor,
		!s.correlation.IsZero() && e.Correlation != s.correlation,
		e.Time.Before(s.from):
		return false
	}
	return len(s.types) == 0 || slices.ContainsFunc(s.types, func(t string) bool { return isType(e.Type, t) })
}

func isType(name, wanted string) bool {
	if beginning, open := strings.CutSuffix(wanted, "*"); open {
		return strings.HasPrefix(name, beginning)
	}
	return name == wanted
}

// over tells whether neither e nor anything after it is selected: times never go back in a log.
func (s *selection) over(e *domain.Envelope) bool { return !s.to.IsZero() && !e.Time.Before(s.to) }

// history yields the records among which s selects, oldest first, up to the head that there was at the request's
// arrival: those of the stream that it names, else of the log.
func (c *call) history(ctx context.Context, s selection) iter.Seq2[domain.Record, error] {
	read := c.ofLog
	if s.stream != "" {
		read = c.ofStream
	}
	return func(yield func(domain.Record, error) bool) {
		for r, err := range read(ctx, s) {
			if err == nil && !s.after.Before(r.Position) {
				continue
			}
			if err == nil && c.Arrival.Before(r.Position) || !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// ofLog reads the log from where the selection begins.
func (c *call) ofLog(ctx context.Context, s selection) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		from, err := c.begin(ctx, s)
		if err != nil {
			yield(domain.Record{}, err)
			return
		}
		c.Log.ReadAll(ctx, from, 0, commands.Forwards)(yield)
	}
}

// begin is the position at which, or after which, the first record of a selection stands. It is found by halving: a
// read from any position begins with the first record at or after it.
func (c *call) begin(ctx context.Context, s selection) (domain.Position, error) {
	if s.from.IsZero() {
		return s.after, nil
	}
	i, err := first(s.after.Commit, c.Arrival.Commit+1, func(i uint64) (bool, error) {
		r, err := head(c.Log.ReadAll(ctx, domain.Position{Commit: i}, 1, commands.Forwards))
		return r == nil || !r.Time.Before(s.from), err
	})
	return domain.Position{Commit: i}, err
}

// ofStream reads a stream from where the selection begins. A stream that nobody wrote has no records.
func (c *call) ofStream(ctx context.Context, s selection) iter.Seq2[domain.Record, error] {
	return func(yield func(domain.Record, error) bool) {
		last, err := head(c.Log.ReadStream(ctx, s.stream, math.MaxUint64, 1, commands.Backwards))
		if errors.Is(err, domain.ErrNoStream) {
			return
		}
		var from uint64
		if err == nil && last != nil {
			from, err = c.beginStream(ctx, s, last.Revision)
		}
		if err != nil {
			yield(domain.Record{}, err)
			return
		}
		c.Log.ReadStream(ctx, s.stream, from, 0, commands.Forwards)(yield)
	}
}

func (c *call) beginStream(ctx context.Context, s selection, last uint64) (uint64, error) {
	if s.after.IsZero() && s.from.IsZero() {
		return 0, nil
	}
	return first(0, last+1, func(i uint64) (bool, error) {
		r, err := head(c.Log.ReadStream(ctx, s.stream, i, 1, commands.Forwards))
		return r == nil || s.after.Before(r.Position) && !r.Time.Before(s.from), err
	})
}

// first is the least number in [low, high) of which is is true, high if there is none. Once true, it is true of all
// greater ones.
func first(low, high uint64, is func(uint64) (bool, error)) (uint64, error) {
	for low < high {
		middle := low + (high-low)/2
		yes, err := is(middle)
		switch {
		case err != nil:
			return 0, err
		case yes:
			high = middle
		default:
			low = middle + 1
		}
	}
	return low, nil
}

// head is the first record of a reading, nil if there is none.
func head(records iter.Seq2[domain.Record, error]) (*domain.Record, error) {
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		return &r, nil
	}
	return nil, nil
}
