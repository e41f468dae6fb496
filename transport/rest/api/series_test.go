package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/observation"
)

func itemAt(time int64, name, value string) observation.Item {
	return observation.Item{Time: &time, Series: name, Value: json.RawMessage(value)}
}

type sampleShown struct {
	Time          *int64
	Channel, Name string
	Value         json.RawMessage
	Position      domain.Position
	Index         int
}

func (s sampleShown) String() string {
	time := "null"
	if s.Time != nil {
		time = fmt.Sprint(*s.Time)
	}
	return fmt.Sprintf("%s %s=%s", time, s.Name, s.Value)
}

type seriesPage struct {
	Samples []sampleShown
	Windows []json.RawMessage
	Next    string
}

// walk reads all pages of a query, in pages of a size.
func (w *real) walk(query string, size int, between func()) (samples []sampleShown, windows []json.RawMessage) {
	w.Helper()
	after := ""
	for {
		var page seriesPage
		w.get(fmt.Sprintf("/subjects/%s/series?%s&limit=%d&after=%s", participantID, query, size, after), &page)
		if len(page.Samples) > size || len(page.Windows) > size {
			w.Fatalf("%d samples, %d windows on a page of %d", len(page.Samples), len(page.Windows), size)
		}
		if len(page.Samples)+len(page.Windows) == 0 {
			return samples, windows
		}
		samples, windows, after = append(samples, page.Samples...), append(windows, page.Windows...), page.Next
		between()
	}
}

func nothing() {}

func texts[T any](rows []T) (all []string) {
	for _, row := range rows {
		if raw, is := any(row).(json.RawMessage); is {
			all = append(all, string(raw))
			continue
		}
		all = append(all, fmt.Sprint(row))
	}
	return all
}

// TestSeries asks for samples in each way.
func TestSeries(t *testing.T) {
	w := newReal(t)
	w.observe(observation.LAMPSensor, itemAt(1000, "a", `1`), itemAt(2000, "b,c", `{"x":1.50}`), observation.Item{Series: "a", Value: json.RawMessage(`"?"`)})
	w.observe(observation.LAMPActivity, itemAt(1500, "a", `{"duration":5}`))
	w.observe(observation.LAMPSensor, itemAt(1000, "a", `1`))
	for _, tt := range []struct{ query, want string }{
		{"", `null a="?"; 1000 a=1; 1000 a=1; 1500 a={"duration":5}; 2000 b,c={"x":1.50}`},
		{"from=1001", `1500 a={"duration":5}; 2000 b,c={"x":1.50}`},
		{"from=1970-01-01T00:00:01.0005Z&to=1970-01-01T00:00:02Z", `1500 a={"duration":5}`},
		{"to=1001", `1000 a=1; 1000 a=1`},
		{"name=a", `null a="?"; 1000 a=1; 1000 a=1; 1500 a={"duration":5}`},
		{"name=b%2Cc", `2000 b,c={"x":1.50}`},
		{"name=a&name=b%2Cc&channel=lamp.sensor&from=0&name=a", `1000 a=1; 1000 a=1; 2000 b,c={"x":1.50}`},
		{"name=none", ""},
		{"channel=lamp.activity", `1500 a={"duration":5}`},
	} {
		for size := 1; size < 7; size++ {
			samples, _ := w.walk(tt.query, size, nothing)
			if got := strings.Join(texts(samples), "; "); got != tt.want {
				t.Errorf("%s in pages of %d:\n%s\nwant\n%s", tt.query, size, got, tt.want)
			}
		}
	}
	var page seriesPage
	header := w.get("/subjects/"+participantID+"/series", &page)
	if s := page.Samples[4]; s.Channel != "lamp.sensor" || s.Index != 1 || s.Position != page.Samples[0].Position {
		t.Errorf("%+v, want the channel, position and index of the second item", s)
	}
	head, err := w.store.Head(t.Context())
	w.must(err)
	if at, err := domain.ParsePosition(header.Get("Strandline-Position")); err != nil || at.IsZero() || head.Before(at) {
		t.Errorf("Strandline-Position %q, head %s", header.Get("Strandline-Position"), head)
	}
	w.get("/subjects/"+strangerID+"/series", &page)
	if len(page.Samples) != 0 {
		t.Errorf("a subject without samples has %v", page.Samples)
	}
}

// TestSeriesInLines ends with the last sample, or where it was asked to.
func TestSeriesInLines(t *testing.T) {
	w := newReal(t)
	for i := range 300 {
		w.observe(observation.LAMPSensor, itemAt(int64(i), "a", fmt.Sprint(i)))
	}
	for query, want := range map[string]int{"": 300, "limit=7": 7, "from=290": 10, "window=100ms": 3, "window=100ms&limit=2": 2} {
		answer := w.send("admin", "GET", "/subjects/"+participantID+"/series?"+query, "", "Accept", "application/x-ndjson")
		if n := strings.Count(answer.Body, "\n"); answer.Code != 200 || n != want || answer.Header.Get("Strandline-Position") == "" {
			t.Errorf("%s: %d with %d lines, want %d: %.200s", query, answer.Code, n, want, answer.Body)
		}
	}
	answer := w.send("admin", "GET", "/subjects/"+participantID+"/series/latest", "", "Accept", "application/x-ndjson")
	if !strings.HasPrefix(answer.Body, `{"time":299,"channel":"lamp.sensor","name":"a","value":299,`) {
		t.Errorf("latest: %d %s", answer.Code, answer.Body)
	}
}

// TestWindows asks for windows in each way.
func TestWindows(t *testing.T) {
	w := newReal(t)
	w.observe(observation.LAMPSensor,
		itemAt(0, "a", `1`), itemAt(299_999, "a", `2`), itemAt(300_000, "a", `"text"`), itemAt(300_001, "b", `{"x":3}`), itemAt(86_400_000, "b", `{"x":-1e300}`),
		observation.Item{Series: "a", Value: json.RawMessage(`7`)})
	for _, tt := range []struct{ query, want string }{
		{"window=5m&name=a", `{"start":0,"end":300000,"channel":"lamp.sensor","name":"a","count":2,"min":1,"max":2,"mean":1.5,"last":2}; ` +
			`{"start":300000,"end":600000,"channel":"lamp.sensor","name":"a","count":1,"min":null,"max":null,"mean":null,"last":"text"}`},
		{"window=PT5M&aggregate=count,mean", `{"start":0,"end":300000,"channel":"lamp.sensor","name":"a","count":2,"mean":1.5}; ` +
			`{"start":300000,"end":600000,"channel":"lamp.sensor","name":"a","count":1,"mean":null}; ` +
			`{"start":300000,"end":600000,"channel":"lamp.sensor","name":"b","count":1,"mean":null}; ` +
			`{"start":86400000,"end":86700000,"channel":"lamp.sensor","name":"b","count":1,"mean":null}`},
		{"window=1d&aggregate=count&aggregate=min&field=x", `{"start":0,"end":86400000,"channel":"lamp.sensor","name":"b","count":1,"min":3}; ` +
			`{"start":86400000,"end":172800000,"channel":"lamp.sensor","name":"b","count":1,"min":-1e+300}`},
		{"window=60000&name=a&aggregate=count&to=60000", `{"start":0,"end":60000,"channel":"lamp.sensor","name":"a","count":1}`},
		{"window=1w&aggregate=last&from=1&to=300000", `{"start":0,"end":604800000,"channel":"lamp.sensor","name":"a","last":2}`},
	} {
		for size := 1; size < 6; size++ {
			_, windows := w.walk(tt.query, size, nothing)
			if got := strings.Join(texts(windows), "; "); got != tt.want {
				t.Errorf("%s in pages of %d:\n%s\nwant\n%s", tt.query, size, got, tt.want)
			}
		}
	}
}

func TestSeriesRefuses(t *testing.T) {
	w := newReal(t)
	w.observe(observation.LAMPSensor, itemAt(0, "a", `1`))
	var page seriesPage
	w.get("/subjects/"+participantID+"/series", &page)
	for _, tt := range []struct {
		who, subject, query string
		status              int
		code                string
	}{
		{"", participantID, "", 401, "credentials-missing"},
		{"admin", "U9999999999", "", 404, "not-found"},
		{strangerID, "U9999999999", "", 404, "not-found"},
		{strangerID, participantID, "", 403, "forbidden"},
		{rivalID, participantID, "", 403, "forbidden"},
		{participantID, participantID, "", 200, ""},
		{researcherID, participantID, "window=1h", 200, ""},
		{"admin", participantID, "window=1M", 400, "invalid"},
		{"admin", participantID, "window=P1M", 400, "invalid"},
		{"admin", participantID, "window=0s", 400, "invalid"},
		{"admin", participantID, "window=PT", 400, "invalid"},
		{"admin", participantID, "window=-5m", 400, "invalid"},
		{"admin", participantID, "window=1.5ms", 400, "invalid"},
		{"admin", participantID, "window=99999999999w", 400, "invalid"},
		{"admin", participantID, "window=5m&aggregate=median", 400, "invalid"},
		{"admin", participantID, "aggregate=mean", 400, "invalid"},
		{"admin", participantID, "from=yesterday", 400, "invalid"},
		{"admin", participantID, "after=nonsense", 400, "invalid"},
		{"admin", participantID, "window=5m&after=" + page.Next, 400, "invalid"},
		{"admin", participantID, "after=" + page.Next + "AAAA", 400, "invalid"},
		{"admin", participantID, "limit=0", 400, "invalid"},
	} {
		for _, path := range []string{"/series?" + tt.query, "/series/latest"} {
			if path == "/series/latest" && tt.query != "" {
				continue
			}
			answer := w.send(tt.who, "GET", "/subjects/"+tt.subject+path, "")
			var p struct{ Code string }
			_ = json.Unmarshal([]byte(answer.Body), &p)
			if answer.Code != tt.status || p.Code != tt.code {
				t.Errorf("%s as %q: %d %s, want %d %s", path, tt.who, answer.Code, answer.Body, tt.status, tt.code)
			}
		}
	}
}

// TestPagesOfSeriesAreWholeWhileOthersWrite draws samples with few times, so that many are equal, and pages of any size,
// while other samples come, before and after.
func TestPagesOfSeriesAreWholeWhileOthersWrite(t *testing.T) {
	t.Parallel() // it waits most of the time
	w := newReal(t)
	n := 0
	record := func(t *rapid.T) {
		var items []observation.Item
		for range rapid.IntRange(1, 5).Draw(t, "items") {
			n++
			item := itemAt(rapid.Int64Range(-3, 3).Draw(t, "time"), rapid.SampledFrom([]string{"a", "b", "é\x01"}).Draw(t, "series"), fmt.Sprint(n))
			if rapid.IntRange(0, 4).Draw(t, "timeless") == 0 {
				item.Time = nil
			}
			items = append(items, item)
		}
		w.observe(rapid.SampledFrom([]string{observation.LAMPSensor, observation.LAMPActivity}).Draw(t, "channel"), items...)
	}
	rapid.Check(t, func(t *rapid.T) {
		for _, channel := range []string{observation.LAMPSensor, observation.LAMPActivity} {
			w.do(observation.Retract{Subject: participantID, Channel: channel})
		}
		for range rapid.IntRange(1, 8).Draw(t, "events") {
			record(t)
		}
		query := rapid.SampledFrom([]string{"", "name=a", "name=" + url.QueryEscape("é\x01") + "&name=b", "from=-2&to=2", "window=2ms", "window=3ms&name=a"}).Draw(t, "query")
		before, windows := w.walk(query, 1000, nothing)
		size := rapid.IntRange(1, 20).Draw(t, "size")
		writes := 0
		paged, pagedWindows := w.walk(query, size, func() {
			if writes++; writes <= 3 {
				record(t)
			}
		})
		seen := map[string]bool{}
		for _, s := range paged {
			place := fmt.Sprint(s.Position, "/", s.Index)
			if seen[place] {
				t.Fatalf("%s comes twice", s)
			}
			seen[place] = true
		}
		paged = slices.DeleteFunc(paged, func(s sampleShown) bool {
			return len(before) > 0 && slices.MaxFunc(before, func(a, b sampleShown) int { return a.Position.Compare(b.Position) }).Position.Before(s.Position)
		})
		if a, b := texts(before), texts(paged); !slices.Equal(a, b) {
			t.Fatalf("%s: in pages of %d\n%v\nwant\n%v", query, size, b, a)
		}
		if a, b := texts(windows), texts(pagedWindows); len(b) < len(a) || writes < 2 && !slices.Equal(a, b) {
			t.Fatalf("%s: windows in pages of %d\n%v\nwant\n%v", query, size, b, a)
		}
	})
}

func TestLatest(t *testing.T) {
	w := newReal(t)
	w.observe(observation.LAMPSensor, itemAt(5, "a", `1`), itemAt(5, "a", `2`), itemAt(4, "a", `3`), observation.Item{Series: "b", Value: json.RawMessage(`4`)})
	w.observe(observation.LAMPActivity, itemAt(1, "a", `5`))
	for query, want := range map[string]string{"": "1 a=5; 5 a=2; null b=4", "?name=b": "null b=4", "?channel=lamp.sensor&name=a": "5 a=2", "?name=none": ""} {
		var page seriesPage
		w.get("/subjects/"+participantID+"/series/latest"+query, &page)
		if got := strings.Join(texts(page.Samples), "; "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if answer := w.send("admin", "GET", "/subjects/"+participantID+"/series/latest?after=nonsense", ""); answer.Code != 400 {
		t.Errorf("after nonsense: %d %s", answer.Code, answer.Body)
	}
}
