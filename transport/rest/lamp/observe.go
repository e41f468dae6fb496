package lamp

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/domain/rawjson"
)

// readItems reads one event or an array of events from a compacted body. The items point into it.
func (ch channel) readItems(body []byte) ([]observation.Item, error) {
	if body[0] != '[' {
		item, err := ch.readItem(body)
		return []observation.Item{item}, err
	}
	items := make([]observation.Item, 0, 16)
	for raw := range rawjson.Elements(body) {
		item, err := ch.readItem(raw)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(items), err)
		}
		items = append(items, item)
	}
	return items, nil
}

func (ch channel) readItem(raw []byte) (observation.Item, error) {
	if raw[0] != '{' {
		return observation.Item{}, fmt.Errorf("%w: an event is a JSON object", domain.ErrInvalid)
	}
	return ch.read(raw)
}

// readSensorEvent reads {timestamp, sensor, data}. What else there is, is dropped.
func readSensorEvent(raw []byte) (item observation.Item, err error) {
	data := []byte("{}")
	for name, value, rest := nextMember(rawjson.Inside(raw, '{')); name != nil && err == nil; name, value, rest = nextMember(rest) {
		switch string(plain(name)) {
		case "timestamp":
			item.Time, err = readTime(value)
		case "sensor":
			item.Series, err = readSeries(value)
		case "data":
			data = value
		}
	}
	item.Value = data
	return item, orNameless(item, err)
}

// readActivityEvent reads {timestamp, duration, activity, static_data, temporal_slices}. The value of the item is an
// object of the three that are neither its time nor its series, each as it was sent.
func readActivityEvent(raw []byte) (item observation.Item, err error) {
	duration, static, slices := []byte("0"), []byte("{}"), []byte("[]")
	for name, value, rest := nextMember(rawjson.Inside(raw, '{')); name != nil && err == nil; name, value, rest = nextMember(rest) {
		switch string(plain(name)) {
		case "timestamp":
			item.Time, err = readTime(value)
		case "activity":
			item.Series, err = readSeries(value)
		case "duration":
			duration, err = readDuration(value)
		case "static_data":
			static = value
		case "temporal_slices":
			slices, err = readSlices(value)
		}
	}
	if item.Time == nil {
		item.Time = new(int64)
	}
	item.Value = appendActivityValue(make([]byte, 0, len(activityFrame)+len(duration)+len(static)+len(slices)), duration, static, slices)
	return item, orNameless(item, err)
}

const activityFrame = `{"duration":,"static_data":,"temporal_slices":}`

func appendActivityValue(dst, duration, static, slices []byte) []byte {
	dst = append(append(dst, `{"duration":`...), duration...)
	dst = append(append(dst, `,"static_data":`...), static...)
	dst = append(append(dst, `,"temporal_slices":`...), slices...)
	return append(dst, '}')
}

// orNameless refuses an event that does not say what was observed.
func orNameless(item observation.Item, err error) error {
	if err == nil && item.Series == "" {
		return fmt.Errorf("%w: an event names its sensor or its activity", domain.ErrInvalid)
	}
	return err
}

// plain is the text of a name, as a part of it where it has no escapes.
func plain(name []byte) []byte {
	if inside := name[1 : len(name)-1]; bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	text, _ := rawjson.String(name)
	return []byte(text)
}

// readSeries reads the name of what was observed.
func readSeries(raw []byte) (string, error) {
	text, ok := rawjson.String(raw)
	if !ok || len(text) > observation.MaxName {
		return "", fmt.Errorf("%w: sensor or activity is a string of at most %d bytes", domain.ErrInvalid, observation.MaxName)
	}
	return text, nil
}

// lastTime is the largest timestamp, in ms, and its negative the smallest.
const lastTime = observation.MaxTime

// readTime reads a timestamp: null, a number or a string with a number. Phones send fractions of milliseconds; they are
// cut off towards the past.
func readTime(raw []byte) (*int64, error) {
	if isNull(raw) {
		return nil, nil
	}
	ms, ok := rawjson.NumericInt64(raw)
	if !ok {
		ms, ok = readFraction(raw)
	}
	if !ok || ms < -lastTime || ms > lastTime {
		return nil, fmt.Errorf("%w: timestamp %.40s is not a time in ms", domain.ErrInvalid, raw)
	}
	return &ms, nil
}

// readFraction reads a number that has a fraction, rounded down.
func readFraction(raw []byte) (int64, bool) {
	text := string(raw)
	if unquoted, ok := rawjson.String(raw); ok {
		text = unquoted
	}
	if !isNumber(text) {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(f) > lastTime {
		return 0, false
	}
	return int64(math.Floor(f)), true
}

// isNumber tells whether text could be a JSON number; strconv alone also takes "inf", "0x1p2" and "1_000".
func isNumber(text string) bool {
	if text == "" || text[0] == '+' {
		return false
	}
	for _, r := range text {
		if (r < '0' || r > '9') && r != '-' && r != '+' && r != '.' && r != 'e' && r != 'E' {
			return false
		}
	}
	return true
}

// readDuration reads a duration: a number, kept as it was sent, or a string with a number, kept without quotes. Null is 0.
func readDuration(raw []byte) ([]byte, error) {
	if isNull(raw) {
		return []byte("0"), nil
	}
	if _, err := readTime(raw); err != nil {
		return nil, fmt.Errorf("%w: duration %.40s is not a number of ms", domain.ErrInvalid, raw)
	}
	if text, ok := rawjson.String(raw); ok {
		return rawjson.Compact(nil, []byte(text))
	}
	return raw, nil
}

// readSlices reads temporal slices: an array, kept as it was sent. Null is none.
func readSlices(raw []byte) ([]byte, error) {
	switch {
	case isNull(raw):
		return []byte("[]"), nil
	case isArray(raw):
		return raw, nil
	}
	return nil, fmt.Errorf("%w: temporal_slices is an array", domain.ErrInvalid)
}
