package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// long tells whether the long forms of the drills are asked for.
func long() bool { return os.Getenv("STRANDLINE_DRILL") == "long" }

// pick is the short or the long form of a number.
func pick(short, full int) int {
	if long() {
		return full
	}
	return short
}

// study is a researcher with a study and participants, made through the LAMP API.
type study struct {
	researcher, id string
	participants   []string
}

// newStudy makes a study with n participants.
func newStudy(t testing.TB, s *server, n int) study {
	t.Helper()
	var made study
	made.researcher = s.create(t, "/researcher", `{"name":"drill"}`)
	made.id = s.create(t, "/researcher/"+made.researcher+"/study", `{"name":"drill"}`)
	for range n {
		made.participants = append(made.participants, s.create(t, "/study/"+made.id+"/participant", `{}`))
	}
	return made
}

// create posts an object as root and returns its id.
func (s *server) create(t testing.TB, path, body string) string {
	t.Helper()
	status, text := s.as(t, root, "POST", path, body)
	id, err := createdID(text)
	if status != 200 || err != nil {
		t.Fatalf("POST %s: %d %s", path, status, text)
	}
	return id
}

// createdID reads the id in the answer to a creation, which for participants is inside an object.
func createdID(answer string) (string, error) {
	var bare struct{ Data string }
	if json.Unmarshal([]byte(answer), &bare) == nil && bare.Data != "" {
		return bare.Data, nil
	}
	var object struct{ Data struct{ ID string } }
	err := json.Unmarshal([]byte(answer), &object)
	if err == nil && object.Data.ID == "" {
		err = fmt.Errorf("no id in %s", answer)
	}
	return object.Data.ID, err
}

// reading is a sensor event as the drills send it: its time tells it from all others.
func reading(at int64) string {
	return `{"timestamp":` + strconv.FormatInt(at, 10) + `,"sensor":"lamp.steps","data":{"value":` + strconv.FormatInt(at%1000, 10) + `}}`
}

// list reads a list of objects with timestamps or ids.
func list(answer string) ([]listed, error) {
	var envelope struct{ Data []listed }
	err := json.Unmarshal([]byte(answer), &envelope)
	return envelope.Data, err
}

type listed struct {
	ID        string
	Name      string
	Timestamp int64
}

// times are the times of all events of a participant, and how often each is there. There are none of an unknown one.
func (s *server) times(t *testing.T, participant string) map[int64]int {
	t.Helper()
	status, answer := s.as(t, root, "GET", "/participant/"+participant+"/sensor_event?limit=0", "")
	events, err := list(answer)
	if err != nil || status != 200 && status != 404 {
		t.Fatalf("events: %d %.300s, %v", status, answer, err)
	}
	times := map[int64]int{}
	for _, e := range events {
		times[e.Timestamp]++
	}
	return times
}
