package lamp

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/domain/rawjson"
	"strandline/readmodels/series"
	"strandline/transport/rest"
)

// channel is one of the two kinds of events.
type channel struct {
	word   string // in paths
	name   string // in the domain
	read   func(raw []byte) (observation.Item, error)
	append func(dst []byte, s *series.Sample, light bool) []byte
}

var (
	sensorEvents   = channel{"sensor_event", observation.LAMPSensor, readSensorEvent, appendSensorEvent}
	activityEvents = channel{"activity_event", observation.LAMPActivity, readActivityEvent, appendActivityEvent}
)

// create records what was observed: one event or an array of them, which stays one fact.
func (ch channel) create(c *call) (rest.Answer, error) {
	body, err := c.json()
	if err != nil {
		return rest.Answer{}, err
	}
	items, err := ch.readItems(body)
	if err != nil {
		return rest.Answer{}, err
	}
	receipt, err := c.carryOut(observation.Record{Subject: c.id, Channel: ch.name, Items: items})
	if err != nil {
		return rest.Answer{}, err
	}
	c.await(c.backlog.behind(receipt.Position, len(items)), c.Series)
	return c.done(receipt), nil
}

// longList is how many events are shown at once at most. Longer lists leave bit by bit, in bounded memory.
const longList = 10_000

// list shows the events of one subject.
func (ch channel) list(c *call) (rest.Answer, error) {
	q, err := ch.query(c)
	if err != nil {
		return rest.Answer{}, err
	}
	c.ready(c.Series)
	q.Subject = c.id
	light := c.detail() == light
	if q.Limit == 0 || q.Limit > longList {
		return rest.Answer{Status: 200, Stream: func(ctx context.Context, to *rest.Stream) (int, error) {
			return ch.stream(to, c.Series.Each(ctx, q), light)
		}}, nil
	}
	body, rows := append(c.Buffer(), opening...), 0
	for s, err := range c.Series.Each(c.Context(), q) {
		if err != nil {
			return rest.Answer{}, err
		}
		body = ch.append(separate(body, rows), &s, light)
		rows++
	}
	return answer(append(body, closing...), rows), nil
}

// What stands around a list.
const (
	opening = `{"data":[`
	closing = `]}`
)

// stream writes a list as it is read. After an error the client is left with half of one, which is no JSON.
func (ch channel) stream(to *rest.Stream, samples iter.Seq2[series.Sample, error], light bool) (rows int, err error) {
	buffer := []byte(opening)
	for s, err := range samples {
		if err != nil {
			return rows, err
		}
		buffer = ch.append(separate(buffer, rows), &s, light)
		if _, err := to.Write(buffer); err != nil {
			return rows, err
		}
		buffer = buffer[:0]
		rows++
	}
	_, err = to.Write(append(buffer, closing...))
	return rows, err
}

// listBelow shows the events of all participants of a study or a researcher, merged by time. Where two have the same
// time, the one that was recorded first comes first in time.
func (ch channel) listBelow(c *call) (rest.Answer, error) {
	q, err := ch.query(c)
	if err != nil {
		return rest.Answer{}, err
	}
	c.ready(c.Series)
	samples, err := c.merged(q)
	if err != nil {
		return rest.Answer{}, err
	}
	body, light := append(c.Buffer(), opening...), c.detail() == light
	for i := range samples {
		body = ch.append(separate(body, i), &samples[i], light)
	}
	return answer(append(body, closing...), len(samples)), nil
}

// merged reads what q asks for from each participant in turn, and never holds more than twice its limit.
func (c *call) merged(q series.Query) ([]series.Sample, error) {
	var all []series.Sample
	for _, o := range c.below(c.object, participants.kind) {
		q.Subject = o.ID
		for s, err := range c.Series.Each(c.Context(), q) {
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		slices.SortFunc(all, order(q.Ascending))
		if q.Limit > 0 && len(all) > q.Limit {
			all = all[:q.Limit]
		}
	}
	return all, nil
}

// order compares samples as decision 9 has it: by time, position and index; descending is the exact reverse.
func order(ascending bool) func(a, b series.Sample) int {
	if ascending {
		return series.Compare
	}
	return func(a, b series.Sample) int { return series.Compare(b, a) }
}

// remove hides the events of one subject that a query names.
func (ch channel) remove(c *call) (rest.Answer, error) {
	q, err := ch.query(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return c.do(observation.Retract{Subject: c.id, Channel: ch.name, Series: q.Series, From: q.From, To: q.To}, c.Series)
}

// query reads the parameters of a request (contract, section 6). Where from and to are equal, they mean that millisecond.
func (ch channel) query(c *call) (series.Query, error) {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil { // ignored, it could make a request reach further than it says
		return series.Query{}, fmt.Errorf("%w: query: %w", domain.ErrInvalid, err)
	}
	from, err1 := bound(values, "from")
	to, err2 := bound(values, "to")
	if err := cmp.Or(err1, err2); err != nil {
		return series.Query{}, err
	}
	if from != nil && to != nil && *from == *to && *to < lastTime {
		*to++
	}
	n := limit(values.Get("limit"))
	return series.Query{Channel: ch.name, Series: values.Get("origin"), From: from, To: to, Limit: max(n, -n), Ascending: n < 0}, nil
}

// bound reads a time. A fraction of a millisecond is rounded up: no event with a whole time lies between.
func bound(values url.Values, name string) (*int64, error) {
	text := values.Get(name)
	if text == "" {
		return nil, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || !isNumber(text) {
		return nil, fmt.Errorf("%w: %s=%.40q is not a time in ms", domain.ErrInvalid, name, text)
	}
	ms := int64(math.Ceil(min(max(f, -lastTime), lastTime)))
	return &ms, nil
}

// Limits of lists (contract, section 6).
const (
	usualLimit = 1000
	mostLimit  = 2147483647
)

// limit is how many events are shown: the newest, or where it is negative the oldest; 0 is all. What is no number is
// the default.
func limit(text string) int {
	f, err := strconv.ParseFloat(text, 64)
	if math.IsNaN(f) || err != nil && !math.IsInf(f, 0) {
		return usualLimit
	}
	return int(min(max(f, -mostLimit), mostLimit))
}

func appendSensorEvent(dst []byte, s *series.Sample, _ bool) []byte {
	dst = appendTime(dst, s.Time)
	dst = append(dst, `,"sensor":`...)
	dst = rawjson.AppendString(dst, s.Series)
	dst = append(dst, `,"data":`...)
	dst = append(dst, s.Value...)
	return append(dst, '}')
}

// appendActivityEvent appends the fields in the order of the contract, section 6.
func appendActivityEvent(dst []byte, s *series.Sample, light bool) []byte {
	value := []byte(s.Value)
	if light {
		value = withoutAudio(value)
	}
	duration := bytes.IndexByte(value, ',') // the end of it: it stands first, and numbers have no commas
	dst = append(append(appendTime(dst, s.Time), ','), value[1:duration]...)
	dst = append(dst, `,"activity":`...)
	dst = rawjson.AppendString(dst, s.Series)
	return append(dst, value[duration:]...)
}

// appendTime opens an event with its time.
func appendTime(dst []byte, ms *int64) []byte {
	dst = append(dst, `{"timestamp":`...)
	if ms == nil {
		return append(dst, `null`...)
	}
	return strconv.AppendInt(dst, *ms, 10)
}

// withoutAudio is the value of an activity event without static_data.url, where that is an embedded recording.
func withoutAudio(value []byte) []byte {
	if !bytes.Contains(value, []byte(`"url"`)) {
		return value
	}
	var parts [3][]byte
	for name, raw := range rawjson.Members(value) {
		switch name {
		case "duration":
			parts[0] = raw
		case "static_data":
			parts[1] = withoutURL(raw)
		case "temporal_slices":
			parts[2] = raw
		}
	}
	return appendActivityValue(nil, parts[0], parts[1], parts[2])
}

// withoutURL is an object without its member url, where that is audio data.
func withoutURL(object []byte) []byte {
	if object[0] != '{' {
		return object
	}
	kept := []byte{'{'}
	for name, value, rest := nextMember(rawjson.Inside(object, '{')); name != nil; name, value, rest = nextMember(rest) {
		text, _ := rawjson.String(value)
		if string(name) == `"url"` && strings.HasPrefix(text, "data:audio") {
			continue
		}
		kept = append(append(append(separate(kept, len(kept)-1), name...), ':'), value...)
	}
	return append(kept, '}')
}
