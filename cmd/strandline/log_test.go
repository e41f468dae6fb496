package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestLogCommands ask a real server for the same events in every way.
func TestLogCommands(t *testing.T) {
	s := startNode(t, t.TempDir())
	made := newStudy(t, s, 2)
	for n := range int64(3) {
		s.as(t, root, "POST", "/participant/"+made.participants[0]+"/sensor_event", reading(n))
	}
	ask := func(args ...string) string {
		t.Helper()
		out, messages, code := command(t, append(args, "--url", s.url)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d, %s", args, code, messages)
		}
		return out
	}
	positions := strings.Fields(ask("log", "find", "--type", "observation.recorded", "--only", "position"))
	if len(positions) != 3 {
		t.Fatalf("found %v, want three events", positions)
	}
	if newest := strings.Fields(ask("log", "find", "--type", "observation.recorded", "--newest", "--limit", "2", "--only", "position")); fmt.Sprint(newest) != fmt.Sprint([]string{positions[2], positions[1]}) {
		t.Errorf("the two newest are %v of %v", newest, positions)
	}
	if subject := ask("log", "find", "--subject", made.participants[0], "--type", "observation.recorded", "--limit", "1", "--only", "subject"); subject != made.participants[0]+"\n" {
		t.Errorf("the subject is %q, want %s", subject, made.participants[0])
	}
	if found := ask("log", "find", "--text", "PARTICIPANT "+made.participants[1], "--type", "participant.added"); strings.Count(found, "\n") != 1 {
		t.Errorf("found by a word of the sentence:\n%s", found)
	}
	if found := ask("log", "tail", "--to", "2020-01-01"); found != "" {
		t.Errorf("before there was anything there was %s", found)
	}
	for _, position := range positions {
		var shown struct{ Position, Type string }
		if err := json.Unmarshal([]byte(ask("log", "show", position, "--json")), &shown); err != nil || shown.Position != position || shown.Type != "observation.recorded" {
			t.Errorf("show %s: %+v, %v", position, shown, err)
		}
	}
	if text := ask("log", "show", positions[0]); !strings.Contains(text, "\nsubject      "+made.participants[0]+"\n") || !strings.Contains(text, "lamp.") {
		t.Errorf("show for people:\n%s", text)
	}
	if _, messages, code := command(t, "log", "show", "fffff", "--url", s.url); code != 4 || !strings.Contains(messages, "no event at fffff") {
		t.Errorf("show of the future: exit code %d, %s", code, messages)
	}
}

// TestStatsAreTrue counts what tail prints.
func TestStatsAreTrue(t *testing.T) {
	s := startNode(t, t.TempDir())
	newStudy(t, s, 2)
	last := ""
	kinds, streams, events := map[string]int{}, map[string]bool{}, 0
	out, _, _ := command(t, "log", "tail", "--json", "--url", s.url)
	for line := range strings.Lines(out) {
		var e struct{ Position, Type, Stream string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events++
		kinds[e.Type]++
		streams[e.Stream] = true
		last = e.Position
	}
	out, messages, code := command(t, "log", "stats", "--json", "--url", s.url)
	var counted struct {
		Events, Streams int
		First, Last     struct{ Position string }
		Types           []struct {
			Type   string
			Events int
		}
	}
	if err := json.Unmarshal([]byte(out), &counted); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v, %s", code, err, messages)
	}
	// Looking at the log has left two events: that it was opened, and that it ended. They share a stream.
	if counted.Events != events+2 || counted.Streams < len(streams) || counted.Streams > len(streams)+1 || counted.First.Position != "1" || counted.Last.Position == last {
		t.Errorf("counted %+v; tail printed %d events of %d streams, the last at %s", counted, events, len(streams), last)
	}
	for _, k := range counted.Types {
		if want := kinds[k.Type]; k.Events != want && !strings.HasPrefix(k.Type, "access.") {
			t.Errorf("%d of %s, want %d", k.Events, k.Type, want)
		}
	}
}
