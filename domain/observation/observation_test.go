package observation_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/observation"
)

func at(t int64) *int64 { return &t }

func TestDecide(t *testing.T) {
	item := observation.Item{Time: at(5), Series: "lamp.steps", Value: json.RawMessage(`1`)}
	timeless := observation.Item{Series: "lamp.steps", Value: json.RawMessage(`null`)}
	record := func(items ...observation.Item) observation.Record {
		return observation.Record{Subject: "U0123456789", Channel: observation.LAMPSensor, Items: items}
	}
	recorded := func(items ...observation.Item) []domain.Event {
		return []domain.Event{observation.Recorded(record(items...))}
	}
	changed := func(change func(*observation.Item)) observation.Record {
		other := item
		change(&other)
		return record(item, other)
	}
	retract := func(series string, from, to *int64) observation.Retract {
		return observation.Retract{Subject: "U0123456789", Channel: observation.LAMPSensor, Series: series, From: from, To: to}
	}
	many := slices.Repeat([]observation.Item{item}, observation.MaxItems)
	long := observation.Item{Series: strings.Repeat("s", observation.MaxName), Value: item.Value}
	end := int64(observation.MaxTime)

	tests := []struct {
		name string
		when domain.Command
		then []domain.Event
		err  error
	}{
		{"records one", record(item), recorded(item), nil},
		{"records equal ones and those without a time", record(item, item, timeless), recorded(item, item, timeless), nil},
		{"records as many as can be", record(many...), recorded(many...), nil},
		{"records at the ends of time", record(observation.Item{Time: &end, Series: "a", Value: item.Value}), recorded(observation.Item{Time: &end, Series: "a", Value: item.Value}), nil},
		{"records a long series", record(long), recorded(long), nil},
		{"recording nothing is quiet", record(), nil, nil},
		{"recording too many is refused", record(append(many, item)...), nil, domain.ErrInvalid},
		{"recording without a series is refused", changed(func(i *observation.Item) { i.Series = "" }), nil, domain.ErrInvalid},
		{"recording a series too long is refused", changed(func(i *observation.Item) { i.Series = strings.Repeat("s", 257) }), nil, domain.ErrInvalid},
		{"recording a series that is no text is refused", changed(func(i *observation.Item) { i.Series = "\xff" }), nil, domain.ErrInvalid},
		{"recording after time is refused", changed(func(i *observation.Item) { i.Time = at(end + 1) }), nil, domain.ErrInvalid},
		{"recording before time is refused", changed(func(i *observation.Item) { i.Time = at(-end - 1) }), nil, domain.ErrInvalid},
		{"recording no value is refused", changed(func(i *observation.Item) { i.Value = nil }), nil, domain.ErrInvalid},
		{"recording about nobody is refused", observation.Record{Channel: "c", Items: []observation.Item{item}}, nil, domain.ErrInvalid},
		{"recording on no channel is refused", observation.Record{Subject: "s", Items: []observation.Item{item}}, nil, domain.ErrInvalid},

		{"retracts all", retract("", nil, nil), []domain.Event{observation.Retracted(retract("", nil, nil))}, nil},
		{"retracts a range of a series", retract("a", at(1), at(2)), []domain.Event{observation.Retracted(retract("a", at(1), at(2)))}, nil},
		{"retracts to a time", retract("", nil, at(2)), []domain.Event{observation.Retracted(retract("", nil, at(2)))}, nil},
		{"retracting an empty range is quiet", retract("", at(2), at(2)), nil, nil},
		{"retracting a range that ends before it begins is quiet", retract("", at(3), at(2)), nil, nil},
		{"retracting from after time is refused", retract("", at(end+1), nil), nil, domain.ErrInvalid},
		{"retracting to before time is refused", retract("", nil, at(-end-1)), nil, domain.ErrInvalid},
		{"retracting a series too long is refused", retract(strings.Repeat("s", 257), nil, nil), nil, domain.ErrInvalid},
		{"retracting about nobody is refused", observation.Retract{Channel: "c"}, nil, domain.ErrInvalid},
	}
	for _, tt := range tests {
		got, err := observation.Decide(observation.State{}, tt.when)
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.then) {
			t.Errorf("%s: Decide = %d events, %v; want %d, %v", tt.name, len(got), err, len(tt.then), tt.err)
		}
	}
}

// TestFactsStayAsTheyCame: what is recorded is what was sent, item by item, whatever was recorded before.
func TestFactsStayAsTheyCame(t *testing.T) {
	items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) observation.Item {
		return observation.Item{
			Time:   rapid.Ptr(rapid.Int64Range(-observation.MaxTime, observation.MaxTime), true).Draw(t, "time"),
			Series: rapid.StringN(1, 20, 256).Draw(t, "series"),
			Value:  json.RawMessage(rapid.SampledFrom([]string{"1", "{}", `"a"`}).Draw(t, "value")),
		}
	}), 1, 20)
	rapid.Check(t, func(t *rapid.T) {
		c := observation.Record{Subject: "s", Channel: "c", Items: items.Draw(t, "items")}
		var s observation.State
		for range 2 {
			events, err := observation.Decide(s, c)
			if err != nil || len(events) != 1 || !reflect.DeepEqual(events[0], observation.Recorded(c)) {
				t.Fatalf("Decide(%+v) = %+v, %v", c, events, err)
			}
			s = observation.Evolve(s, events[0])
		}
	})
}
