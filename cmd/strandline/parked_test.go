package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// native asks the native API as root for what must work, and reads the answer.
func (s *server) native(t testing.TB, method, path string, into any, headers ...string) http.Header {
	t.Helper()
	status, text, header, err := s.try(root, method, "/strandline/v1"+path, "", headers...)
	if err != nil || status >= 300 {
		t.Fatalf("%s %s: %d %s, %v", method, path, status, text, err)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, text, err)
		}
	}
	return header
}

// settled waits until no projection is being rebuilt, and returns how many events the named one holds back.
func (s *server) settled(t testing.TB, name string) (parked, discarded int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var list struct {
			Projections []struct {
				Name, Failed      string
				Parked, Discarded int
				Rebuilding        *struct{}
			}
		}
		s.native(t, "GET", "/projections", &list)
		for _, p := range list.Projections {
			if p.Name == name && p.Rebuilding == nil {
				if p.Failed != "" {
					t.Fatalf("the rebuild of %s failed: %s", name, p.Failed)
				}
				return p.Parked, p.Discarded
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still being rebuilt", name)
		}
	}
}

// TestEventsAreSetAsideByCommand parks the event of a sample, discards it, and has it tried again; a server that starts
// between keeps to it, and so do dumps.
func TestEventsAreSetAsideByCommand(t *testing.T) {
	data := t.TempDir()
	s := startNode(t, data)
	person := newStudy(t, s, 1).participants[0]
	for i := range 3 {
		s.as(t, root, "POST", "/participant/"+person+"/sensor_event", fmt.Sprintf(`{"timestamp":%d,"sensor":"steps","data":%d}`, 1000+i, i))
	}
	type samples struct {
		Samples []struct {
			Value    int
			Position string
		}
	}
	values := func() (all []int, positions []string) {
		t.Helper()
		var shown samples
		s.native(t, "GET", "/subjects/"+person+"/series", &shown)
		for _, one := range shown.Samples {
			all, positions = append(all, one.Value), append(positions, one.Position)
		}
		return all, positions
	}
	_, positions := values()
	decide := func(word, query string, parked, discarded int, want ...int) {
		t.Helper()
		at := s.native(t, "POST", "/projections/series/"+word+query, nil, "Strandline-Reason", "drill of "+word).Get("Strandline-Position")
		gotParked, gotDiscarded := s.settled(t, "series")
		if got, _ := values(); !slices.Equal(got, want) || gotParked != parked || gotDiscarded != discarded || at == "" {
			t.Errorf("after %s%s at %q: %v, %d parked, %d discarded; want %v, %d, %d", word, query, at, got, gotParked, gotDiscarded, want, parked, discarded)
		}
	}
	decide("park", "?position="+positions[1], 1, 0, 0, 2)
	decide("discard", "", 0, 1, 0, 2)
	decide("rebuild", "", 0, 1, 0, 2)
	decide("retry", "", 0, 1, 0, 2) // which does not mean what is discarded
	var list struct{ Parked []map[string]any }
	s.native(t, "GET", "/projections/series/parked", &list)
	if len(list.Parked) != 1 || list.Parked[0]["state"] != "discarded" || list.Parked[0]["type"] != "observation.recorded" || list.Parked[0]["position"] != positions[1] {
		t.Errorf("parked: %v", list.Parked)
	}
	s.kill()
	before, stderr, code := command(t, "projection", "dump", "series", "--data", data)
	if code != 0 || strings.Count(before, "\n") != 2 {
		t.Errorf("dump: exit %d\n%s%s", code, before, stderr)
	}
	if early, stderr, code := command(t, "projection", "dump", "series", "--data", data, "--at", positions[2]); code != 0 || strings.Count(early, "\n") != 3 {
		t.Errorf("dump as of before the decisions: exit %d\n%s%s", code, early, stderr)
	}
	s = startNode(t, data)
	if got, _ := values(); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("after a restart: %v", got)
	}
	decide("retry", "?position="+positions[1], 0, 0, 0, 1, 2)
	told, _, code := command(t, "log", "tail", "--url", s.url)
	for _, want := range []string{"root set event " + positions[1] + " aside from projection series", "root discarded event", "root had projection series built again", "root had event"} {
		if !strings.Contains(told, want) || code != 0 {
			t.Errorf("the log does not tell that %s", want)
		}
	}
	var page struct {
		Records []struct{ Route, Reason string }
	}
	s.native(t, "GET", "/audit?limit=1000", &page)
	for _, word := range []string{"park", "discard", "retry", "rebuild"} {
		found := slices.ContainsFunc(page.Records, func(r struct{ Route, Reason string }) bool {
			return strings.HasSuffix(r.Route, "/"+word) && r.Reason == "drill of "+word
		})
		if !found {
			t.Errorf("no audit record of %s with its reason", word)
		}
	}
}

// TestOfAHundredWithTheSameETagOneWins sends a hundred changes of one document at once.
func TestOfAHundredWithTheSameETagOneWins(t *testing.T) {
	s := startNode(t, t.TempDir())
	path := "/documents/study/" + newStudy(t, s, 0).id
	tag := s.native(t, "GET", path, nil).Get("ETag")
	statuses := make([]int, 100)
	var group sync.WaitGroup
	for i := range statuses {
		group.Go(func() {
			statuses[i], _, _, _ = s.try(root, "PUT", "/strandline/v1"+path, fmt.Sprintf(`{"name":"%d"}`, i), "If-Match", tag)
		})
	}
	group.Wait()
	won := slices.Index(statuses, 200)
	var shown struct{ Body struct{ Name string } }
	s.native(t, "GET", path, &shown)
	slices.Sort(statuses)
	if shown.Body.Name != fmt.Sprint(won) || statuses[0] != 200 || statuses[1] != 412 || statuses[99] != 412 {
		t.Errorf("statuses %v, the document is of %s, want 200 for that one and 412 for 99", slices.Compact(statuses), shown.Body.Name)
	}
}

// TestServices names this process, and what it makes of the log.
func TestServices(t *testing.T) {
	s := startNode(t, t.TempDir())
	var list struct {
		Services []struct {
			ID, Name, Version  string
			Roles, Addresses   []string
			Started, Heartbeat time.Time
		}
	}
	s.native(t, "GET", "/services", &list)
	var made struct{ Projections []struct{ Name string } }
	if s.native(t, "GET", "/projections", &made); fmt.Sprint(made.Projections) != "[{audit} {directory} {documents} {series}]" {
		t.Errorf("projections %v are not ordered by name", made.Projections)
	}
	if len(list.Services) != 1 || !slices.Equal(list.Services[0].Addresses, []string{s.url, s.tls}) || list.Services[0].Version == "" ||
		time.Since(list.Services[0].Started) > time.Minute || list.Services[0].Heartbeat.Before(list.Services[0].Started) {
		t.Errorf("services %+v, want one at %s and %s", list.Services, s.url, s.tls)
	}
}
