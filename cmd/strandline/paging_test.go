package main_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestPagesWhileOthersWrite reads the log and the audit records in small pages while others write, read and are refused.
// What it got in pages is what there is: nothing is left out, nothing comes twice, and it is in order.
func TestPagesWhileOthersWrite(t *testing.T) {
	s := startNode(t, t.TempDir())
	stop := make(chan struct{})
	var others, readers sync.WaitGroup
	for n := range 3 {
		others.Go(func() { s.busy(t, n, stop) })
	}
	var events, requests []string
	readers.Go(func() { events = s.readAll(t, "/strandline/v1/events", "events", "position") })
	readers.Go(func() { requests = s.readAll(t, "/strandline/v1/audit", "records", "request") })
	readers.Wait()
	close(stop)
	others.Wait()
	for _, tt := range []struct {
		path, field string
		got         []string
	}{{"/strandline/v1/events", "position", events}, {"/strandline/v1/audit", "request", requests}} {
		want := s.lines(t, tt.path, tt.field)
		if len(tt.got) < enough || len(want) < len(tt.got) || !slices.Equal(tt.got, want[:len(tt.got)]) {
			t.Errorf("%s: pages gave %d rows, which are not the first of the %d that there are", tt.path, len(tt.got), len(want))
		}
	}
	t.Logf("%d events and %d requests in pages of 7 while others wrote", len(events), len(requests))
}

// busy writes, reads and is refused until it is told to stop.
func (s *server) busy(t *testing.T, n int, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		switch i % 3 {
		case 0:
			s.as(t, root, "POST", "/researcher", fmt.Sprintf(`{"name":"r%d-%d"}`, n, i))
		case 1:
			s.as(t, root, "GET", "/researcher", "")
		case 2:
			s.as(t, root, "GET", "/researcher/nobody", "")
		}
	}
}

// enough is how many rows are read in small pages.
const enough = 300

// readAll reads pages of seven rows until it has enough, and then larger ones to what is the end at that moment.
func (s *server) readAll(t *testing.T, path, rows, field string) (all []string) {
	after, limit := "", 7
	for {
		if len(all) >= enough {
			limit = 1000
		}
		_, body := s.as(t, root, "GET", fmt.Sprintf("%s?limit=%d&after=%s", path, limit, url.QueryEscape(after)), "")
		var page map[string]json.RawMessage
		var found []map[string]any
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Errorf("%s: %v in %.200s", path, err, body)
			return nil
		}
		if err := json.Unmarshal(page[rows], &found); err != nil || json.Unmarshal(page["next"], &after) != nil {
			t.Errorf("%s: %.200s", path, body)
			return nil
		}
		if string(page["next"]) == "null" && limit < 1000 {
			continue // nothing has happened but this: it comes again, with more
		}
		for _, row := range found {
			all = append(all, row[field].(string))
		}
		if string(page["end"]) == "true" && limit == 1000 {
			return all
		}
	}
}

// lines reads a field of all rows, as lines.
func (s *server) lines(t *testing.T, path, field string) (all []string) {
	t.Helper()
	_, body := s.as(t, root, "GET", path, "", "Accept", "application/x-ndjson")
	for line := range strings.Lines(body) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		all = append(all, row[field].(string))
	}
	return all
}

// TestAnAuditor reads on the running server what a stranger did.
func TestAnAuditor(t *testing.T) {
	s := startNode(t, t.TempDir())
	_, _, header, err := s.try("nobody:wrong", "GET", "/researcher", "", "Strandline-Reason", "looking around")
	if err != nil {
		t.Fatal(err)
	}
	status, body := s.as(t, root, "GET", "/strandline/v1/audit?order=newest&request="+header.Get("Strandline-Request"), "")
	var page struct {
		Records []struct {
			Actor, Address, Method, Route, Outcome, Reason string
			Status                                         int
			Events                                         []string
		}
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 || len(page.Records) != 1 {
		t.Fatalf("%d %s, want one record", status, body)
	}
	r := page.Records[0]
	if r.Actor != "anonymous" || r.Outcome != "refused" || r.Route != "/researcher" || r.Reason != "looking around" || r.Address != "127.0.0.1" || r.Status != 403 || len(r.Events) != 1 {
		t.Errorf("%s", body)
	}
	status, body = s.as(t, root, "GET", "/strandline/v1/events?correlation="+header.Get("Strandline-Request"), "")
	if status != 200 || !strings.Contains(body, `"position":"`+r.Events[0]+`"`) {
		t.Errorf("the event of the record: %d %s", status, body)
	}
}

// TestWhoeverGoesOnComesToAnEnd goes on as long as there is a next, though each page leaves an event and a record itself.
func TestWhoeverGoesOnComesToAnEnd(t *testing.T) {
	s := startNode(t, t.TempDir())
	for i := range 3 {
		s.as(t, root, "POST", "/researcher", fmt.Sprintf(`{"name":"r%d"}`, i))
		s.as(t, root, "POST", "/strandline/v1/api-keys", `{"name":"k"}`)
	}
	for _, path := range []string{"events", "events?type=study.added", "events?type=*", "audit", "audit?outcome=done", "audit?order=newest", "api-keys", "grants", "documents/study"} {
		at, err := url.Parse("/strandline/v1/" + path)
		if err != nil {
			t.Fatal(err)
		}
		q := at.Query()
		q.Set("limit", "7")
		rows, pages := 0, 0
		for next := "begin"; next != "" && pages < 100; pages++ {
			at.RawQuery = q.Encode()
			_, body := s.as(t, root, "GET", at.String(), "")
			var page struct {
				Events, Records, Keys, Grants, Documents []json.RawMessage
				Next                                     *string
			}
			if err := json.Unmarshal([]byte(body), &page); err != nil || !strings.Contains(body, `"next":`) {
				t.Fatalf("%s: %v in %s", path, err, body)
			}
			rows += len(page.Events) + len(page.Records) + len(page.Keys) + len(page.Grants) + len(page.Documents)
			if next = ""; page.Next != nil {
				next = *page.Next
			}
			q.Set("after", next)
		}
		if pages == 100 || rows < 3 && path != "grants" {
			t.Errorf("%s: %d rows in %d pages, want the end before", path, rows, pages)
		}
	}
}
