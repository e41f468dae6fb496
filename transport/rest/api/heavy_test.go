package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"strandline/domain/observation"
	"strandline/domain/registry"
)

// TestHeavyPagesAreShort, whatever their limit: a page is put together in memory, and a row can be as large as a body. The
// walk over all pages shows each row once.
func TestHeavyPagesAreShort(t *testing.T) {
	w := newReal(t)
	const rows, each, most = 7, 3 << 20, 12 << 20
	large := `"` + strings.Repeat("x", each) + `"`
	var stream string
	for i := range rows {
		w.observe(observation.LAMPSensor, itemAt(int64(1000*i), fmt.Sprint("s", i), large))
		id := fmt.Sprintf("heavy%015d", i)
		w.do(registry.Add{Key: id, Kind: registry.Activity, ID: id, Parent: studyID, ParentKind: registry.Study,
			Attributes: registry.Attributes{"name": json.RawMessage(`"n"`), "spec": json.RawMessage(`"lamp.survey"`), "settings": json.RawMessage(large)}})
	}
	stream = observation.Record{Subject: participantID, Channel: observation.LAMPSensor}.Stream()
	for path, next := range map[string]string{
		"/events?type=observation.recorded&limit=1000":             "after",
		"/streams/" + url.PathEscape(stream) + "?limit=1000":       "from",
		"/subjects/" + participantID + "/series?limit=1000":        "after",
		"/subjects/" + participantID + "/series?window=1s&limit=1": "after",
		"/subjects/" + participantID + "/series?window=1s":         "after",
		"/subjects/" + participantID + "/series?window=1d":         "after",
		"/subjects/" + participantID + "/series/latest?":           "after",
		"/documents/activity?limit=1000":                           "after",
	} {
		seen, pages := 0, 0
		for after := ""; ; pages++ {
			a := w.send("admin", "GET", path+after, "")
			var page struct {
				Events, Samples, Windows, Documents []json.RawMessage
				Next                                any
				End                                 bool
			}
			if err := json.Unmarshal([]byte(a.Body), &page); err != nil || a.Code != 200 || len(a.Body) > most {
				t.Fatalf("%s: %d, %d bytes, %v, %.300s; want at most %d", path, a.Code, len(a.Body), err, a.Body, most)
			}
			for _, some := range [][]json.RawMessage{page.Events, page.Samples, page.Windows, page.Documents} {
				for _, row := range some {
					if len(row) > each {
						seen++
					}
				}
			}
			if page.End || page.Next == nil || pages > 20 {
				break
			}
			after = fmt.Sprintf("&%s=%v", next, page.Next)
		}
		if seen != rows || pages < 2 || pages > 20 {
			t.Errorf("%s: %d large rows on %d pages and one, want %d on at least 3", path, seen, pages, rows)
		}
	}
}
