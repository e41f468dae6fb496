package seriestest

import (
	"strconv"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/observation"
	"strandline/readmodels/series"
)

// hostileNames mean something in the languages of some engines, or are hard to tell from one another.
var hostileNames = []string{
	" ", "a b", "a,b", "a=b", `"`, "'", "`", `\`, `a\`, `\"`, "\n", "a\nb,c=d e=1 2", "a\r\nb", "\t", "\x00", "#", "//", "/.*/", "*", "_time", "_field", "null",
	"${r.subject}", `") |> drop(columns: ["_value"]) //`, `" or r.subject != "`, "' OR 1=1 --", `"; DROP MEASUREMENT "x"`, "%", "%25", "%41", "A", "a",
	"é", "e\u0301", "\u202eabc", "\u2028", "\ufeff", "\ufffd", "😀", strings.Repeat("界", 85), strings.Repeat(`"`, 256),
}

// hostileValues are at the ends of what numbers and texts can be.
var hostileValues = []string{
	`1.7976931348623157e308`, `-1.7976931348623157e308`, `4.9e-324`, `1e-400`, `1e400`, `-1e400`, `9223372036854775808`, `-0`, `0.10e1`, `1E5`,
	`"NaN"`, `"Infinity"`, `"-Inf"`, `""`, `" "`, `"\u0000"`, `"\ud800"`, `"\n\r\t"`, `"\\"`, `"\\\""`, `","`, `"#,=\\ "`, "\"\u2028\ufeff\"", `"${1}"`,
	`true`, `null`, `{}`, `[]`, `[1e400]`, `{"":""}`, `{"value":"NaN"}`,
}

// hostile has each of them stay itself, and nobody see what is another's.
func hostile(t *testing.T, w World) {
	var m model
	var events []domain.Recorded
	add := func(e domain.Event) {
		r := domain.Recorded{Position: at(uint64(len(events) + 1)), Event: e}
		events = append(events, r)
		m.apply(r)
	}
	n := len(hostileNames)
	other := func(i int) string { return hostileNames[i%n] }
	var all, values observation.Recorded
	for i, name := range hostileNames {
		one := observation.Item{Time: ptr(1_700_000_000_000), Series: other(i + 2), Value: []byte(strconv.Itoa(i))}
		add(observation.Recorded{Subject: name, Channel: other(i + 1), Items: []observation.Item{one}})
		one.Series = name
		all.Items = append(all.Items, one, item(int64(i), name, strconv.Itoa(-i)))
	}
	all.Subject, all.Channel = "U1", channel
	add(all)
	for i, value := range hostileValues {
		values.Items = append(values.Items, item(observation.MaxTime-int64(i), "values", value), item(-observation.MaxTime+int64(i), "values", value))
	}
	values.Subject, values.Channel = "U2", channel
	add(values)
	w.Apply(t, events)
	for i, name := range hostileNames {
		q := series.Query{Subject: name, Channel: other(i + 1), Series: other(i + 2)}
		if got, want := show(read(t, w.Store(), q)), show(m.read(q)); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	newest := series.Newest{Subject: "U1", Channels: []string{channel}, Series: hostileNames}
	latest := collect(t, w.Store().Latest(t.Context(), newest))
	if want := m.latest(series.Choice{Subject: "U1"}); show(latest) != show(want) {
		t.Errorf("the latest are\n%s\nwant\n%s", show(latest), show(want))
	}
	var walked []series.Sample
	for i := range latest { // each after the one before
		for s := range w.Store().Latest(t.Context(), newest) {
			walked = append(walked, s)
			newest.After = &series.Name{Channel: s.Channel, Series: s.Series}
			break
		}
		if len(walked) != i+1 {
			t.Errorf("%d of %d latest on as many pages", len(walked), len(latest))
		}
	}
	if show(walked) != show(latest) {
		t.Errorf("the latest one by one are\n%s\nwant\n%s", show(walked), show(latest))
	}
	q := series.Query{Subject: "U2", Channel: channel, From: ptr(-observation.MaxTime + 1), To: ptr(observation.MaxTime)}
	if got, want := show(read(t, w.Store(), q)), show(m.read(q)); got != want {
		t.Errorf("values are\n%s\nwant\n%s", got, want)
	}
	retracted := events[:0:0]
	for i, name := range hostileNames {
		r := domain.Recorded{Position: at(uint64(1000 + i)), Event: observation.Retracted{Subject: "U1", Channel: channel, Series: name, From: ptr(1000)}}
		if i%2 == 0 {
			retracted = append(retracted, r)
			m.apply(r)
		}
	}
	w.Apply(t, retracted)
	if got, want := w.Dump(t), m.dump(); got != want {
		t.Errorf("the dump is\n%s\nwant\n%s", got, want)
	}
}
