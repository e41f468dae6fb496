package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"strandline/commands/policy"
	"strandline/domain"
	"strandline/readmodels/series"
	"strandline/transport/rest"
)

// Series is what the dialect asks of readmodels/series.
type Series interface {
	readModel
	Merged(ctx context.Context, c series.Choice) iter.Seq2[series.Sample, error]
	Latest(ctx context.Context, n series.Newest) iter.Seq2[series.Sample, error]
}

const seriesPath = "/strandline/v1/subjects/{id}/series"

func seriesRoutes() []route {
	names := []parameter{
		{"name", "texts", "only of series with this name; it may be given several times"},
		{"channel", "texts", "only of this channel; it may be given several times"},
	}
	return []route{
		{method: "GET", path: seriesPath, verb: policy.EventList, object: subject, handle: (*call).series, operation: operation{
			summary: "What was observed of a subject, oldest first, or summed up in windows of time",
			about: "Samples come by time, position and index; those without a time come first, unless from or to are given. " +
				"The pages of one walk show what was recorded before its first page. With a window, samples without a time are left out, " +
				"and so are windows without samples; windows begin at whole multiples of their length since 1970-01-01 UTC.",
			query: append(slices.Clone(names),
				parameter{"from", "time", "not before this time"},
				parameter{"to", "time", "before this time"},
				parameter{"limit", "integer", "at most so many rows"},
				parameter{"after", "string", "go on after this place: next of the page before"},
				parameter{"window", "string", "sum up in windows of this length: 5m, 1h, 1d, 1w, PT5M, P1D, or a number of ms"},
				parameter{"aggregate", "list", "of each window: count, min, max, mean, last; all of them if left out. Min, max and mean are those of numbers, and of objects those of their member value"},
				parameter{"field", "string", "sum up this member of values that are objects, a path with dots; what has none is not counted"}),
			answer: either{samplePage{}, windowPage{}}, lines: either{sample{}, window{}},
		}},
		{method: "GET", path: seriesPath + "/latest", verb: policy.EventList, object: subject, handle: (*call).latest, operation: operation{
			summary: "The latest sample of each series of a subject, by channel and name",
			about:   "All of them, unless they are heavy: then a page has some, and next goes on with the series that follow. Lines have all.",
			query: append(slices.Clone(names),
				parameter{"after", "string", "go on after this series: next of the page before"}),
			answer: latestSamples{}, lines: sample{},
		}},
	}
}

// subject is the object that the path names.
func subject(c *call) policy.Object { return policy.Object{ID: c.vars["id"]} }

// samplePage and windowPage are what a page has.
type (
	samplePage struct {
		Samples []sample `json:"samples"`
		Next    *string  `json:"next" about:"to be given as after, for the page that follows; null where there is nothing left"`
		End     bool     `json:"end" about:"there was nothing more when the request came; later there may be"`
	}
	windowPage struct {
		Windows []window `json:"windows"`
		Next    *string  `json:"next" about:"to be given as after, for the page that follows; null where there is nothing left"`
		End     bool     `json:"end" about:"there was nothing more when the request came; later there may be"`
	}
)

// latestSamples are the latest of each series.
type latestSamples struct {
	Samples []sample `json:"samples"`
	Next    *string  `json:"next" about:"to be given as after, for the page that follows; null where there is nothing left"`
	End     bool     `json:"end" about:"there are no more series"`
}

// sample is a sample as clients see it.
type sample struct {
	Time     *int64          `json:"time" about:"ms since 1970-01-01 UTC, null where it is not known"`
	Channel  string          `json:"channel"`
	Name     string          `json:"name" about:"of the series"`
	Value    json.RawMessage `json:"value" about:"as it was sent"`
	Position domain.Position `json:"position" about:"of the event that it was recorded in"`
	Index    int             `json:"index" about:"in that event, from 0"`
}

// window is a window as clients see it. What was not asked for is left out; what there is none of is null.
type window struct {
	Start   int64           `json:"start" about:"ms since 1970-01-01 UTC"`
	End     int64           `json:"end" about:"ms since 1970-01-01 UTC, not in the window any more"`
	Channel string          `json:"channel"`
	Name    string          `json:"name" about:"of the series"`
	Count   json.RawMessage `json:"count,omitempty" about:"of samples"`
	Min     json.RawMessage `json:"min,omitempty" about:"of numbers"`
	Max     json.RawMessage `json:"max,omitempty" about:"of numbers"`
	Mean    json.RawMessage `json:"mean,omitempty" about:"of numbers"`
	Last    json.RawMessage `json:"last,omitempty" about:"the value of the last sample"`
}

// asked is what a request wants to see of a subject's series.
type asked struct {
	choice     series.Choice
	folding    series.Folding
	aggregates []string // none for samples
	shown      *shown   // the window shown last, nil at the beginning
}

// shown is a window that a page ended with.
type shown struct {
	start         int64
	channel, name string
}

// series answers with samples or windows: as a page, or as lines of JSON without end.
func (c *call) series() (rest.Answer, error) {
	a, err := c.asked()
	if err != nil {
		return rest.Answer{}, err
	}
	c.ready(c.Series)
	if c.media == mediaLines {
		return c.lines(func(ctx context.Context, w *lineWriter) error { return w.series(ctx, a) }), nil
	}
	if a.choice.Until.IsZero() {
		a.choice.Until = c.Series.Checkpoint()
	}
	if a.aggregates != nil {
		return c.windowPage(a)
	}
	return c.samplePage(a)
}

// asked reads the query.
func (c *call) asked() (a asked, err error) {
	a.choice = series.Choice{Subject: c.vars["id"], Series: c.query.texts("name"), Channels: c.query.texts("channel"),
		From: c.query.ms("from"), To: c.query.ms("to")}
	if !c.query.has("window") {
		if c.query.has("aggregate") || c.query.has("field") {
			return a, fmt.Errorf("%w: aggregate and field need a window, such as window=1h", domain.ErrInvalid)
		}
		return a, a.after(c.query.text("after"))
	}
	if a.folding.Width, err = readWindow(c.query.text("window")); err != nil {
		return a, err
	}
	if a.aggregates, err = aggregates(c.query.list("aggregate")); err != nil {
		return a, err
	}
	a.folding.Field = c.query.text("field")
	return a, a.after(c.query.text("after"))
}

// allAggregates are what can be told of a window.
var allAggregates = []string{"count", "min", "max", "mean", "last"}

func aggregates(words []string) ([]string, error) {
	for _, word := range words {
		if !slices.Contains(allAggregates, word) {
			return nil, fmt.Errorf("%w: aggregate is some of %s", domain.ErrInvalid, strings.Join(allAggregates, ", "))
		}
	}
	if len(words) == 0 {
		return allAggregates, nil
	}
	return words, nil
}

// ms is a time in whole ms, rounded up: no sample lies between; nil if it was not given.
func (q query) ms(name string) *int64 {
	if !q.has(name) {
		return nil
	}
	ms := q.time(name).Add(time.Millisecond - 1).UnixMilli()
	return &ms
}

// samplePage answers with one page of samples.
func (c *call) samplePage(a asked) (rest.Answer, error) {
	limit, weight, page := c.query.page(), 0, samplePage{Samples: []sample{}}
	for s, err := range c.Series.Merged(c.Context(), a.choice) {
		if err != nil {
			return rest.Answer{}, err
		}
		if n := len(page.Samples); n == limit || weight >= heavyPage {
			page.Next = orNull(sampleCursor(page.Samples[n-1], a.choice.Until))
			return shows(page, n)
		}
		page.Samples, weight = append(page.Samples, shownSample(s)), weight+len(s.Value)
	}
	if n := len(page.Samples); n > 0 {
		page.Next = orNull(sampleCursor(page.Samples[n-1], domain.Position{})) // this walk is over; another may find newer ones
	}
	page.End = true
	return shows(page, len(page.Samples))
}

func shownSample(s series.Sample) sample {
	return sample{Time: s.Time, Channel: s.Channel, Name: s.Series, Value: s.Value, Position: s.Position, Index: s.Index}
}

// mostFolded is after how many samples a page of windows is cut short, so that no answer takes for ever.
const mostFolded = 2_000_000

// windowPage answers with one page of windows.
func (c *call) windowPage(a asked) (rest.Answer, error) {
	page := windowPage{Windows: []window{}}
	limit, looked, weight := c.query.page(), 0, 0
	for w, err := range c.folded(c.Context(), a, &looked) {
		if err != nil {
			return rest.Answer{}, err
		}
		if n := len(page.Windows); n == limit || weight >= heavyPage || n > 0 && looked > mostFolded && w.Start != page.Windows[n-1].Start {
			page.Next = orNull(windowCursor(page.Windows[n-1], a.choice.Until))
			return shows(page, n)
		}
		shown, err := c.window(c.Context(), a, w)
		if err != nil {
			return rest.Answer{}, err
		}
		page.Windows, weight = append(page.Windows, shown), weight+len(shown.Last)
	}
	if n := len(page.Windows); n > 0 {
		page.Next = orNull(windowCursor(page.Windows[n-1], domain.Position{}))
	}
	page.End = true
	return shows(page, len(page.Windows))
}

// folded yields the windows that are still to be shown, and counts the samples in them.
func (c *call) folded(ctx context.Context, a asked, looked *int) iter.Seq2[series.Window, error] {
	if a.shown != nil && (a.choice.From == nil || *a.choice.From < a.shown.start) {
		a.choice.From = &a.shown.start
	}
	return func(yield func(series.Window, error) bool) {
		for w, err := range a.folding.Windows(c.Series.Merged(ctx, a.choice)) {
			*looked += w.Count
			if err == nil && !a.shown.before(w) {
				continue
			}
			if !yield(w, err) {
				return
			}
		}
	}
}

// before tells whether the window shown last comes before w.
func (s *shown) before(w series.Window) bool {
	return s == nil || cmp.Or(cmp.Compare(s.start, w.Start), cmp.Compare(s.channel, w.Channel), cmp.Compare(s.name, w.Series)) < 0
}

// window is what was asked for of w.
func (c *call) window(ctx context.Context, a asked, w series.Window) (shown window, err error) {
	shown = window{Start: w.Start, End: w.End, Channel: w.Channel, Name: w.Series}
	for _, aggregate := range a.aggregates {
		switch aggregate {
		case "count":
			shown.Count = fmt.Append(nil, w.Count)
		case "min":
			shown.Min = jsonNumber(w.Min, w.Numbers)
		case "max":
			shown.Max = jsonNumber(w.Max, w.Numbers)
		case "mean":
			shown.Mean = jsonNumber(w.Mean, w.Numbers)
		case "last":
			if shown.Last, err = a.folding.Last(ctx, c.Series, a.choice.Subject, w); err != nil {
				return shown, err
			}
		}
	}
	return shown, nil
}

// series writes samples or windows: all of them, or as many as were asked for.
func (w *lineWriter) series(ctx context.Context, a asked) error {
	if a.aggregates == nil {
		for s, err := range w.Series.Merged(ctx, a.choice) {
			if err == nil {
				err = w.write(shownSample(s))
			}
			if err = cmp.Or(err, w.pass()); err != nil {
				return err
			}
		}
		return nil
	}
	looked := 0
	for f, err := range w.folded(ctx, a, &looked) {
		var shown window
		if err == nil {
			shown, err = w.window(ctx, a, f)
		}
		if err == nil {
			err = w.write(shown)
		}
		if err = cmp.Or(err, w.pass()); err != nil {
			return err
		}
	}
	return nil
}

// latest answers with the latest sample of each series: as a page, or as lines of JSON.
func (c *call) latest() (rest.Answer, error) {
	n := series.Newest{Subject: c.vars["id"], Channels: c.query.texts("channel"), Series: c.query.texts("name")}
	var err error
	if n.After, err = readSeriesCursor(c.query.text("after")); err != nil {
		return rest.Answer{}, err
	}
	c.ready(c.Series)
	if c.media == mediaLines {
		return c.lines(func(ctx context.Context, w *lineWriter) error { return w.latest(ctx, n) }), nil
	}
	weight, page := 0, latestSamples{Samples: []sample{}}
	for s, err := range c.Series.Latest(c.Context(), n) {
		if err != nil {
			return rest.Answer{}, err
		}
		if rows := len(page.Samples); weight >= heavyPage {
			page.Next = orNull(seriesCursor(page.Samples[rows-1]))
			return shows(page, rows)
		}
		page.Samples, weight = append(page.Samples, shownSample(s)), weight+rowWeight+len(s.Value)
	}
	page.End = true
	return shows(page, len(page.Samples))
}

// rowWeight is what a row weighs besides its value, where nothing else bounds how many there are.
const rowWeight = 256

// latest writes the latest sample of each series.
func (w *lineWriter) latest(ctx context.Context, n series.Newest) error {
	for s, err := range w.Series.Latest(ctx, n) {
		if err == nil {
			err = w.write(shownSample(s))
		}
		if err = cmp.Or(err, w.pass()); err != nil {
			return err
		}
	}
	return nil
}

// readModel is what all read models have in common.
type readModel interface {
	Wait(ctx context.Context, position domain.Position) error
	Checkpoint() domain.Position
}

// ready waits until a read model has seen all that had happened when the request came (decision 17). One that stands
// still answers with what it has; the caller is told up to where that goes.
func (c *call) ready(m readModel) {
	ctx, stop := c.Waiting()
	defer stop()
	_ = m.Wait(ctx, c.Arrival)
	c.ReadFrom(m.Checkpoint())
}

// longestWindow bounds windows, in ms: ten years.
const longestWindow = int64(3652 * 24 * time.Hour / time.Millisecond)

// readWindow reads the length of a window in ms. A number without a unit is one of ms, as all numbers in samples are.
func readWindow(text string) (int64, error) {
	if onlyDigits.MatchString(text) {
		text += "ms"
	}
	length, err := readDuration(text)
	ms := length.Milliseconds()
	if err != nil || ms < 1 || ms > longestWindow || time.Duration(ms)*time.Millisecond != length {
		return 0, fmt.Errorf("%w: window is a length of whole milliseconds up to 3652 days, such as 5m, 1h, 1d, 1w, PT5M, P1D or 300000; "+
			"months and years are not, since they vary", domain.ErrInvalid)
	}
	return ms, nil
}

// jsonNumber is a number as JSON, null where there were none of which it could be.
func jsonNumber(n float64, of int) json.RawMessage {
	if of == 0 {
		return json.RawMessage("null")
	}
	text, err := json.Marshal(n)
	if err != nil {
		return json.RawMessage("null") // beyond what a number can be, which only rounding at the very limit makes of a mean
	}
	return text
}
