package api_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"strandline/domain"
	"strandline/domain/projection"
	"strandline/transport/rest/api"
)

func pos(n uint64) domain.Position { return domain.Position{Commit: n, Prepare: n} }

// TestDecisionsAboutProjections are commands, upon which the projection is made again.
func TestDecisionsAboutProjections(t *testing.T) {
	for _, tt := range []struct {
		word, query string
		status      int
		then        domain.Command // nil for none
	}{
		{"rebuild", "", 202, projection.Rebuild{Projection: "series"}},
		{"retry", "", 202, projection.Retry{Projection: "series", Positions: []domain.Position{pos(1), pos(2)}}},
		{"retry", "?position=3", 202, projection.Retry{Projection: "series", Positions: []domain.Position{pos(3)}}},
		{"retry", "?position=2&position=1&position=2", 202, projection.Retry{Projection: "series", Positions: []domain.Position{pos(1), pos(2)}}},
		{"retry", "?position=4", 404, nil},
		{"retry", "?position=x", 400, nil},
		{"discard", "", 202, projection.Discard{Projection: "series", Positions: []domain.Position{pos(1), pos(2)}}},
		{"discard", "?position=1", 202, projection.Discard{Projection: "series", Positions: []domain.Position{pos(1)}}},
		{"discard", "?position=3", 404, nil},
		{"park", "", 400, nil},
		{"park", "?position=B&position=A", 202, projection.Park{Projection: "series"}},
		{"park", "?position=ff", 404, nil},
	} {
		w := newWorld(t)
		w.parked = []api.Parked{{Position: pos(1), State: "failed", Stream: "s", Type: "t", Error: "e", Attempts: 1},
			{Position: pos(2), State: "parked", Attempts: 2}, {Position: pos(3), State: "discarded", Attempts: 1}}
		for range 3 {
			w.happen(t, added("anna"))
		}
		query := strings.NewReplacer("A", w.positions[0].String(), "B", w.positions[1].String()).Replace(tt.query)
		if park, is := tt.then.(projection.Park); is {
			park.Positions = w.positions[:2]
			tt.then = park
		}
		status, body := w.ask(t, "POST", "/projections/series/"+tt.word+query, "root")
		var done []domain.Command
		if tt.then != nil {
			done = []domain.Command{tt.then}
		}
		if status != tt.status || !reflect.DeepEqual(w.done, done) || len(w.rebuilt) != len(done) {
			t.Errorf("%s%s: %d %s, commands %+v, rebuilt %v; want %d, %+v", tt.word, tt.query, status, body, w.done, w.rebuilt, tt.status, done)
		}
		if status, _ := w.ask(t, "POST", "/projections/none/"+tt.word, "root"); status != 404 {
			t.Errorf("%s of an unknown projection: %d", tt.word, status)
		}
		if status, _ := w.ask(t, "POST", "/projections/series/"+tt.word, "anna"); status != 403 {
			t.Errorf("%s by anna: %d", tt.word, status)
		}
	}
}

// TestRevert goes back to a build that is kept, and says so where none is.
func TestRevert(t *testing.T) {
	w := newWorld(t)
	if status, body := w.ask(t, "POST", "/projections/series/revert", "root"); status != 409 || len(w.done) > 0 {
		t.Errorf("without a build before: %d %s, commands %v", status, body, w.done)
	}
	w.previous = &api.Previous{Version: 1, Checkpoint: pos(5)}
	if status, _ := w.ask(t, "POST", "/projections/series/revert", "anna"); status != 403 {
		t.Errorf("by anna: %d", status)
	}
	if status, _ := w.ask(t, "POST", "/projections/none/revert", "root"); status != 404 {
		t.Errorf("of an unknown projection: %d", status)
	}
	status, body := w.ask(t, "POST", "/projections/series/revert", "root")
	if want := []domain.Command{projection.Revert{Projection: "series"}}; status != 202 || !reflect.DeepEqual(w.done, want) || w.reverted != 1 {
		t.Errorf("%d %s, commands %+v, reverted %d times", status, body, w.done, w.reverted)
	}
	if _, body := w.ask(t, "GET", "/projections", "root"); !strings.Contains(body, `"previous":{"version":1,"checkpoint":"5"}`) {
		t.Errorf("the list does not name what is kept: %s", body)
	}
}

// TestCommandsListenToNoBody, and are not carried out where one says something.
func TestCommandsListenToNoBody(t *testing.T) {
	for body, status := range map[string]int{"": 202, " {} ": 202, "null": 202, `{"positions":["1"]}`: 400, `["1"]`: 400, "position=1": 400} {
		for _, word := range []string{"rebuild", "retry", "discard"} {
			w := newWorld(t)
			w.parked = []api.Parked{{Position: pos(1), State: "parked", Attempts: 1}}
			w.happen(t, added("anna"))
			got, answer := w.sent(t, "POST", "/projections/series/"+word, "root", body)
			if got != status || (len(w.done) == 1) != (status == 202) || status == 400 && !strings.Contains(answer, "this route takes no body") {
				t.Errorf("%s with the body %q: %d %s, commands %+v; want %d", word, body, got, answer, w.done, status)
			}
		}
	}
}

// TestNothingParked has nothing to decide, and says so without a command.
func TestNothingParked(t *testing.T) {
	w := newWorld(t)
	for _, word := range []string{"retry", "discard"} {
		if status, body := w.ask(t, "POST", "/projections/series/"+word, "root"); status != 202 || len(w.done)+len(w.rebuilt) != 0 {
			t.Errorf("%s: %d %s, commands %v", word, status, body, w.done)
		}
	}
}

// TestParked lists what a projection does not hold.
func TestParked(t *testing.T) {
	w := newWorld(t)
	w.parked = []api.Parked{{Position: pos(1), State: "failed", Stream: "s", Type: "t", Error: "e", Attempts: 1}}
	const want = `{"position":"1","state":"failed","stream":"s","type":"t","error":"e","attempts":1}`
	if status, body := w.ask(t, "GET", "/projections/series/parked", "root"); status != 200 || body != fmt.Sprintf(`{"parked":[%s]}`, want) {
		t.Errorf("parked: %d %s", status, body)
	}
	if status, _ := w.ask(t, "GET", "/projections/none/parked", "root"); status != 404 {
		t.Errorf("parked of an unknown projection: %d", status)
	}
	if !slices.Equal(w.rebuilt, nil) {
		t.Errorf("rebuilt %v", w.rebuilt)
	}
}
